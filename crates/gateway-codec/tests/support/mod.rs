//! Helpers that several test programs share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;

use gateway_codec::Encoding;

/// Bytes from hexadecimal text; blanks are ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The payloads of a session of the simulated gateway in one encoding, which its test `recordings` has written, and what each
/// says: those of the recording in JSON, read by serde_json.
pub(crate) struct Recording {
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) expected: Vec<serde_json::Value>,
}

pub(crate) fn recording(encoding: Encoding) -> Recording {
    let json = records(include_bytes!("../recordings/json.bin"));
    let expected = json.iter().map(|payload| serde_json::from_slice(payload).expect("JSON")).collect();
    let payloads = match encoding {
        Encoding::Json => json,
        Encoding::Etf => records(include_bytes!("../recordings/etf.bin")),
    };
    Recording { payloads, expected }
}

/// Takes records apart: a length of 32 bits in little-endian order, then as many bytes.
fn records(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (record, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

/// Bytes that do not compress, the same every time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Writes that something was not checked, to the standard error itself: the test harness hides the output of passing tests.
pub(crate) fn note(text: &str) {
    writeln!(std::io::stderr(), "note: {text}").expect("stderr is open");
}
