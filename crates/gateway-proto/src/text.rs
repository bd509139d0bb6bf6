//! Makes text from the network fit for events and errors. The shard knows its secrets, so it redacts here the texts of
//! servers and errors before it returns them; [`codec::text`](gateway_codec::text) escapes and bounds text where it is
//! printed.

use std::borrow::Cow;
use std::fmt;

use gateway_codec::text::escape;

use crate::disconnect::Refused;
use crate::live_session::Session;
use crate::{Closed, ConnectError, GatewayUrl, Token};

/// Replaces a secret.
const REDACTED: &str = "…";
/// The most bytes of a text that are searched and kept.
const TEXT_BYTES: usize = 4096;
/// The most bytes of a server's secret to search for, and the most pieces of one that count as secrets by themselves.
/// Every word is compared at every byte of a text, and the server chooses the words.
const WORD_BYTES: usize = 1024;
const PIECES: usize = 16;
/// A shorter secret counts only where it stands alone. Otherwise it would be found within words.
const SHORT: usize = 8;

/// The texts that must not be printed.
pub(crate) struct Secrets<'a> {
    words: Vec<&'a str>,
}

/// Text that should be a URL, and its pieces that may be names.
fn pieces(url: &str) -> impl Iterator<Item = &str> {
    let pieces = url.split(['/', ':', '?', '&', '@']).filter(|piece| piece.len() >= SHORT);
    pieces.take(PIECES).chain([url])
}

impl<'a> Secrets<'a> {
    /// The token and the secrets of these sessions. The host of `base_url` is not a secret.
    pub(crate) fn of(
        token: &'a Token,
        base_url: &GatewayUrl,
        sessions: impl Iterator<Item = &'a Session>,
    ) -> Self {
        let mut words = vec![token.expose()];
        for session in sessions {
            let parts = session.resume_url.as_ref().into_iter().flat_map(GatewayUrl::parts);
            let parts = parts.filter(|part| !part.eq_ignore_ascii_case(base_url.host()));
            let unusable = session.unusable_url.as_deref().into_iter().flat_map(pieces);
            let of_session = parts.chain(unusable).chain([&*session.id]);
            words.extend(of_session.map(|word| beginning(word, WORD_BYTES)));
        }
        words.retain(|word| !word.is_empty());
        // Longest first, since one word may contain another.
        words.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
        Self { words }
    }

    /// Redacts, escapes and bounds the texts of an error, so that it can be printed.
    pub(crate) fn clean_connect_error(&self, error: &mut ConnectError) {
        match error {
            ConnectError::Refused(refused) => self.clean_refused(refused),
            ConnectError::Dns(text)
            | ConnectError::Tcp(text)
            | ConnectError::Tls(text)
            | ConnectError::Handshake(text) => *text = self.clean(text),
        }
    }

    /// As [`clean_connect_error`](Self::clean_connect_error), for the end of a connection.
    pub(crate) fn clean_closed(&self, closed: &mut Closed) {
        match closed {
            Closed::Frame { reason: text, .. } | Closed::Failed(text) | Closed::Protocol(text) => {
                *text = self.clean(text);
            }
            Closed::Eof | Closed::MessageTooLarge => {}
        }
    }

    /// A text without secrets and escape sequences, of bounded length.
    pub(crate) fn clean(&self, text: &str) -> String {
        escape(&self.redact(text)).to_string()
    }

    /// A text without secrets, cut to a bounded length.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = beginning(text, TEXT_BYTES);
        match self.redact_bytes(text.as_bytes()) {
            None => Cow::Borrowed(text),
            Some(redacted) => Cow::Owned(String::from_utf8_lossy(&redacted).into_owned()),
        }
    }

    fn clean_refused(&self, refused: &mut Refused) {
        for text in refused.headers.iter_mut().flat_map(|(name, value)| [name, value]) {
            if let Cow::Owned(redacted) = self.redact(text) {
                *text = redacted;
            }
            text.truncate(beginning(text, TEXT_BYTES).len());
        }
        refused.body.truncate(TEXT_BYTES);
        if let Some(redacted) = self.redact_bytes(&refused.body) {
            refused.body = redacted;
        }
    }

    /// `None` if no secret was found.
    fn redact_bytes(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut redacted = None;
        let (mut at, mut kept) = (0, 0);
        while at < text.len() {
            let found = self.words.iter().find_map(|word| Some((word, mention(text, at, word.as_bytes())?)));
            match found {
                Some((word, length)) => {
                    let length = length + rest_of_mention(&text[at + length..], word);
                    let redacted = redacted.get_or_insert_with(Vec::new);
                    redacted.extend_from_slice(&text[kept..at]);
                    redacted.extend_from_slice(REDACTED.as_bytes());
                    at += length;
                    kept = at;
                }
                None => at += 1,
            }
        }
        let mut redacted = redacted?;
        redacted.extend_from_slice(&text[kept..]);
        Some(redacted)
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// The beginning of a text, at most `most` bytes, cut between characters.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// The length of the secret at `at`, in any case and with any of its characters escaped. At the end of a text the
/// beginning of a secret counts too, since the text may be truncated.
fn mention(text: &[u8], at: usize, secret: &[u8]) -> Option<usize> {
    let mut end = at;
    for (count, wanted) in secret.iter().enumerate() {
        let rest = &text[end..];
        if rest.is_empty() && count >= SHORT {
            break;
        }
        end += written(rest, *wanted)?;
    }
    let alone = || {
        let neighbours = [at.checked_sub(1), Some(end)];
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        !neighbours.into_iter().flatten().filter_map(|at| text.get(at)).any(is_of_word)
    };
    (secret.len() >= SHORT || alone()).then_some(end - at)
}

/// How many bytes after a mention of a word still belong to the secret. The end of a truncated word is unknown, so
/// everything up to the next delimiter counts.
fn rest_of_mention(behind: &[u8], word: &str) -> usize {
    // Truncation between characters may drop up to three bytes more.
    let was_cut = word.len() + 3 >= WORD_BYTES;
    let goes_on = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'<>".contains(byte) || !byte.is_ascii();
    if was_cut { behind.iter().take_while(goes_on).count() } else { 0 }
}

/// How many bytes at the beginning of a text encode this byte: one, or an escape of URLs, JSON, Rust, C or HTML.
fn written(text: &[u8], wanted: u8) -> Option<usize> {
    let is_wanted = |byte: u32| u8::try_from(byte).is_ok_and(|byte| byte.eq_ignore_ascii_case(&wanted));
    let escape = match text {
        [b'%', ..] => number(text, 1, 16, Some(2)),
        [b'\\', b'u' | b'U' | b'x' | b'X', b'{', ..] | [b'&', b'#', b'x' | b'X', ..] => {
            number(text, 3, 16, None)
        }
        [b'\\', b'u' | b'U', ..] => number(text, 2, 16, Some(4)),
        [b'\\', b'x' | b'X', ..] => number(text, 2, 16, Some(2)),
        [b'&', b'#', ..] => number(text, 2, 10, None),
        [b'\\', escaped, ..] => Some((u32::from(*escaped), 2)),
        _ => None,
    };
    match (escape, text.first()) {
        (Some((byte, length)), _) if is_wanted(byte) => Some(length),
        (_, Some(byte)) if is_wanted(u32::from(*byte)) => Some(1),
        _ => None,
    }
}

/// The number at `at`, and the end of its escape. `digits`: `None` for any number of digits and a terminator.
fn number(text: &[u8], at: usize, radix: u32, digits: Option<usize>) -> Option<(u32, usize)> {
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let found = text.get(at..)?.iter().take(digits.unwrap_or(8)).take_while(is_digit).count();
    if found == 0 || digits.is_some_and(|digits| digits != found) {
        return None;
    }
    let value = std::str::from_utf8(&text[at..at + found]).ok()?;
    let terminator = usize::from(digits.is_none() && matches!(text.get(at + found), Some(b'}' | b';')));
    Some((u32::from_str_radix(value, radix).ok()?, at + found + terminator))
}

impl GatewayUrl {
    /// Redacts every mention of the host in a text, such as that of an I/O error, escapes it, and truncates it.
    pub fn redact(&self, text: &str) -> String {
        Secrets { words: vec![self.host()] }.clean(text)
    }
}

/// The session's secrets.
impl Session {
    /// Remembers a resume URL that cannot be used, only because later texts of the server may contain it.
    pub(crate) fn with_unusable_url(mut self, url: Option<&str>) -> Self {
        if self.resume_url.is_none() {
            let url = url.map(|url| beginning(url.trim(), WORD_BYTES)).filter(|url| !url.is_empty());
            self.unusable_url = url.map(Into::into);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "MTk4.Cl2FMQ.ZnCjm1XVW7";

    /// The secrets of two similar sessions.
    struct Known {
        token: Token,
        base_url: GatewayUrl,
        sessions: [Session; 2],
    }

    impl Known {
        fn new(id: &str, url: &str) -> Self {
            let session = Session::new(id.to_owned(), GatewayUrl::parse(url).ok(), 1, 1);
            let session = session.with_unusable_url(Some(url));
            let base_url = GatewayUrl::parse("wss://gateway.discord.gg/").unwrap();
            Self { token: Token::from(TOKEN), base_url, sessions: [session.clone(), session] }
        }

        fn secrets(&self) -> Secrets<'_> {
            Secrets::of(&self.token, &self.base_url, self.sessions.iter())
        }
    }

    fn redact(text: &str, words: &[&str]) -> String {
        Secrets { words: words.to_vec() }.redact(text).into_owned()
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let hex = |form: fn(u8) -> String| TOKEN.bytes().map(form).collect::<String>();
        for written in [
            TOKEN.to_owned(),
            TOKEN.to_ascii_lowercase(),
            TOKEN.replace('.', "%2e"),
            TOKEN.replace('.', "%2E"),
            TOKEN.replace('.', "\\u002e"),
            TOKEN.replace('.', "\\u{2e}"),
            TOKEN.replace('.', "\\x2E"),
            TOKEN.replace('.', "&#46;"),
            TOKEN.replace('.', "&#x2e;"),
            TOKEN.replace('.', "\\."),
            hex(|byte| format!("%{byte:02x}")),
            hex(|byte| format!("\\u{byte:04X}")),
        ] {
            let text = format!("bad token Bot {written}, sorry: {written}");
            assert_eq!(redact(&text, &[TOKEN]), "bad token Bot …, sorry: …", "{written}");
        }
        assert_eq!(redact("50% off \\u12 &#; %", &[TOKEN]), "50% off \\u12 &#; %");
    }

    #[test]
    fn a_text_truncated_within_a_secret_contains_no_part_of_it() {
        assert_eq!(redact("token MTk4.Cl2FM", &[TOKEN]), "token …");
        let long = format!("{}{TOKEN}", "x".repeat(TEXT_BYTES - 9));
        assert_eq!(redact(&long, &[TOKEN]), format!("{}…", "x".repeat(TEXT_BYTES - 9)));
    }

    #[test]
    fn a_short_secret_counts_only_where_it_stands_alone() {
        assert_eq!(redact("abc: fabcy, ABC_D, (abc) abc", &["abc"]), "…: fabcy, ABC_D, (…) …");
    }

    #[test]
    fn what_is_printed_is_escaped_and_bounded() {
        let secrets = Secrets { words: vec![TOKEN] };
        let clean = secrets.clean(&format!("\u{1b}]0;{TOKEN}\u{7}\n\u{202e}"));
        assert_eq!(clean, "\\u{1b}]0;…\\u{7}\\n\\u{202e}");
        assert_eq!(secrets.clean(&clean), clean, "twice is once");
        assert!(secrets.clean(&"\n".repeat(1 << 20)).len() < 400);
    }

    #[test]
    fn a_session_id_cannot_make_redaction_slow() {
        let id = format!("{}b", "a".repeat(511));
        let text = "a".repeat(64 << 20);
        assert_eq!(redact(&text, &[&id]).len(), TEXT_BYTES - 511 + REDACTED.len());
    }

    #[test]
    fn the_words_of_a_session_are_bounded_in_number_and_length() {
        let pieces = |name: fn(usize) -> String| (0..20_000).map(name).collect::<String>();
        let names = pieces(|at| format!("{at:08x}/"));
        for (id, url) in [
            ("abcdefghijk", format!("http://{names}")),
            ("abcdefghijk", pieces(|at| format!("é{at:08}&"))),
            ("abcdefghijk", "x".repeat(1 << 20)),
            (&*"i".repeat(512), "wss://x".to_owned()),
            (
                "abcdefghijk",
                format!("wss://{}@{}.example/{}", &names[..8], "h".repeat(20_000), &names[..20_000]),
            ),
        ] {
            let known = Known::new(id, &url);
            let words = known.secrets().words;
            assert!(words.len() <= 40, "{} words", words.len());
            assert!(words.iter().all(|word| word.len() <= 1024));
            let bytes: usize = words.iter().map(|word| word.len()).sum();
            assert!(bytes <= 8 << 10, "{bytes} bytes");
            let kept = known.sessions[0].unusable_url.as_ref().map_or(0, |url| url.len());
            assert!(kept <= 1024, "{kept} bytes are kept");
        }
    }

    #[test]
    fn a_url_longer_than_the_limit_is_redacted_to_its_end() {
        let name = "secret-name/".repeat(200);
        for scheme in ["http", "wss"] {
            let url = format!("{scheme}://gateway.example/{name}");
            let known = Known::new("abcdefghijk", &url);
            let redacted = known.secrets().redact(&format!("cannot go to <{url}>, sorry")).into_owned();
            let expected = if scheme == "http" { "<…>" } else { "<wss://……>" };
            assert_eq!(redacted, format!("cannot go to {expected}, sorry"));
        }
    }

    #[test]
    fn every_piece_of_an_unusable_url_of_a_sensible_length_is_redacted() {
        let url =
            "http://user-name:password@gateway.example:8443/a-long-path/tickets?ticket=1234567&shard=0of1";
        let known = Known::new("abcdefghijk", url);
        for piece in
            ["user-name", "password", "gateway.example", "a-long-path", "ticket=1234567", "abcdefghijk"]
        {
            assert_eq!(known.secrets().redact(&format!("no {piece}, sorry")), "no …, sorry", "{piece}");
        }
        assert_eq!(known.secrets().redact(&format!("no <{url}> here")), "no <…> here");
    }
}
