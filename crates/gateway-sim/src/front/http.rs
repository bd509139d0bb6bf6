//! HTTP/1.1 heads: reading requests and writing responses.

use std::io;
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use smol::io::{AsyncRead, AsyncReadExt};

use super::line::within;
use crate::response::Response;

/// Bytes that a request head may have.
const HEAD_LIMIT: usize = 16 * 1024;
/// Headers that a request may have.
const HEADER_LIMIT: usize = 64;

/// A request without its body.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    headers: Vec<(String, String)>,
    keeps_alive: bool,
}

impl Request {
    /// Reads the next head, however it is cut, within `limit`. What was read beyond it stays in `buffer`. `None` at the end
    /// of the stream.
    pub(super) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
        limit: Duration,
    ) -> io::Result<Option<Self>> {
        within(limit, Self::read_head(stream, buffer)).await
    }

    async fn read_head(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Self>> {
        loop {
            if let Some(request) = Self::parse(buffer)? {
                return Ok(Some(request));
            }
            if buffer.len() >= HEAD_LIMIT {
                return Err(io::Error::other("the request head is too long"));
            }
            let mut part = [0; 2048];
            match stream.read(&mut part).await? {
                0 => return Ok(None),
                count => buffer.extend_from_slice(&part[..count]),
            }
        }
    }

    fn parse(buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
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

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a header with a list of words has this word.
    fn header_has(&self, name: &str, word: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    }

    /// The `Sec-WebSocket-Key`, if this asks for a WebSocket.
    pub(super) fn upgrade_key(&self) -> Option<&str> {
        let asks = self.header_has("Upgrade", "websocket") && self.header_has("Connection", "upgrade");
        self.header("Sec-WebSocket-Key").filter(|_| asks)
    }

    /// Whether another request may follow on the same connection: not after a body, which is not read here.
    pub(super) fn keeps_alive(&self) -> bool {
        let body = self.header("Content-Length").is_some_and(|length| length != "0")
            || self.header("Transfer-Encoding").is_some();
        self.keeps_alive && !body
    }
}

/// The answer that accepts an upgrade. No extension and no subprotocol is ever accepted.
pub(super) fn switching_protocols(key: &str) -> Vec<u8> {
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A whole response as bytes.
pub(super) fn response(response: &Response, keeps_alive: bool) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use smol::Timer;
    use smol::block_on;

    use super::*;

    /// A client that sends one byte of a long head at a time.
    struct Trickle(Timer);

    const PAUSE: Duration = Duration::from_millis(1);

    impl AsyncRead for Trickle {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            ready!(Pin::new(&mut self.0).poll(context));
            self.0.set_after(PAUSE);
            buffer[0] = b'A';
            Poll::Ready(Ok(1))
        }
    }

    #[test]
    fn a_head_has_one_deadline_however_it_comes() {
        let mut client = Trickle(Timer::after(PAUSE));
        // Far less than the head takes up to its limit of length, and far more than one byte takes.
        let mut buffer = Vec::new();
        let result = block_on(Request::read(&mut client, &mut buffer, PAUSE * 100));
        let error = result.err().expect("it is given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
