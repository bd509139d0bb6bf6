//! A message on its way out.

use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::Message;

/// Appends a message to bytes that are to be sent, in a single frame.
///
/// "A client MUST mask all frames that it sends to the server", and "the masking key needs to be unpredictable" (RFC 6455,
/// sections 5.1 and 5.3).
pub fn write_message(message: Message, mask: [u8; 4], out: &mut Vec<u8>) {
    let (payload, kind) = match message {
        Message::Text(payload) => (payload, Data::Text),
        Message::Binary(payload) => (payload, Data::Binary),
    };
    let header = FrameHeader { opcode: OpCode::Data(kind), mask: Some(mask), ..FrameHeader::default() };
    // Its one error is the writer's, and a vector has none.
    let _ = Frame::from_payload(header, payload).format(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked text of RFC 6455, section 5.7.
    #[test]
    fn a_text_is_masked_as_in_the_example() {
        let mut out = vec![0xff];
        write_message(Message::Text("Hello".into()), [0x37, 0xfa, 0x21, 0x3d], &mut out);
        assert_eq!(out, [0xff, 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_long_binary_message_has_a_long_header() {
        let mut out = Vec::new();
        write_message(Message::Binary(vec![7; 4096].into()), [0, 0, 0, 0], &mut out);
        assert_eq!(out[..8], [0x82, 0xfe, 0x10, 0, 0, 0, 0, 0]);
        assert_eq!(out[8..], [7; 4096]);
    }
}
