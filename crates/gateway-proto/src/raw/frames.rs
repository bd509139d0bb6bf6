//! Parses a server's byte stream into messages and control frames (RFC 6455, section 5).

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use gateway_codec::copy_to_block;

use super::failure::Failure;
use crate::{CloseFrame, Closed, Message};

/// The longest header: two bytes, a length of eight. A mask is a violation before it comes.
const LONGEST_HEADER: usize = 10;
/// "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455, section 5.5).
const LONGEST_CONTROL: u64 = 125;
/// The bit of a frame's first byte that marks the last frame of a message.
pub(super) const FINAL: u8 = 0x80;
/// "MUST be 0 unless an extension is negotiated" (section 5.2). None ever is.
const RESERVED: u8 = 0x70;
/// The bit of a frame's second byte that marks a masked frame.
pub(super) const MASKED: u8 = 0x80;
/// The maximum capacity that is reserved by the length in a header, in bytes: enough for almost all messages, so that most need
/// one allocation. Beyond this, capacity grows with the received bytes.
const FIRST_ROOM: usize = 1 << 20;

/// Opcodes (section 5.2).
const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// Parses the frames of a server.
#[derive(Debug)]
pub(super) struct Frames {
    /// The most bytes that a message may have.
    message_bytes: usize,
    header: [u8; LONGEST_HEADER],
    header_length: usize,
    /// Payload bytes of the frame that were not received. `None` while the header is not complete.
    missing: Option<u64>,
    /// The message whose fragments are arriving.
    message: Option<Fragments>,
    /// The payload of the control frame.
    control: Vec<u8>,
    /// Whether parsing has ended, with a violation or a close frame.
    over: bool,
}

/// A part of a stream.
#[derive(Debug)]
pub(super) enum Part {
    /// A whole message. A text is UTF-8.
    Message(Message),
    /// A ping, with the payload for its pong.
    Ping(Vec<u8>),
    Pong,
    /// A close frame. Nothing after it counts.
    Close {
        /// What to answer, unless a close frame has been sent already. None: a close frame without a code.
        answer: Option<CloseFrame>,
        /// What to report to the shard.
        closed: Closed,
    },
    /// A violation of the protocol. It is the last part.
    Failed(Failure),
}

/// The beginning of a message.
#[derive(Debug)]
struct Fragments {
    text: bool,
    bytes: Vec<u8>,
}

impl Frames {
    /// For a new connection, with messages of at most `message_bytes` bytes.
    pub(super) fn new(message_bytes: usize) -> Self {
        Self {
            message_bytes,
            header: [0; LONGEST_HEADER],
            header_length: 0,
            missing: None,
            message: None,
            control: Vec::new(),
            over: false,
        }
    }

    /// Removes bytes from the front of `bytes` until they complete a part. `None` if all are taken and complete none.
    ///
    /// No part follows a close frame.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<Part> {
        while !self.over {
            let missing = match self.missing {
                Some(missing) => missing,
                None => match self.take_header(bytes)? {
                    Ok(length) => length,
                    Err(failure) => {
                        self.over = true;
                        return Some(Part::Failed(failure));
                    }
                },
            };
            let count = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
            let (payload, rest) = bytes.split_at(count);
            *bytes = rest;
            let missing = missing.saturating_sub(count as u64);
            if missing > 0 {
                self.missing = Some(missing);
                self.keep(payload, missing);
                return None;
            }
            self.missing = None;
            self.header_length = 0;
            if let Some(part) = self.end_frame(payload) {
                return Some(part);
            }
        }
        *bytes = &[];
        None
    }

    /// Whether the beginning of a message was received, and its end was not.
    pub(super) fn is_message_under_way(&self) -> bool {
        self.message.is_some() || (self.header_length > 0 && !is_control(self.header[0]))
    }

    /// Takes the header, and returns the length of the payload. `None` if the header is incomplete.
    fn take_header(&mut self, bytes: &mut &[u8]) -> Option<Result<u64, Failure>> {
        loop {
            let complete = header_length(&self.header[..self.header_length]);
            if self.header_length == complete {
                return Some(self.check_header());
            }
            let count = complete.saturating_sub(self.header_length).min(bytes.len());
            if count == 0 {
                return None;
            }
            let (header, rest) = bytes.split_at(count);
            self.header[self.header_length..][..count].copy_from_slice(header);
            self.header_length = self.header_length.saturating_add(count);
            *bytes = rest;
        }
    }

    /// Checks the complete header. Returns the length of the payload.
    fn check_header(&mut self) -> Result<u64, Failure> {
        let [first, second, extended @ ..] = &self.header;
        let (length, least) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([extended[0], extended[1]])), 126),
            127 => (u64::from_be_bytes(*extended), 1 << 16),
            length => (u64::from(length), 0),
        };
        let opcode = first & 0x0f;
        let fragment = first & FINAL == 0;
        let violation = match opcode {
            _ if first & RESERVED != 0 => "a frame had reserved bits set",
            3..=7 | 0xb.. => {
                return Err(Failure::protocol(format!("a frame had the reserved opcode {opcode}")));
            }
            _ if second & MASKED != 0 => "a frame was masked",
            CLOSE | PING | PONG if fragment => "a control frame was fragmented",
            CLOSE | PING | PONG if length > LONGEST_CONTROL => "a control frame was too long",
            _ if length < least => "a frame's length was not written in the shortest way",
            _ if length > u64::MAX / 2 => "a frame's length had its highest bit set",
            CONTINUATION if self.message.is_none() => "a fragment continued nothing",
            TEXT | BINARY if self.message.is_some() => "a message began within another",
            CONTINUATION | TEXT | BINARY => {
                let before = self.message.as_ref().map_or(0, |message| message.bytes.len());
                let room = self.message_bytes.saturating_sub(before) as u64;
                return if length > room { Err(Failure::too_large()) } else { Ok(length) };
            }
            _ => return Ok(length),
        };
        Err(Failure::protocol(violation))
    }

    /// Stores a piece of a payload. `missing` is the number of bytes after it.
    fn keep(&mut self, piece: &[u8], missing: u64) {
        if is_control(self.header[0]) {
            return self.control.extend_from_slice(piece);
        }
        let text = self.header[0] & 0x0f == TEXT;
        let message = self.message.get_or_insert_with(|| Fragments { text, bytes: Vec::new() });
        message.make_room(piece.len(), usize::try_from(missing).unwrap_or(usize::MAX));
        message.bytes.extend_from_slice(piece);
    }

    /// Ends a frame with the last piece of its payload.
    fn end_frame(&mut self, piece: &[u8]) -> Option<Part> {
        let first = self.header[0];
        if is_control(first) {
            return Some(self.end_control(piece));
        }
        let text = first & 0x0f == TEXT;
        let (text, bytes) = match self.message.take() {
            // The usual case: a message in one piece.
            None if first & FINAL != 0 => (text, copy_to_block(piece)),
            begun => {
                let mut message = begun.unwrap_or(Fragments { text, bytes: Vec::new() });
                message.make_room(piece.len(), 0);
                message.bytes.extend_from_slice(piece);
                if first & FINAL == 0 {
                    self.message = Some(message);
                    return None;
                }
                (message.text, message.bytes.into())
            }
        };
        Some(match text {
            false => Part::Message(Message::Binary(bytes)),
            true if simdutf8::basic::from_utf8(&bytes).is_ok() => Part::Message(Message::Text(bytes)),
            true => {
                self.over = true;
                Part::Failed(Failure::not_utf8())
            }
        })
    }

    /// A control frame with the last piece of its payload.
    fn end_control(&mut self, piece: &[u8]) -> Part {
        self.control.extend_from_slice(piece);
        let payload = std::mem::take(&mut self.control);
        match self.header[0] & 0x0f {
            PING => Part::Ping(payload),
            PONG => Part::Pong,
            // The header was checked: no other opcode is a control frame's.
            _ => {
                self.over = true;
                close(&payload)
            }
        }
    }
}

/// Reads the payload of a close frame: "a 2-byte unsigned integer […] representing a status code", then "UTF-8-encoded data"
/// (section 5.5.1). "When sending a Close frame in response, the endpoint typically echos the status code it received".
fn close(payload: &[u8]) -> Part {
    let (code, reason) = match payload {
        [] => {
            let closed = Closed::Frame { code: None, reason: String::new() };
            return Part::Close { answer: None, closed };
        }
        [_] => return Part::Failed(Failure::protocol("a close frame had half a code")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !may_be_sent(code) {
        let violation = format!("a close frame had the code {code}, which may not be sent");
        return Part::Failed(Failure::protocol(violation));
    }
    // A code after which the client must not reconnect counts, also with a malformed reason.
    let closed = Closed::Frame { code: Some(code), reason: String::from_utf8_lossy(reason).into_owned() };
    match std::str::from_utf8(reason) {
        Ok(_) => Part::Close { answer: Some(CloseFrame { code, reason: "".into() }), closed },
        Err(_) => Part::Failed(Failure { closed, ..Failure::not_utf8() }),
    }
}

/// Whether a close code may stand in a frame (section 7.4, and the registry of close codes that IANA keeps): 1004 has no
/// meaning, 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an endpoint".
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl Fragments {
    /// Reserves capacity for a piece, and for at most as many of the missing bytes as there are already: the announced length is
    /// not trusted.
    fn make_room(&mut self, piece: usize, missing: usize) {
        let needed = self.bytes.len().saturating_add(piece);
        if needed > self.bytes.capacity() {
            let more = missing.min(needed.max(FIRST_ROOM));
            // Without memory for more, there may be enough for the piece.
            if self.bytes.try_reserve_exact(piece.saturating_add(more)).is_err() {
                self.bytes.reserve_exact(piece);
            }
        }
    }
}

/// Whether a frame with this first byte is a control frame (RFC 6455, section 5.5).
fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

/// The length of the header, as far as its beginning shows it.
fn header_length(header: &[u8]) -> usize {
    let [_, second, ..] = header else { return 2 };
    match second & 0x7f {
        126 => 4,
        127 => LONGEST_HEADER,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..0x1_0000 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        [frame, payload.to_vec()].concat()
    }

    /// The parts of a stream that arrives in pieces of this length.
    fn parts(frames: &mut Frames, bytes: &[u8], piece: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while let Some(part) = frames.take(&mut piece) {
                parts.push(part);
            }
            assert!(piece.is_empty(), "all of it is taken");
        }
        parts
    }

    /// A part in a line, so that lists of them can be compared.
    fn line(part: &Part) -> String {
        match part {
            Part::Message(message) => {
                let kind = if matches!(message, Message::Text(_)) { "text" } else { "binary" };
                format!("{kind} of {} bytes", message.as_bytes().len())
            }
            Part::Ping(payload) => format!("ping {}", payload.escape_ascii()),
            Part::Pong => "pong".to_owned(),
            Part::Close { answer, closed } => {
                format!("{closed}, answered with {:?}", answer.as_ref().map(|frame| frame.code))
            }
            Part::Failed(failure) => format!("failed with {}: {}", failure.close.code, failure.closed),
        }
    }

    /// The same however the bytes come.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let whole: Vec<String> = parts(&mut Frames::new(LIMIT), bytes, usize::MAX).iter().map(line).collect();
        for piece in [1, 2, 3, 7, 1000] {
            let pieces: Vec<String> = parts(&mut Frames::new(LIMIT), bytes, piece).iter().map(line).collect();
            assert_eq!(pieces, whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn messages_of_every_length_come_out_as_they_went_in() {
        for length in [0, 1, 125, 126, 0xffff, 0x1_0000, 300_000] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let stream = [frame(0x82, &payload), frame(0x81, &vec![b'x'; length])].concat();
            for piece in [1 << 14, usize::MAX] {
                match parts(&mut Frames::new(LIMIT), &stream, piece).as_slice() {
                    [Part::Message(Message::Binary(first)), Part::Message(Message::Text(second))] => {
                        assert_eq!((first, second.len()), (&payload.clone().into(), length));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn control_frames_stand_between_fragments() {
        let stream = [
            frame(0x01, "\u{e9}".as_bytes().split_at(1).0),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, "\u{e9}".as_bytes().split_at(1).1),
            frame(0x8a, b""),
            frame(0x82, b"\xff"),
        ];
        assert_eq!(lines(&stream.concat()), ["ping ping", "text of 2 bytes", "pong", "binary of 1 bytes"]);
    }

    #[test]
    fn nothing_comes_after_a_close_frame() {
        let stream = [frame(0x82, b"abc"), frame(0x88, b"\x0f\xa0ok"), frame(0x82, b"abc")].concat();
        assert_eq!(
            lines(&stream),
            ["binary of 3 bytes", "closed with code 4000: ok, answered with Some(4000)"]
        );
    }

    #[test]
    fn a_close_code_may_be_sent_or_not() {
        let sent: Vec<u16> = (0..=u16::MAX).filter(|code| may_be_sent(*code)).collect();
        for code in (0..=u16::MAX).step_by(7).chain([1004, 1005, 1006, 1014, 1015, 4014]) {
            let lines = lines(&frame(0x88, &code.to_be_bytes()));
            let expected = match sent.binary_search(&code) {
                Ok(_) => format!("closed with code {code}, answered with Some({code})"),
                Err(_) => format!(
                    "failed with 1002: the server broke the WebSocket protocol: a close frame had the code {code}, which may \
                     not be sent"
                ),
            };
            assert_eq!(lines, [expected]);
        }
        assert_eq!(sent.len(), 4 + 8 + 2000);
    }

    #[test]
    fn a_close_frame_without_a_code_has_none() {
        assert_eq!(lines(&frame(0x88, b"")), ["closed without a code, answered with None"]);
        assert!(lines(&frame(0x88, b"\x03"))[0].contains("half a code"));
    }

    #[test]
    fn what_no_header_may_say_is_seen_as_soon_as_it_is_there() {
        let cases: [(&[u8], &str); 6] = [
            (&[0x89, 126, 0, 126], "too long"),
            (&[0x88, 127, 0, 0, 0, 0, 0, 1, 0, 0], "too long"),
            (&[0x82, 126, 0, 125], "shortest"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "shortest"),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], "highest bit"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1], "larger"),
        ];
        for (header, text) in cases {
            let (last, rest) = header.split_last().unwrap();
            let mut frames = Frames::new(LIMIT);
            assert!(parts(&mut frames, rest, usize::MAX).is_empty(), "{text}");
            let failed = parts(&mut frames, &[*last], 1);
            assert!(failed.len() == 1 && line(&failed[0]).contains(text), "{text}: {failed:?}");
            assert!(parts(&mut frames, &frame(0x82, b"abc"), 1).is_empty(), "nothing is read after that");
        }
    }

    #[test]
    fn fragments_together_are_bound_by_the_limit() {
        let half = vec![b'x'; LIMIT / 2];
        let stream = [frame(0x01, &half), frame(0x00, &half), frame(0x80, b"")].concat();
        assert_eq!(lines(&stream), [format!("text of {LIMIT} bytes")]);
        let stream = [frame(0x01, &half), frame(0x00, &half), frame(0x80, b"x")].concat();
        assert_eq!(lines(&stream).len(), 1);
        assert!(lines(&stream)[0].contains("larger"));
    }

    /// The greatest length that a frame may have is more than any machine has, and must not wrap on the way to a size.
    #[test]
    fn the_greatest_length_is_a_length() {
        // On 32 bits the greatest that is not refused.
        let greatest = (u64::MAX / 2).min(usize::MAX as u64);
        let announced = [&[0x02, 127][..], &greatest.to_be_bytes(), &[7; 5000]].concat();
        for piece in [1, 1000, usize::MAX] {
            let mut frames = Frames::new(usize::MAX);
            assert!(parts(&mut frames, &announced, piece).is_empty());
            let message = frames.message.as_ref().expect("it has begun");
            assert_eq!(message.bytes, [7; 5000]);
            assert!(message.bytes.capacity() <= 2 * FIRST_ROOM, "{}", message.bytes.capacity());
            assert_eq!(frames.missing, Some(greatest - 5000));
        }
        let mut frames = Frames::new(4096);
        let failed = parts(&mut frames, &announced, 1);
        assert!(failed.len() == 1 && line(&failed[0]).contains("larger"), "{failed:?}");
    }

    /// 2^32 and a little, which 32 bits would take for a little.
    #[test]
    fn a_length_beyond_32_bits_is_not_cut_to_them() {
        let announced = [&[0x82, 127][..], &((1_u64 << 32) + 3).to_be_bytes(), b"abc", b"\x82\x00"].concat();
        let mut frames = Frames::new(usize::MAX);
        let parts = parts(&mut frames, &announced, usize::MAX);
        match usize::BITS {
            32 => assert!(line(&parts[0]).contains("larger")),
            _ => assert!(parts.is_empty() && frames.missing == Some((1 << 32) - 2)),
        }
    }

    /// A server may announce a large message and send nothing.
    #[test]
    fn room_is_made_for_what_has_come() {
        const LENGTH: usize = 8 * FIRST_ROOM;
        let announced = frame(0x82, &vec![0; LENGTH]);
        let mut frames = Frames::new(LENGTH);
        for received in [100, FIRST_ROOM, LENGTH / 2] {
            frames = Frames::new(LENGTH);
            parts(&mut frames, &announced[..received], 1000);
            let capacity = frames.message.as_ref().map_or(0, |message| message.bytes.capacity());
            assert!(capacity <= 2 * received.max(FIRST_ROOM), "{capacity} for {received}");
        }
        parts(&mut frames, &announced[LENGTH / 2..announced.len() - 1], 1000);
        let capacity = frames.message.as_ref().map(|message| message.bytes.capacity());
        assert_eq!(capacity, Some(LENGTH), "and no more than was announced");
    }

    #[test]
    fn a_message_is_under_way_from_its_first_byte_to_its_last() {
        let stream: [(&[u8], bool); 9] = [
            (&[0x02], true),
            (&[3, 1, 2, 3], true),
            (&[0x89, 1, 0], true),
            (&[0x00, 1, 1], true),
            (&[0x80, 1], true),
            (&[1], false),
            (&[0x89], false),
            (&[0], false),
            (&[0x82, 0], false),
        ];
        let mut frames = Frames::new(LIMIT);
        for (bytes, under_way) in stream {
            parts(&mut frames, bytes, usize::MAX);
            assert_eq!(frames.is_message_under_way(), under_way, "{bytes:x?}");
        }
    }
}
