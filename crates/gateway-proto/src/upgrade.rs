//! The client's half of the WebSocket opening handshake (RFC 6455, section 4.1) over bytes.
//!
//! [`raw::Connection`](crate::raw) uses it. tungstenite's own handshake reads a stream, treats a head that arrives in
//! many small pieces as an attack, and drops the body of a refusal.

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

use crate::disconnect::Refused;
use crate::http_response::{HttpHead, HttpResponse};
use crate::{ConnectError, GatewayUrl};

/// The `User-Agent` of the upgrade request. See
/// [Discord Docs, Reference > User Agent](https://discord.com/developers/docs/reference#user-agent).
pub(crate) const USER_AGENT: &str =
    concat!("DiscordBot (https://docs.rs/gateway-proto, ", env!("CARGO_PKG_VERSION"), ")");

/// The most bytes of a refusal's body that are kept, and that are waited for if the framing announces them.
const BODY_BYTES: usize = 4 << 10;

/// The `Sec-WebSocket-Accept` that a WebSocket server returns for a key (RFC 6455, section 4.2.2, item 5.4).
fn accept_of(key: &str) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    BASE64.encode(&Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// A handshake in progress: send [`Upgrade::request`], then pass received bytes to [`Upgrade::push`].
pub struct Upgrade {
    request: String,
    accept: String,
    response: HttpResponse,
}

/// How a handshake ended. Exhaustive: a WebSocket is open or it is not.
#[derive(Debug, PartialEq)]
pub enum Upgraded {
    /// The WebSocket is open.
    Open {
        /// How many of the bytes pushed last belong to the head. The rest belongs to the WebSocket.
        used: usize,
    },
    /// The handshake failed.
    Failed(ConnectError),
}

impl Upgrade {
    /// Starts an upgrade at this URL. `key` must be random (RFC 6455, section 4.1), but is no secret.
    pub fn new(url: &GatewayUrl, key: [u8; 16]) -> Self {
        let key = BASE64.encode(&key);
        let request = format!(
            "GET {target} HTTP/1.1\r\n\
             Host: {host}\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\n\
             User-Agent: {USER_AGENT}\r\n\
             \r\n",
            target = url.path_and_query(),
            host = url.authority(),
        );
        let accept = accept_of(&key);
        Self { request, accept, response: HttpResponse::new(BODY_BYTES) }
    }

    /// The bytes to send.
    pub fn request(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Takes bytes from the server. `None` until the handshake has ended.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Upgraded> {
        let used = match self.response.push(bytes) {
            Ok(used) => used,
            Err(problem) => return Some(Upgraded::Failed(handshake(&problem))),
        };
        match self.response.head() {
            Some(head) if head.status == 101 => Some(match self.check_switching(head) {
                Ok(()) => Upgraded::Open { used },
                Err(error) => Upgraded::Failed(error),
            }),
            _ => self.response.end().map(|_| Upgraded::Failed(self.finish())),
        }
    }

    /// Whether the server has refused the upgrade, so that only the body is outstanding.
    pub fn is_refused(&self) -> bool {
        self.response.head().is_some()
    }

    /// The failure at the end of the stream or on timeout, from the bytes received so far.
    pub fn finish(&mut self) -> ConnectError {
        let Some(HttpHead { status, headers, .. }) = self.response.take_head() else {
            return handshake("the connection ended before the answer to the upgrade");
        };
        let mut refused = Refused { status, headers, retry_after: None, body: self.response.take_body() };
        refused.retry_after = refused.header("retry-after").and_then(Refused::parse_retry_after);
        ConnectError::Refused(refused)
    }

    /// The checks of RFC 6455, section 4.1, on an answer with status 101.
    fn check_switching(&self, head: &HttpHead) -> Result<(), ConnectError> {
        if head.minor_version != 1 {
            return Err(handshake("the answer is not HTTP/1.1"));
        }
        if !head.has_token("upgrade", "websocket") {
            return Err(handshake("the answer lacks `Upgrade: websocket`"));
        }
        if !head.has_token("connection", "upgrade") {
            return Err(handshake("the answer lacks `Connection: Upgrade`"));
        }
        let mut accepts = head.named("sec-websocket-accept");
        if accepts.next() != Some(self.accept.as_str()) || accepts.next().is_some() {
            return Err(handshake("the answer's `Sec-WebSocket-Accept` does not fit"));
        }
        if head.named("sec-websocket-extensions").any(|value| !value.is_empty()) {
            return Err(handshake("the server chose an extension that was not offered"));
        }
        if head.named("sec-websocket-protocol").next().is_some() {
            return Err(handshake("the server chose a subprotocol that was not offered"));
        }
        Ok(())
    }
}

fn handshake(detail: &str) -> ConnectError {
    ConnectError::Handshake(detail.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::http_response::HEAD_BYTES;

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_example_key_has_the_example_answer() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    use super::*;

    fn upgrade() -> Upgrade {
        let url = GatewayUrl::parse("wss://gateway.example:8443/?v=10&encoding=json").unwrap();
        Upgrade::new(&url, *b"the sample nonce")
    }

    /// The answer that RFC 6455 gives to its own sample key, with other spellings of the tokens.
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
                          Upgrade: WebSocket\r\n\
                          Connection: keep-alive, Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                          \r\n";

    /// Pushes an answer whole and byte by byte; both must end the same way.
    fn answered(answer: &[u8]) -> Option<Upgraded> {
        let (mut whole, mut pieces) = (upgrade(), upgrade());
        let result = whole.push(answer);
        let by_piece = answer.iter().enumerate().find_map(|(at, byte)| match pieces.push(&[*byte])? {
            Upgraded::Open { used } => Some(Upgraded::Open { used: at + used }),
            failed => Some(failed),
        });
        assert_eq!(result, by_piece);
        result
    }

    /// A refusal without headers. Another test covers headers.
    fn refused(status: u16, body: &[u8]) -> Upgraded {
        let body = body.to_vec();
        Upgraded::Failed(ConnectError::Refused(Refused { status, body, ..Refused::default() }))
    }

    fn without_headers(result: Option<Upgraded>) -> Option<Upgraded> {
        result.map(|result| match result {
            Upgraded::Failed(ConnectError::Refused(mut refused)) => {
                refused.headers.clear();
                Upgraded::Failed(ConnectError::Refused(refused))
            }
            other => other,
        })
    }

    #[test]
    fn the_request_says_what_it_must_and_offers_no_extension() {
        let upgrade = upgrade();
        let request = std::str::from_utf8(upgrade.request()).unwrap();
        assert!(request.starts_with("GET /?v=10&encoding=json HTTP/1.1\r\nHost: gateway.example:8443\r\n"));
        assert!(request.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
        assert!(request.contains("\r\nUser-Agent: DiscordBot (https://docs.rs/gateway-proto, "));
        assert!(request.ends_with("\r\n\r\n"));
        assert!(!request.to_ascii_lowercase().contains("extensions"));
    }

    #[test]
    fn what_follows_the_head_is_not_the_heads() {
        let head = ANSWER.len();
        assert_eq!(answered(ANSWER.as_bytes()), Some(Upgraded::Open { used: head }));
        let mut whole = upgrade();
        let with_frame = [ANSWER.as_bytes(), b"\x81\x01\n"].concat();
        assert_eq!(whole.push(&with_frame), Some(Upgraded::Open { used: head }));
        let after_hints = format!("HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n{ANSWER}");
        assert_eq!(answered(after_hints.as_bytes()), Some(Upgraded::Open { used: after_hints.len() }));
        let bare_newlines = ANSWER.replace("\r\n", "\n");
        assert_eq!(answered(bare_newlines.as_bytes()), Some(Upgraded::Open { used: bare_newlines.len() }));
    }

    #[test]
    fn a_wrong_101_is_no_handshake() {
        for (from, to) in [
            ("Upgrade: WebSocket", "Upgrade: h2c"),
            ("Upgrade: WebSocket\r\n", ""),
            ("keep-alive, Upgrade", "close"),
            ("keep-alive, Upgrade", "Upgrader"),
            ("s3pPLM", "S3pPLM"),
            ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accepted: "),
            ("\r\n\r\n", "\r\nSec-WebSocket-Accept: another\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
            ("HTTP/1.1 101", "HTTP/1.0 101"),
            ("HTTP/1.1 101", "HTTP/2 101"),
            ("HTTP/1.1 101 ", "SSH-2.0-"),
            ("HTTP/1.1 101", "HTTP/1.1 1O1"),
            ("Connection", "Conn\0ction"),
        ] {
            let answer = ANSWER.replace(from, to);
            assert_ne!(answer, ANSWER);
            let result = answered(answer.as_bytes());
            assert!(matches!(result, Some(Upgraded::Failed(ConnectError::Handshake(_)))), "{to}: {result:?}");
        }
    }

    #[test]
    fn what_is_not_http_is_noticed_before_its_line_ends() {
        for stranger in [&[22, 3, 1, 2, 0][..], b"HTTQ", b"SSH-2.0"] {
            let failed = upgrade().push(stranger);
            assert!(matches!(failed, Some(Upgraded::Failed(ConnectError::Handshake(_)))), "{stranger:?}");
        }
    }

    #[test]
    fn a_truncated_head_is_waited_for() {
        for length in 0..ANSWER.len() {
            let mut upgrade = upgrade();
            assert_eq!(upgrade.push(&ANSWER.as_bytes()[..length]), None);
            assert!(!upgrade.is_refused());
            assert!(matches!(upgrade.finish(), ConnectError::Handshake(_)));
        }
    }

    #[test]
    fn a_refusal_brings_status_wait_and_body() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\ncf-ray: \xff\r\nContent-Length: 4\r\n\r\nslow";
        let headers = [("Retry-After", "60"), ("cf-ray", "\u{fffd}"), ("Content-Length", "4")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let retry_after = Some(Duration::from_secs(60));
        let expected = Refused { status: 429, headers, retry_after, body: b"slow".to_vec() };
        assert_eq!(answered(answer), Some(Upgraded::Failed(ConnectError::Refused(expected))));

        let longer = b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nslow and more";
        assert_eq!(without_headers(answered(longer)), Some(refused(403, b"slow")));
        let chunked =
            b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nsl\r\n2;x\r\now\r\n0\r\n\r\n";
        assert_eq!(without_headers(answered(chunked)), Some(refused(502, b"slow")));
        let empty = answered(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(without_headers(empty), Some(refused(404, b"")));
    }

    #[test]
    fn a_body_without_an_end_ends_with_the_stream() {
        for (answer, body) in [
            (&b"HTTP/1.1 503 Down\r\n\r\nsl"[..], &b"sl"[..]),
            (b"HTTP/1.1 503 Down\r\nContent-Length: 9\r\n\r\nsl", b"sl"),
            (b"HTTP/1.1 503 Down\r\nContent-Length: nonsense\r\n\r\nsl", b"sl"),
            (b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsl", b"sl"),
            (b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", b""),
        ] {
            let mut upgrade = upgrade();
            assert_eq!(upgrade.push(answer), None);
            assert!(upgrade.is_refused());
            let result = without_headers(Some(Upgraded::Failed(upgrade.finish())));
            assert_eq!(result, Some(refused(503, body)));
        }
    }

    #[test]
    fn a_folded_header_is_one_line() {
        for (from, to) in [
            ("Upgrade: WebSocket", "Upgrade: WebSocket\r\nX-A: b\r\n c"),
            ("Upgrade: WebSocket", "Upgrade:\r\n WebSocket"),
            ("Upgrade: WebSocket", "Upgrade: \r\n\t \r\n WebSocket \r\n "),
            ("keep-alive, Upgrade", "keep-alive,\r\n Upgrade"),
            ("keep-alive, Upgrade", "keep-alive\r\n , \r\n\tUpgrade"),
            ("keep-alive, Upgrade", "keep-alive,\n Upgrade"),
            ("Sec-WebSocket-Accept: s3p", "Sec-WebSocket-Accept:\r\n\ts3p"),
            ("kYGzzhZRbK+xOo=", "kYGzzhZRbK+xOo=\r\n "),
            ("\r\n\r\n", "\r\nX-A:\r\n \r\n \r\n\r\n"),
        ] {
            let answer = ANSWER.replace(from, to);
            assert_ne!(answer, ANSWER);
            assert_eq!(answered(answer.as_bytes()), Some(Upgraded::Open { used: answer.len() }), "{to:?}");
        }
        // A fold is white space: it neither joins two words nor hides a header.
        for (from, to) in [
            ("WebSocket", "Web\r\n Socket"),
            ("s3pPLM", "s3p\r\n PLM"),
            ("keep-alive, Upgrade", "keep-alive\r\n Upgrade"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Protocol:\r\n chat\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions:\r\n x\r\n\r\n"),
            // A fold before the first header belongs to none (RFC 9112, section 2.2).
            ("Protocols\r\n", "Protocols\r\n folded\r\n"),
        ] {
            let answer = ANSWER.replace(from, to);
            assert_ne!(answer, ANSWER);
            let result = answered(answer.as_bytes());
            assert!(
                matches!(result, Some(Upgraded::Failed(ConnectError::Handshake(_)))),
                "{to:?}: {result:?}"
            );
        }
        let answer = b"HTTP/1.1 429 No\r\nRetry-After:\r\n 60\r\nX-A: b \r\n \t c\r\n\td\r\nContent-Length:\r\n 2\r\n\r\nno";
        let Some(Upgraded::Failed(ConnectError::Refused(refused))) = answered(answer) else {
            panic!("not a refusal")
        };
        assert_eq!((refused.retry_after, &*refused.body), (Some(Duration::from_secs(60)), &b"no"[..]));
        assert_eq!(refused.headers[1], ("X-A".to_owned(), "b c d".to_owned()));
    }

    #[test]
    fn unusual_heads_are_accepted_or_rejected() {
        // "A recipient MAY recognize a single LF as a line terminator and ignore any preceding CR" (RFC 9112, section 2.2).
        // White space before the colon is not allowed, and CR alone is no end of a line (sections 5.1 and 2.2).
        for (from, to, accepted) in [
            ("WebSocket\r\n", "WebSocket\n", true),
            ("Upgrade: WebSocket", "Upgrade:WebSocket", true),
            ("Upgrade: WebSocket", "Upgrade:\t WebSocket\t ", true),
            ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101", true),
            ("HTTP/1.1 101", "\r\n\r\nHTTP/1.1 101", true),
            ("Upgrade: WebSocket", "Upgrade : WebSocket", false),
            ("Upgrade: WebSocket", "Upgrade\t: WebSocket", false),
            ("WebSocket\r\n", "WebSocket\r", false),
            ("WebSocket\r\n", "WebSocket\r\r\n", false),
            ("Upgrade: WebSocket", "Upgrade: WebSocket\r\n: x", false),
            ("Upgrade: WebSocket", "Upgrade: WebSocket\r\nno colon", false),
            ("Upgrade: WebSocket", "Upgrade: Web\0Socket", false),
        ] {
            let answer = ANSWER.replace(from, to);
            assert_ne!(answer, ANSWER);
            let result = answered(answer.as_bytes());
            match accepted {
                true => assert_eq!(result, Some(Upgraded::Open { used: answer.len() }), "{to:?}"),
                false => assert!(matches!(result, Some(Upgraded::Failed(_))), "{to:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn the_handshake_is_bounded() {
        let line = b"X-Padding: ................................................\r\n";
        for padding in [&line[..], b"no end of line"] {
            let answer = [&b"HTTP/1.1 101 Switching Protocols\r\nA: "[..], &padding.repeat(2000)].concat();
            let result = answered(&answer);
            assert!(matches!(result, Some(Upgraded::Failed(ConnectError::Handshake(_)))), "{result:?}");
        }
        // A header that is folded without end has neither a long line nor many headers.
        for fold in [&b" \r\n"[..], b" x\r\n"] {
            let answer =
                [&b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n"[..], &fold.repeat(10_000)].concat();
            let result = answered(&answer);
            assert!(matches!(result, Some(Upgraded::Failed(ConnectError::Handshake(_)))), "{result:?}");
        }
        // The headers of a refusal are limited in number, and in size by the limit of the head.
        for head in ["a: b\r\n".repeat(101), format!("a: {}\r\n", "b".repeat(HEAD_BYTES))] {
            let result = answered(format!("HTTP/1.1 503 Down\r\n{head}\r\n").as_bytes());
            assert!(matches!(result, Some(Upgraded::Failed(ConnectError::Handshake(_)))), "{result:?}");
        }
        let answer = [&b"HTTP/1.1 503 Down\r\n\r\n"[..], &[b'x'; 100_000]].concat();
        assert_eq!(answered(&answer), Some(refused(503, &[b'x'; BODY_BYTES])));
    }

    #[test]
    fn interim_answers_share_the_bound_on_the_head() {
        let too_long = Some(Upgraded::Failed(handshake("the head is too long")));
        for interim in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\nLink: </>\n\n",
            "\r\nHTTP/1.1 100 \r\n\r\n",
        ] {
            let most = HEAD_BYTES / interim.len();
            assert_eq!(answered(interim.repeat(most).as_bytes()), None);
            assert_eq!(answered(interim.repeat(most + 1).as_bytes()), too_long);
            assert_eq!(answered(interim.repeat(100 * most).as_bytes()), too_long);
            // The final answer follows as many interim answers as leave room for it.
            let room = (HEAD_BYTES - ANSWER.len()) / interim.len();
            let answer = [&interim.repeat(room), ANSWER].concat();
            assert_eq!(answered(answer.as_bytes()), Some(Upgraded::Open { used: answer.len() }));
            let answer = [&interim.repeat(room + 1), ANSWER].concat();
            assert_eq!(answered(answer.as_bytes()), too_long);
            // The body of a refusal has its own limit.
            let refusal = "HTTP/1.1 503 Down\r\n\r\n";
            let before = interim.repeat((HEAD_BYTES - refusal.len()) / interim.len());
            let answer = [before, refusal.to_owned(), "x".repeat(BODY_BYTES)].concat();
            assert_eq!(answered(answer.as_bytes()), Some(refused(503, &[b'x'; BODY_BYTES])));
        }
    }
}
