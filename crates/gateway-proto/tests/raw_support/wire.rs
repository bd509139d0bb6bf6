//! The server's side of the wire: answers to upgrades, frames to send, frames to read.

use std::io::Cursor;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

/// Opcodes of RFC 6455, section 5.2.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame of the client's, its mask taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFrame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl ClientFrame {
    /// The code and the reason of a close frame.
    pub(crate) fn close(&self) -> Option<(u16, String)> {
        let (code, reason) = self.payload.split_first_chunk()?;
        (self.opcode == CLOSE)
            .then(|| (u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned()))
    }
}

/// The bytes of one frame with any first byte, unmasked, its length written in the usual way.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ 0..126 => vec![length as u8],
        length @ 126..0x1_0000 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x80 | TEXT, payload.as_bytes())
}

pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x80 | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A message of the simulator's, as tungstenite frames it.
pub(crate) fn message(message: &gateway_sim::Message) -> Vec<u8> {
    let size = message.payload.len().div_ceil(message.fragments.max(1)).max(1);
    let mut parts = message.payload.chunks(size).peekable();
    let mut kind = if message.binary { Data::Binary } else { Data::Text };
    let mut bytes = Vec::new();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        write(Frame::message(part.to_vec(), OpCode::Data(kind), last), &mut bytes);
        kind = Data::Continue;
    }
    bytes
}

/// A close frame of the simulator's.
pub(crate) fn close_frame(code: Option<u16>, reason: &str) -> Vec<u8> {
    let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
    let mut bytes = Vec::new();
    write(Frame::close(frame), &mut bytes);
    bytes
}

fn write(frame: Frame, bytes: &mut Vec<u8>) {
    frame.format(bytes).expect("a vector takes everything");
}

/// The answer to an upgrade request that RFC 6455 asks for.
pub(crate) fn accept(request: &str) -> String {
    let key = header(request, "Sec-WebSocket-Key").expect("an upgrade request has a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

pub(crate) fn refuse(response: &gateway_sim::Response) -> String {
    let mut head = format!("HTTP/1.1 {} Refused\r\n", response.status);
    for (name, value) in refusal_headers(response) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n" + &response.body
}

/// All of them, names and values.
pub(crate) fn refusal_headers(response: &gateway_sim::Response) -> Vec<(String, String)> {
    let length = ("Content-Length".to_owned(), response.body.len().to_string());
    let others = response.headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    std::iter::once(length).chain(others).collect()
}

/// The value of a header of a request.
pub(crate) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What a server has read of one connection: the request, then frames.
#[derive(Default)]
pub(crate) struct ServerReader {
    received: Vec<u8>,
    upgraded: bool,
}

impl ServerReader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The upgrade request, once.
    pub(crate) fn request(&mut self) -> Option<String> {
        if self.upgraded {
            return None;
        }
        let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        self.upgraded = true;
        let head = self.received.drain(..end).collect();
        Some(String::from_utf8(head).expect("a request is text"))
    }

    /// The next whole frame. Panics where it is not one that a client may send.
    pub(crate) fn frame(&mut self) -> Option<ClientFrame> {
        let mut cursor = Cursor::new(&self.received);
        let (header, length) = FrameHeader::parse(&mut cursor).expect("a client's frame is valid")?;
        let (start, length) = (cursor.position() as usize, length as usize);
        let mut payload = self.received.get(start..start + length)?.to_vec();
        self.received.drain(..start + length);
        let mask = header.mask.expect("a client's frames are masked (RFC 6455, section 5.3)");
        assert!(header.is_final, "this client does not send fragments");
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Some(ClientFrame { opcode: header.opcode.into(), payload })
    }
}
