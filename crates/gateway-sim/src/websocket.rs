//! The server's end of a WebSocket as a value: decodes the client's bytes, and encodes the server's messages.
//! `tungstenite` reads and writes the frames.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;

use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, WebSocket};

use crate::frames::{bytes, frames};
use crate::http::{self, Request};
use crate::message::Message;
use crate::response::Response;

/// The largest client message that is read, in bytes. The protocol's limit is much lower.
const READ_LIMIT: usize = 1024 * 1024;
/// The most bytes of one read.
pub(crate) const READ_BUFFER: usize = 4 * 1024;

/// The server's end of a WebSocket over bytes, for a server that a test scripts. [`ByteConnection`] connects it to a
/// gateway.
///
/// ```
/// use gateway_sim::{FromClient, WebSocketServer};
///
/// let mut server = WebSocketServer::default();
/// server.receive(b"GET /?v=10 HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
/// server.receive(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
/// let Some(FromClient::Request(request)) = server.poll() else { panic!("the request is whole") };
/// assert_eq!(request.target, "/?v=10");
/// server.accept(request.upgrade_key().unwrap());
/// assert!(server.take_written().starts_with(b"HTTP/1.1 101 "));
/// server.receive(b"\x81\x82\x00\x00\x00\x00hi");
/// assert_eq!(server.poll(), Some(FromClient::Text("hi".to_owned())));
/// ```
///
/// [`ByteConnection`]: crate::ByteConnection
#[derive(Debug)]
pub struct WebSocketServer {
    reading: Reading,
    /// Bytes to write that were not taken yet.
    written: Vec<u8>,
}

#[derive(Debug)]
enum Reading {
    /// An incomplete HTTP head.
    Head(Vec<u8>),
    Frames(Box<WebSocket<Pipe>>),
    /// A close frame has arrived. These bytes follow it.
    Closed(Vec<u8>),
    /// Nothing is read any more.
    Ended,
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FromClient {
    /// An HTTP request. One with an [`upgrade_key`](Request::upgrade_key) is the last: frames follow.
    Request(Request),
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping. Its pong is already queued.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame with code and reason, or an empty one. The caller answers it.
    Close(Option<(u16, String)>),
    /// Bytes after the close frame, which no client may send (RFC 6455, section 5.5.1).
    AfterClose(Vec<u8>),
    /// A message that is too large. Nothing that follows is read.
    TooLarge,
    /// Invalid bytes (RFC 6455, section 7.1.7). Nothing that follows is read.
    Invalid {
        /// The reason.
        detail: String,
        /// The code for the server's close frame: 1002, or 1007 for text that is not UTF-8. `None` before the upgrade.
        code: Option<u16>,
    },
}

impl Default for WebSocketServer {
    fn default() -> Self {
        Self { reading: Reading::Head(Vec::new()), written: Vec::new() }
    }
}

impl WebSocketServer {
    /// Takes bytes from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        match &mut self.reading {
            Reading::Head(head) => head.extend_from_slice(bytes),
            Reading::Frames(socket) => socket.get_mut().incoming.extend(bytes),
            Reading::Closed(late) => late.extend_from_slice(bytes),
            Reading::Ended => {}
        }
    }

    /// The next thing that the client sent.
    pub fn poll(&mut self) -> Option<FromClient> {
        let received = match &mut self.reading {
            Reading::Head(head) => {
                let request = match Request::parse(head) {
                    Ok(request) => request?,
                    Err(error) => {
                        self.reading = Reading::Ended;
                        return Some(FromClient::Invalid { detail: error.to_string(), code: None });
                    }
                };
                if request.upgrade_key().is_some() {
                    let pipe = Pipe { incoming: mem::take(head).into(), outgoing: Vec::new() };
                    let socket = WebSocket::from_raw_socket(pipe, Role::Server, Some(config()));
                    self.reading = Reading::Frames(Box::new(socket));
                }
                return Some(FromClient::Request(request));
            }
            Reading::Frames(socket) => {
                let received = next_frame(socket);
                // The pipe accepts everything, so an error is the end of the WebSocket.
                if matches!(received, Some(FromClient::Ping(_))) {
                    let _ = socket.flush();
                }
                self.written.append(&mut socket.get_mut().outgoing);
                received?
            }
            Reading::Closed(late) if late.is_empty() => return None,
            Reading::Closed(late) => return Some(FromClient::AfterClose(mem::take(late))),
            Reading::Ended => return None,
        };
        match (&received, &mut self.reading) {
            (FromClient::Close(_), Reading::Frames(socket)) => {
                // tungstenite's answer is dropped: the caller sends its own.
                let late = mem::take(&mut socket.get_mut().incoming).into();
                self.reading = Reading::Closed(late);
            }
            (FromClient::TooLarge | FromClient::Invalid { .. }, _) => self.reading = Reading::Ended,
            _ => {}
        }
        Some(received)
    }

    /// Accepts the upgrade request with this key.
    pub fn accept(&mut self, key: &str) {
        self.write(&http::switching_protocols(key));
    }

    /// Answers a request. `keeps_alive`: whether more requests may follow.
    pub fn respond(&mut self, response: &Response, keeps_alive: bool) {
        self.write(&http::response(response, keeps_alive));
    }

    /// Sends a message.
    pub fn send(&mut self, message: Message) {
        self.write_frames(frames(message));
    }

    /// Sends a ping.
    pub fn ping(&mut self) {
        self.write_frames([Frame::ping(Vec::new())]);
    }

    /// Sends a close frame with this code and reason, or an empty one.
    pub fn close(&mut self, code: Option<u16>, reason: &str) {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
        self.write_frames([Frame::close(frame)]);
    }

    /// Sends bytes unchanged: invalid frames, or parts of frames. See [`frame`](crate::frame).
    pub fn write(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
    }

    /// Takes the bytes to write to the stream.
    pub fn take_written(&mut self) -> Vec<u8> {
        mem::take(&mut self.written)
    }

    fn write_frames(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.written.append(&mut bytes(frames));
    }
}

/// The configuration of tungstenite.
pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(READ_LIMIT))
        .max_frame_size(Some(READ_LIMIT))
}

/// The code of the close frame for a client that violates the protocol (RFC 6455, section 7.4.1).
pub(crate) fn close_code(error: &Error) -> u16 {
    if matches!(error, Error::Utf8(_)) { 1007 } else { 1002 }
}

fn next_frame(socket: &mut WebSocket<Pipe>) -> Option<FromClient> {
    use tungstenite::Message;
    loop {
        return Some(match socket.read() {
            Ok(Message::Text(text)) => FromClient::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => FromClient::Binary(bytes.into()),
            Ok(Message::Ping(payload)) => FromClient::Ping(payload.into()),
            Ok(Message::Pong(payload)) => FromClient::Pong(payload.into()),
            Ok(Message::Close(frame)) => {
                FromClient::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())))
            }
            Ok(Message::Frame(_)) => continue,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(Error::Capacity(_)) => FromClient::TooLarge,
            Err(error) => FromClient::Invalid { detail: error.to_string(), code: Some(close_code(&error)) },
        });
    }
}

/// A stream in memory. A read returns one byte, so that tungstenite buffers nothing beyond a close frame; a write accepts
/// everything.
#[derive(Debug)]
struct Pipe {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        *first = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(1)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /?v=10 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Everything that is decoded from these bytes, passed in pieces of `size` bytes.
    fn said(bytes: &[u8], size: usize) -> (Vec<FromClient>, Vec<u8>) {
        let mut server = WebSocketServer::default();
        let mut said = Vec::new();
        for part in bytes.chunks(size) {
            server.receive(part);
            said.extend(std::iter::from_fn(|| server.poll()));
        }
        (said, server.take_written())
    }

    fn after_upgrade(bytes: &[u8]) -> (Vec<FromClient>, Vec<u8>) {
        let bytes = [UPGRADE.as_bytes(), bytes].concat();
        let (mut whole, written) = said(&bytes, bytes.len());
        assert_eq!(said(&bytes, 1), (whole.clone(), written.clone()), "cut at every byte");
        assert!(matches!(&whole[0], FromClient::Request(request) if request.target == "/?v=10"));
        (whole.split_off(1), written)
    }

    /// A client's frame, masked with zeros.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn messages_come_whole_wherever_they_are_cut() {
        let bytes =
            [masked(0x01, b"a"), masked(0x89, b"?"), masked(0x80, b"b"), masked(0x82, b"\xff")].concat();
        let (said, written) = after_upgrade(&bytes);
        let ping = FromClient::Ping(b"?".to_vec());
        assert_eq!(said, [ping, FromClient::Text("ab".to_owned()), FromClient::Binary(b"\xff".to_vec())]);
        assert_eq!(written, crate::frame(0x8a, b"?"), "a ping within a message is answered at once");
    }

    #[test]
    fn a_close_frame_is_not_answered_and_what_comes_behind_it_is_no_message() {
        let (said, written) = after_upgrade(&masked(0x88, b"\x0f\xa0why"));
        assert_eq!(said, [FromClient::Close(Some((4000, "why".to_owned())))]);
        assert_eq!(written, b"");
        let late = masked(0x81, b"late");
        let bytes = [UPGRADE.as_bytes(), &masked(0x88, b""), &late].concat();
        let (said, _) = super::tests::said(&bytes, bytes.len());
        assert_eq!(said[1..], [FromClient::Close(None), FromClient::AfterClose(late)]);
    }

    #[test]
    fn what_no_client_may_send_ends_it_with_a_code() {
        let unmasked = crate::frame(0x81, b"hi");
        for (bytes, expected) in [(masked(0xc1, b""), 1002), (unmasked, 1002), (masked(0x81, b"\xff"), 1007)]
        {
            let (said, _) = after_upgrade(&bytes);
            let [FromClient::Invalid { code, .. }] = &said[..] else { panic!("{said:?}") };
            assert_eq!(*code, Some(expected), "{bytes:?}");
        }
        let huge = [&[0x82, 0xff][..], &(READ_LIMIT as u64 + 1).to_be_bytes(), &[0; 4]].concat();
        assert_eq!(after_upgrade(&huge).0, [FromClient::TooLarge]);
    }

    #[test]
    fn requests_come_before_the_upgrade_and_a_broken_one_ends_it() {
        let bytes = [b"GET /a HTTP/1.1\r\n\r\n", UPGRADE.as_bytes()].concat();
        let (said, _) = said(&bytes, 7);
        let [FromClient::Request(first), FromClient::Request(second)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((first.upgrade_key(), second.upgrade_key()), (None, Some("dGhlIHNhbXBsZSBub25jZQ==")));
        for bytes in [b"\x16\x03\x01 no HTTP\r\n\r\n".to_vec(), vec![b'x'; 17 * 1024]] {
            let (said, _) = super::tests::said(&bytes, 512);
            assert!(matches!(said[..], [FromClient::Invalid { code: None, .. }]), "{said:?}");
        }
    }
}
