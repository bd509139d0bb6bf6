//! What several scenarios share.
#![allow(dead_code)] // Each test program uses its part.

use std::io::Write;
use std::path::Path;

/// Bytes from hexadecimal text; blanks are for reading.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What was recorded of one connection, and what is known to be in it.
pub(crate) struct Recording {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) expected: Vec<serde_json::Value>,
}

/// A recording by name; `None`, with a note, where the folder of recordings is missing.
pub(crate) fn recordings(name: &str) -> Option<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    if !folder.is_dir() {
        note("../shared/captures is missing, the recordings were not checked");
        return None;
    }
    let bytes = std::fs::read(folder.join(format!("{name}.bin"))).expect("a recording");
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        // A kind byte stands between the length and the payload.
        let (frame, behind) = behind[1..].split_at(u32::from_le_bytes(*length) as usize);
        frames.push(frame.to_vec());
        rest = behind;
    }
    let lines = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("what is in it");
    let expected = lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    Some(Recording { frames, expected })
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

/// Says that something was not checked, past the capture of passing tests, which would hide it.
pub(crate) fn note(text: &str) {
    writeln!(std::io::stderr(), "note: {text}").expect("stderr is open");
}
