//! The HTTP requests of clients: the upgrade, and the URL of the gateway.

use std::io::{self, Read};

use gateway_codec::{Compression, Encoding};

use crate::mode::Mode;

/// The largest request head in bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// The most headers of a request.
const HEADER_LIMIT: usize = 64;

/// A request without its body.
pub(super) struct Request {
    /// Path and query.
    pub(super) target: String,
    /// `Sec-WebSocket-Key`, if this is an upgrade.
    pub(super) key: Option<String>,
    /// The bytes read after the head.
    pub(super) rest: Vec<u8>,
}

impl Request {
    /// Reads a head. `None` if the stream ended before.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut buffer, mut part) = (Vec::new(), [0; 2048]);
        while buffer.len() < HEAD_LIMIT {
            match stream.read(&mut part)? {
                0 => return Ok(None),
                count => buffer.extend_from_slice(&part[..count]),
            }
            if let Some(request) = Self::parse(&buffer)? {
                return Ok(Some(request));
            }
        }
        Err(io::Error::other("the request head is too long"))
    }

    fn parse(buffer: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(buffer).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let key = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
        Ok(Some(Self {
            target: head.path.unwrap_or_default().to_owned(),
            key: key.map(|header| String::from_utf8_lossy(header.value).into_owned()),
            rest: buffer[length..].to_vec(),
        }))
    }

    /// The mode in the query. JSON if it has no encoding.
    pub(super) fn mode(&self, payload: bool) -> Option<Mode> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let (mut encoding, mut compression) = (Encoding::Json, Compression::None);
        if payload {
            compression = Compression::Payload;
        }
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value) {
                ("encoding", "json") => encoding = Encoding::Json,
                ("encoding", "etf") => encoding = Encoding::Etf,
                ("compress", "zlib-stream") => compression = Compression::ZlibStream,
                ("compress", "zstd-stream") => compression = Compression::ZstdStream,
                ("encoding" | "compress", _) => return None,
                _ => {}
            }
        }
        Some(Mode::new(encoding, compression))
    }
}

/// The response to a request without an upgrade: the URL of the gateway
/// ([Discord Docs, Gateway > Get Gateway](https://discord.com/developers/docs/events/gateway#get-gateway)), and the bot's
/// user, which some clients request before they connect.
pub(super) fn answer(target: &str, url: &str, shards: usize) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let user = serde_json::json!({
        "id": "81384788765712384", "username": "bench", "discriminator": "0000", "avatar": null, "bot": true,
    });
    let body = if path.ends_with("/gateway") || path.ends_with("/gateway/bot") {
        let limit = serde_json::json!({
            "total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": shards.max(1),
        });
        serde_json::json!({"url": url, "shards": shards, "session_start_limit": limit})
    } else if path.ends_with("/users/@me") {
        user
    } else if path.ends_with("/oauth2/applications/@me") {
        serde_json::json!({
            "id": "81384788765712384", "name": "bench", "icon": null, "description": "", "owner": user,
            "bot_public": true, "bot_require_code_grant": false, "verify_key": "", "flags": 0,
        })
    } else {
        return not_found();
    };
    response("200 OK", &body.to_string())
}

/// The response to a request for an unknown path.
pub(super) fn not_found() -> String {
    response("404 Not Found", r#"{"message":"404: Not Found","code":0}"#)
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(target: &str, payload: bool) -> Option<String> {
        let request = Request { target: target.to_owned(), key: None, rest: Vec::new() };
        request.mode(payload).map(|mode| mode.to_string())
    }

    #[test]
    fn queries_name_modes() {
        for (target, mode_) in [
            ("/?v=10&encoding=json&compress=zlib-stream", "json-zlib"),
            ("//?compress=zstd-stream&encoding=etf&v=10", "etf-zstd"),
            ("?v=10", "json-plain"),
            ("/", "json-plain"),
        ] {
            assert_eq!(mode(target, false).as_deref(), Some(mode_), "{target}");
        }
        assert_eq!(mode("/?v=10", true).as_deref(), Some("json-payload"));
        assert_eq!(mode("/?v=10&encoding=xml", false), None);
        assert_eq!(mode("/?v=10&compress=gzip", false), None);
    }
}
