//! Invalid frames (RFC 6455) and close frames as one table, for the byte level and the async driver.

use gateway_proto::Closed;
use gateway_proto::disconnect::DisconnectReason;

/// The message limit that the table assumes.
pub(crate) const MESSAGE_BYTES: usize = 1024;

/// Opcodes of RFC 6455, section 5.2.
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const FINAL: u8 = 0x80;

/// Bytes that a server sends after READY, and their effect.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The code of the client's close frame. `None` for a frame without a code.
    pub(crate) answer: Option<u16>,
    pub(crate) expected: Expected,
}

/// The reported reason.
pub(crate) enum Expected {
    /// A protocol error whose text contains this.
    Protocol(&'static str),
    Frame(Option<u16>, &'static str),
    TooLarge,
}

impl Expected {
    pub(crate) fn fits(&self, reason: Option<&DisconnectReason>) -> bool {
        match (self, reason) {
            (Self::Protocol(text), Some(DisconnectReason::Closed(Closed::Protocol(detail)))) => {
                detail.contains(text)
            }
            (Self::Frame(code, text), Some(DisconnectReason::Closed(closed))) => {
                *closed == Closed::Frame { code: *code, reason: (*text).to_owned() }
            }
            (Self::TooLarge, Some(DisconnectReason::MessageTooLarge)) => true,
            _ => false,
        }
    }

    /// Whether the client must not reconnect.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Frame(Some(4004 | 4010..=4014), _))
    }

    /// Whether the session can be resumed. No code of ours ends it; a message that is too large would be replayed.
    pub(crate) fn keeps_session(&self) -> bool {
        !matches!(self, Self::TooLarge) && !self.is_final()
    }
}

pub(crate) fn broken_frames() -> Vec<Case> {
    let masked = [&[0x81, 0x82, 1, 2, 3, 4][..], b"hi"].concat();
    let long = vec![b'x'; 126];
    let two_texts = [frame(TEXT, b"a"), frame(FINAL | TEXT, b"b")].concat();
    let half_a_character = [frame(TEXT, b"\xc3"), frame(FINAL, b"x")].concat();
    let protocol: [(&str, Vec<u8>, u16, &str); 24] = [
        ("reserved bit 1", frame(0xc0 | TEXT, b"{}"), 1002, "reserved bits"),
        ("reserved bit 2", frame(0xa0 | TEXT, b"{}"), 1002, "reserved bits"),
        ("reserved bit 3", frame(0x90 | TEXT, b"{}"), 1002, "reserved bits"),
        ("reserved opcode", frame(0x83, b""), 1002, "reserved opcode"),
        ("reserved control opcode", frame(0x8b, b""), 1002, "reserved opcode"),
        ("masked", masked, 1002, "masked"),
        ("length not minimal, 16 bits", vec![0x82, 126, 0, 125], 1002, "shortest"),
        ("length not minimal, 64 bits", vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002, "shortest"),
        ("length of 64 bits", vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002, "highest bit"),
        ("long ping", frame(FINAL | PING, &long), 1002, "too long"),
        ("long close", frame(FINAL | CLOSE, &long), 1002, "too long"),
        ("fragmented ping", frame(PING, b""), 1002, "fragmented"),
        ("fragmented close", frame(CLOSE, b""), 1002, "fragmented"),
        ("continuation of nothing", frame(FINAL, b"x"), 1002, "continued nothing"),
        ("message within a message", two_texts, 1002, "within another"),
        ("bad UTF-8", frame(FINAL | TEXT, b"\xff"), 1007, "UTF-8"),
        ("UTF-8 cut off", frame(FINAL | TEXT, b"\xc3"), 1007, "UTF-8"),
        ("UTF-8 bad across fragments", half_a_character, 1007, "UTF-8"),
        ("half a close code", frame(FINAL | CLOSE, &[3]), 1002, "half a code"),
        ("close code 0", close(0, b""), 1002, "code 0,"),
        ("close code 999", close(999, b""), 1002, "code 999,"),
        ("close code 1005", close(1005, b""), 1002, "code 1005,"),
        ("close code 2999", close(2999, b""), 1002, "code 2999,"),
        ("close code 5000", close(5000, b""), 1002, "code 5000,"),
    ];
    let mut cases: Vec<Case> = Vec::new();
    for (name, bytes, code, text) in protocol {
        cases.push(Case { name, bytes, answer: Some(code), expected: Expected::Protocol(text) });
    }
    // The code; the reason as sent and as reported; the code of the answer.
    let closes: [(&str, u16, &[u8], &str, u16); 5] = [
        ("close 4000", 4000, b"because", "because", 4000),
        ("close 1000", 1000, b"", "", 1000),
        ("close 1001", 1001, b"CloudFlare restarting", "CloudFlare restarting", 1001),
        ("a reason that is not UTF-8: the code counts", 4000, b"be\xff", "be\u{fffd}", 1007),
        ("a final code, its reason not UTF-8", 4004, b"Auth\xff", "Auth\u{fffd}", 1007),
    ];
    for (name, code, reason, text, answer) in closes {
        let (bytes, expected) = (close(code, reason), Expected::Frame(Some(code), text));
        cases.push(Case { name, bytes, answer: Some(answer), expected });
    }
    let bytes = frame(FINAL | CLOSE, b"");
    cases.push(Case {
        name: "close without a code",
        bytes,
        answer: None,
        expected: Expected::Frame(None, ""),
    });
    for code in [4010, 4011, 4012, 4013, 4014] {
        let (bytes, expected) = (close(code, b"\xff"), Expected::Frame(Some(code), "\u{fffd}"));
        cases.push(Case { name: "a final code, no reason", bytes, answer: Some(1007), expected });
    }
    // A close frame counts only if everything before it was valid.
    let bytes = [frame(FINAL | TEXT, b"\xff"), close(4004, b"")].concat();
    let expected = Expected::Protocol("UTF-8");
    cases.push(Case { name: "a final code behind a bad text", bytes, answer: Some(1007), expected });
    let bytes = [close(4000, b"first"), close(4004, b"second"), frame(0xf3, b"")].concat();
    let expected = Expected::Frame(Some(4000), "first");
    cases.push(Case { name: "anything behind a close frame", bytes, answer: Some(4000), expected });
    let announced = [&[0x82, 127][..], &70_000_u64.to_be_bytes()].concat();
    let in_fragments = [frame(BINARY, &[b'{'; 900]), frame(FINAL, &[b' '; 900])].concat();
    for (name, bytes) in [("a long message", announced), ("a long message in fragments", in_fragments)] {
        cases.push(Case { name, bytes, answer: Some(4000), expected: Expected::TooLarge });
    }
    cases
}

/// The bytes of one unmasked frame with any first byte, with its length in the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ 0..126 => vec![length as u8],
        length => [&[126][..], &(length as u16).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FINAL | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}
