//! Which bot a token belongs to.

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use gateway_driver::proto::Token;
use sha1::{Digest, Sha1};

/// Names the bot of a token without telling the token: the id of its user, which the first part of a token is in base64, otherwise the
/// beginning of a hash.
pub(crate) fn bot_of(token: &Token) -> String {
    let token = token.expose();
    let first = token.split('.').next().unwrap_or_default().trim_end_matches('=');
    let id = BASE64_NOPAD.decode(first.as_bytes()).ok().and_then(|id| String::from_utf8(id).ok());
    match id.filter(|id| id.parse::<u64>().is_ok()) {
        Some(id) => format!("id {id}"),
        None => format!("hash {}", HEXLOWER.encode(&Sha1::digest(token)[..8])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_named_by_its_id_or_a_hash() {
        let id = "id 238494756521377792";
        assert_eq!(bot_of(&Token::new("MjM4NDk0NzU2NTIxMzc3Nzky.CunGFQ.wUILz7z6HoJzVeq6pyHPmVgQgV4")), id);
        assert_eq!(bot_of(&Token::new("MjM4NDk0NzU2NTIxMzc3Nzky.other.secret")), id, "the token was reset");
        let hash = bot_of(&Token::new("token"));
        assert!(hash.starts_with("hash ") && !hash.contains("token"), "{hash}");
        assert_ne!(hash, bot_of(&Token::new("another")));
    }
}
