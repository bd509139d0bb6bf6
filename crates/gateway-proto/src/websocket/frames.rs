//! Where each WebSocket frame of a byte stream ends, and what tungstenite does not tell of it.
//!
//! tungstenite is handed a close frame by itself, and nothing that breaks a rule which it does not check. So this knows which
//! frame an error of tungstenite's is about, and can add what gets lost there: lengths that RFC 6455 forbids, and the close
//! code of a close frame that is not valid.

use tungstenite::protocol::frame::coding::CloseCode;

use crate::Closed;

/// The longest header: two bytes, a length of eight, a mask of four.
const LONGEST_HEADER: usize = 14;
/// "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455, section 5.5).
const LONGEST_CONTROL: u64 = 125;
const OPCODE_CLOSE: u8 = 0x8;
/// The bit of a frame's first byte that says that it is the last of its message.
const FINAL: u8 = 0x80;
/// The bit of a frame's first byte that says that it is a control frame (RFC 6455, section 5.5).
const CONTROL: u8 = 0x08;

/// A payload beyond this makes buffers grow that are worth giving back.
const LARGE: u64 = 64 << 10;

/// Follows the frames that a server sends.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; LONGEST_HEADER],
    header_length: usize,
    /// Payload bytes of the frame that have not come; None while the header is not complete.
    missing: Option<u64>,
    /// A fragment of a message has come, and not the last.
    fragmented: bool,
    /// The frame is a large one.
    large: bool,
    /// What was admitted last ends with a large frame.
    behind_large: bool,
    /// The payload of the close frame.
    close: Option<Vec<u8>>,
    violation: Option<&'static str>,
}

impl Frames {
    /// How many of these bytes to hand on: as many as there are, but no close frame together with what is before it, and
    /// nothing after one; nor anything together with the end of a large frame before it. None at all from a violation on.
    ///
    /// To be called with what was left over first, once everything handed on has been dealt with.
    pub fn admit(&mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        while let Some(first) = bytes.get(count) {
            let between_frames = self.header_length == 0;
            if count > 0 && between_frames && first & 0x0f == OPCODE_CLOSE {
                break;
            }
            match self.admit_frame(&bytes[count..]) {
                0 => break,
                admitted => count += admitted,
            }
            if self.behind_large {
                break;
            }
        }
        count
    }

    /// Whether what was admitted last ends with a frame of more than 64 KiB: a reader that has dealt with it has nothing
    /// left in its buffers.
    pub fn is_behind_large(&self) -> bool {
        self.behind_large
    }

    /// As [`Frames::admit`], but none beyond the end of a frame.
    pub fn admit_frame(&mut self, bytes: &[u8]) -> usize {
        if self.violation.is_some() || (self.close.is_some() && self.missing.is_none()) {
            return 0;
        }
        let mut count = 0;
        self.behind_large = false;
        while self.missing.is_none() {
            let Some(byte) = bytes.get(count) else { return count };
            self.header[self.header_length] = *byte;
            self.header_length += 1;
            count += 1;
            if self.header_length == header_length(&self.header[..self.header_length])
                && !self.begin_payload()
            {
                return 0;
            }
        }
        let missing = self.missing.unwrap_or_default();
        let rest = &bytes[count..];
        let payload = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
        if let Some(close) = &mut self.close {
            close.extend_from_slice(&rest[..payload]);
        }
        self.missing = Some(missing - payload as u64).filter(|missing| *missing > 0);
        if self.missing.is_none() {
            self.behind_large = self.large;
            self.header_length = 0;
            if self.header[0] & CONTROL == 0 {
                self.fragmented = self.header[0] & FINAL == 0;
            }
        }
        count + payload
    }

    /// Whether the beginning of a message has come and its end has not.
    pub fn is_message_under_way(&self) -> bool {
        self.fragmented || (self.header_length > 0 && self.header[0] & CONTROL == 0)
    }

    /// What the header of the newest frame says that no header may say.
    pub fn violation(&self) -> Option<&'static str> {
        self.violation
    }

    /// What the close frame says, if one has come.
    pub fn closed(&self) -> Option<Closed> {
        self.close.as_ref()?;
        Some(match self.close_code() {
            None => Closed::Frame { code: None, reason: String::new() },
            Some((code, _)) if !CloseCode::from(code).is_allowed() => {
                Closed::Protocol(format!("a close frame had the code {code}, which may not be sent"))
            }
            Some((code, reason)) => {
                Closed::Frame { code: Some(code), reason: String::from_utf8_lossy(reason).into_owned() }
            }
        })
    }

    /// The close code and the reason of the close frame that came, as they came.
    fn close_code(&self) -> Option<(u16, &[u8])> {
        let (code, reason) = self.close.as_ref()?.split_first_chunk()?;
        Some((u16::from_be_bytes(*code), reason))
    }

    /// Reads the complete header. False: it is not valid.
    fn begin_payload(&mut self) -> bool {
        let [first, second, extended @ ..] = &self.header;
        let control = first & CONTROL != 0;
        let (length, least) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([extended[0], extended[1]])), 126),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&extended[..8]);
                (u64::from_be_bytes(bytes), 1 << 16)
            }
            length => (u64::from(length), 0),
        };
        if control && length > LONGEST_CONTROL {
            self.violation = Some("a control frame was too long");
        } else if length < least {
            self.violation = Some("a frame's length was not written in the shortest way");
        } else if length > u64::MAX / 2 {
            self.violation = Some("a frame's length had its highest bit set");
        } else {
            self.missing = Some(length);
            self.large = length > LARGE;
            if first & 0x0f == OPCODE_CLOSE {
                self.close = Some(Vec::new());
            }
        }
        self.violation.is_none()
    }
}

/// How long the header is, as far as can be told from its beginning.
fn header_length(header: &[u8]) -> usize {
    let [_, second, ..] = header else { return 2 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + extended + mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the pieces in which a stream is handed on.
    fn pieces(mut bytes: &[u8], at_most: usize) -> Vec<usize> {
        let mut frames = Frames::default();
        let mut pieces = Vec::new();
        loop {
            match frames.admit_frame(&bytes[..bytes.len().min(at_most)]) {
                0 => return pieces,
                count => {
                    pieces.push(count);
                    bytes = &bytes[count..];
                }
            }
        }
    }

    fn binary(length: usize) -> Vec<u8> {
        let mut frame = match length {
            0..126 => vec![0x82, length as u8],
            126..0x1_0000 => [&[0x82, 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[0x82, 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        frame.resize(frame.len() + length, 0);
        frame
    }

    #[test]
    fn nothing_follows_the_end_of_a_large_frame() {
        let length = LARGE as usize + 1;
        let mut bytes = vec![0x82, 1, 7, 0x82, 127];
        bytes.extend((length as u64).to_be_bytes());
        bytes.resize(bytes.len() + length, 0);
        let behind = bytes.len();
        bytes.extend([0x82, 1, 7, 0x82, 0]);
        let mut frames = Frames::default();
        assert_eq!(frames.admit(&bytes[..10]), 10);
        assert!(!frames.is_behind_large());
        assert_eq!(frames.admit(&bytes[10..]), behind - 10);
        assert!(frames.is_behind_large());
        assert_eq!(frames.admit(&bytes[behind..]), 5);
        assert!(!frames.is_behind_large());
    }

    #[test]
    fn a_frame_is_handed_on_at_a_time() {
        let lengths = [0, 1, 125, 126, 0xffff, 0x1_0000];
        let stream: Vec<u8> = lengths.iter().flat_map(|length| binary(*length)).collect();
        let expected: Vec<usize> = lengths.iter().map(|length| binary(*length).len()).collect();
        assert_eq!(pieces(&stream, usize::MAX), expected);
        assert_eq!(pieces(&stream, 1), vec![1; stream.len()]);
    }

    #[test]
    fn nothing_is_handed_on_after_a_close_frame() {
        let stream = [&binary(3)[..], &[0x88, 4, 0x0f, 0xa0, b'o', b'k'], &binary(3)].concat();
        assert_eq!(pieces(&stream, usize::MAX), [5, 6]);
        let mut frames = Frames::default();
        assert!(stream.iter().take(11).all(|byte| frames.admit_frame(&[*byte]) == 1));
        assert_eq!(frames.close_code(), Some((4000, &b"ok"[..])));
        assert_eq!(frames.admit_frame(b"x"), 0);
    }

    #[test]
    fn a_close_frame_without_a_code_has_none() {
        for stream in [&[0x88, 0][..], &[0x88, 1, 3]] {
            let mut frames = Frames::default();
            assert_eq!(frames.admit_frame(stream), stream.len());
            assert_eq!(frames.close_code(), None);
        }
    }

    #[test]
    fn lengths_that_may_not_be_are_seen_as_soon_as_the_header_is_there() {
        let cases: [(&[u8], &str); 5] = [
            (&[0x89, 126, 0, 126], "too long"),
            (&[0x88, 127, 0, 0, 0, 0, 0, 1, 0, 0], "too long"),
            (&[0x82, 126, 0, 125], "shortest"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "shortest"),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], "highest bit"),
        ];
        for (header, text) in cases {
            let mut frames = Frames::default();
            let (last, rest) = header.split_last().unwrap();
            assert_eq!(frames.admit_frame(rest), rest.len());
            assert_eq!(frames.violation(), None);
            assert_eq!(frames.admit_frame(&[*last]), 0);
            assert!(frames.violation().is_some_and(|violation| violation.contains(text)), "{text}");
        }
    }

    #[test]
    fn frames_are_handed_on_together_but_a_close_frame_alone() {
        let close = [0x88, 4, 0x0f, 0xa0, b'o', b'k'];
        let stream = [&binary(3)[..], &binary(200), &close, &binary(3)].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.admit(&stream), 5 + 204);
        assert_eq!(frames.closed(), None, "what comes before it is to be dealt with first");
        assert_eq!(frames.admit(&stream[209..]), 6);
        assert_eq!(frames.closed(), Some(Closed::Frame { code: Some(4000), reason: "ok".to_owned() }));
        assert_eq!(frames.admit(&stream[215..]), 0);
        // Nor is what comes before a violation kept back.
        let stream = [&binary(3)[..], &[0x82, 126, 0, 125]].concat();
        let mut frames = Frames::default();
        assert_eq!((frames.admit(&stream), frames.admit(&stream[5..])), (5, 0));
        assert!(frames.violation().is_some());
    }

    #[test]
    fn a_message_is_under_way_from_its_first_byte_to_its_last() {
        let ping: &[u8] = &[0x89, 1, 0];
        let stream: [(&[u8], bool); 9] = [
            (&[0x02], true),
            (&[3, 1, 2, 3], true),
            (ping, true),
            (&[0x00, 1, 1], true),
            (&[0x80, 1], true),
            (&[1], false),
            (&[0x89], false),
            (&[0], false),
            (&[0x82, 0], false),
        ];
        let mut frames = Frames::default();
        for (bytes, under_way) in stream {
            assert_eq!(frames.admit(bytes), bytes.len());
            assert_eq!(frames.is_message_under_way(), under_way, "{bytes:x?}");
        }
    }

    #[test]
    fn a_mask_belongs_to_the_header() {
        assert_eq!(pieces(&[0x82, 0x81, 1, 2, 3, 4, 5, 0x82, 0], usize::MAX), [7, 2]);
    }
}
