//! HTTP/1.1 heads as values: requests from bytes, responses to bytes.

use std::io;

use tungstenite::handshake::derive_accept_key;

use crate::response::Response;

/// The largest request head in bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most headers of a request.
const HEADER_LIMIT: usize = 64;

/// An HTTP request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    keeps_alive: bool,
}

impl Request {
    /// Takes the next head out of `buffer`. `None` until it is complete.
    ///
    /// # Errors
    /// If it is not HTTP, or too long.
    pub(crate) fn parse(buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() >= HEAD_LIMIT => {
                return Err(io::Error::other("the request head is too long"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        };
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let mut request = Self {
            method: text(head.method),
            target: text(head.path),
            headers: head
                .headers
                .iter()
                .map(|header| {
                    (header.name.to_owned(), String::from_utf8_lossy(header.value).trim().to_owned())
                })
                .collect(),
            keeps_alive: head.version == Some(1),
        };
        if request.header_has("Connection", "close") {
            request.keeps_alive = false;
        }
        buffer.drain(..length);
        Ok(Some(request))
    }

    /// The value of the first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a header that is a list contains this word.
    fn header_has(&self, name: &str, word: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    }

    /// The `Sec-WebSocket-Key` of an upgrade request.
    pub fn upgrade_key(&self) -> Option<&str> {
        let asks = self.header_has("Upgrade", "websocket") && self.header_has("Connection", "upgrade");
        self.header("Sec-WebSocket-Key").filter(|_| asks)
    }

    /// Whether another request may follow on the same connection. Not after a body, which is not read here.
    pub(crate) fn keeps_alive(&self) -> bool {
        let body = self.header("Content-Length").is_some_and(|length| length != "0")
            || self.header("Transfer-Encoding").is_some();
        self.keeps_alive && !body
    }
}

/// The answer that accepts an upgrade request with this `Sec-WebSocket-Key` (RFC 6455, section 4.2.2). It accepts neither an
/// extension nor a subprotocol.
pub fn switching_protocols(key: &str) -> Vec<u8> {
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A whole response as bytes.
pub(crate) fn response(response: &Response, keeps_alive: bool) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n",
        response.status,
        status_text(response.status),
        response.content_type,
        response.body.len(),
        if keeps_alive { "keep-alive" } else { "close" },
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.push_str(&response.body);
    head.into_bytes()
}

fn status_text(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
