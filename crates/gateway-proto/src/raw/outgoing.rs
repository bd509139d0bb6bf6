//! Writes frames (RFC 6455, section 5.2).

use super::frames::{BINARY, CLOSE, FINAL, MASKED, TEXT};
use crate::text::beginning;
use crate::{CloseFrame, Message};

/// "[…] the reason is at most 123 bytes": a control frame has 125 (RFC 6455, section 5.5), two of them the code's.
const LONGEST_REASON: usize = 123;

/// Appends a message in a single frame.
pub(crate) fn write_message(message: &Message, mask: [u8; 4], out: &mut Vec<u8>) {
    let opcode = match message {
        Message::Text(_) => TEXT,
        Message::Binary(_) => BINARY,
    };
    write_frame(opcode, message.as_bytes(), mask, out);
}

/// Appends a close frame: the code, then the reason (section 5.5.1). A reason that is too long is cut.
pub(crate) fn write_close(frame: Option<&CloseFrame>, mask: [u8; 4], out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    if let Some(CloseFrame { code, reason }) = frame {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(beginning(reason, LONGEST_REASON).as_bytes());
    }
    write_frame(CLOSE, &payload, mask, out);
}

/// Appends a whole frame.
///
/// "A client MUST mask all frames that it sends to the server", and "the masking key needs to be unpredictable" (sections
/// 5.1 and 5.3).
pub(crate) fn write_frame(opcode: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.push(FINAL | opcode);
    match payload.len() {
        length @ 0..126 => out.push(MASKED | length as u8),
        length @ 126..0x1_0000 => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    for (byte, mask) in out[start..].iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked text of section 5.7.
    #[test]
    fn a_text_is_masked_as_in_the_example() {
        let mut out = vec![0xff];
        write_message(&Message::Text("Hello".into()), [0x37, 0xfa, 0x21, 0x3d], &mut out);
        assert_eq!(out, [0xff, 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn the_length_is_written_in_the_shortest_way() {
        for (length, header) in [
            (0, &[0x82, 0x80][..]),
            (125, &[0x82, 0xfd]),
            (126, &[0x82, 0xfe, 0, 126]),
            (0xffff, &[0x82, 0xfe, 0xff, 0xff]),
            (0x1_0000, &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_message(&Message::Binary(vec![7; length].into()), [0; 4], &mut out);
            assert_eq!(out[..header.len()], *header);
            assert_eq!(out[header.len()..], [&[0; 4][..], &vec![7; length]].concat());
        }
    }

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        let frame = CloseFrame { code: 4000, reason: "\u{e9}".repeat(100).into() };
        let mut out = Vec::new();
        write_close(Some(&frame), [0; 4], &mut out);
        assert_eq!(out[..2], [0x88, 0x80 | 124]);
        assert_eq!(out[6..], [&[0x0f, 0xa0][..], "\u{e9}".repeat(61).as_bytes()].concat());
        let mut out = Vec::new();
        write_close(None, [0; 4], &mut out);
        assert_eq!(out, [0x88, 0x80, 0, 0, 0, 0]);
    }
}
