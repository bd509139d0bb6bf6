//! WebSocket frames of a server (RFC 6455, section 5), as tungstenite writes them, and invalid ones.

use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::message::Message;

/// The bytes of an unmasked frame with any first byte, with its length encoded in the shortest form (RFC 6455, section
/// 5.2). For invalid frames: the first byte holds the final bit, the reserved bits and the opcode.
///
/// ```
/// assert_eq!(gateway_sim::frame(0x81, b"hi"), b"\x81\x02hi");
/// ```
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut bytes = Vec::with_capacity(length + 10);
    bytes.push(first);
    if let Ok(length @ 0..=125) = u8::try_from(length) {
        bytes.push(length);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(126);
        bytes.extend_from_slice(&length.to_be_bytes());
    } else {
        bytes.push(127);
        bytes.extend_from_slice(&(length as u64).to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Splits a message into its frames.
pub(crate) fn frames(message: Message) -> Vec<Frame> {
    let first = if message.binary { Data::Binary } else { Data::Text };
    if message.fragments <= 1 || message.payload.is_empty() {
        return vec![Frame::message(message.payload, OpCode::Data(first), true)];
    }
    let size = message.payload.len().div_ceil(message.fragments).max(1);
    let mut parts = message.payload.chunks(size).peekable();
    let mut kind = first;
    let mut frames = Vec::new();
    while let Some(part) = parts.next() {
        frames.push(Frame::message(part.to_vec(), OpCode::Data(kind), parts.peek().is_none()));
        kind = Data::Continue;
    }
    frames
}

/// The bytes of frames.
pub(crate) fn bytes(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.reserve(frame.len());
        // Writing to a vector does not fail.
        let _ = frame.format(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::About;

    fn message(payload: &[u8], fragments: usize) -> Message {
        Message { binary: true, payload: payload.to_vec(), fragments, about: About::default() }
    }

    /// Compares both writers at every boundary of the length encoding.
    #[test]
    fn a_frame_is_as_tungstenite_writes_it() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let payload = vec![7; length];
            assert_eq!(frame(0x82, &payload), bytes(frames(message(&payload, 1))), "{length}");
        }
    }

    #[test]
    fn a_message_goes_out_in_as_many_frames_as_it_says() {
        let parts = [frame(0x02, b"ab"), frame(0x00, b"cd"), frame(0x80, b"e")].concat();
        assert_eq!(bytes(frames(message(b"abcde", 3))), parts);
        assert_eq!(bytes(frames(message(b"", 3))), frame(0x82, b""));
    }
}
