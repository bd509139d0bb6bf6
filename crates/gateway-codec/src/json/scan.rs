//! Steps over JSON without building anything: where a string, a value, a blank ends.
//!
//! Scalars are checked in full. Of what lies inside lists and maps only brackets and strings are: they close, in the
//! right order, and not too deep. That is what it takes to cut a value out; decoding it checks the rest.

use crate::{Error, Limits};
use memchr::memchr2;

/// The first byte at or after `at` that is no blank.
pub(crate) fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`, which must not be a blank.
pub(crate) fn value_end(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Error> {
    match bytes.get(at) {
        None => Err(Error::incomplete(at)),
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => container_end(bytes, at, depth),
        Some(b't') => literal_end(bytes, at, b"true"),
        Some(b'f') => literal_end(bytes, at, b"false"),
        Some(b'n') => literal_end(bytes, at, b"null"),
        Some(b'-' | b'0'..=b'9') => number_end(bytes, at),
        Some(_) => Err(Error::malformed("expected a value", at)),
    }
}

/// The byte after the closing quote of the string whose opening quote is at `at`.
#[inline]
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let mut next = at + 1;
    while let Some(found) = bytes.get(next..).and_then(quote_or_backslash) {
        next += found;
        if bytes[next] == b'"' {
            return Ok(next + 1);
        }
        // The backslash and what it escapes.
        next += 2;
    }
    Err(Error::incomplete(bytes.len()))
}

/// Where the first quote or backslash is.
///
/// Keys and most values are short: a look at eight bytes at a time is quicker than setting up a search, which takes
/// over where a string is long.
#[inline]
pub(crate) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 32;
    let mut at = 0;
    while at < NEAR
        && let Some(word) = bytes[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*word);
        let hits = bytes_equal(word, b'"') | bytes_equal(word, b'\\');
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found)
}

/// A word whose lowest set bit is in the lowest byte of `word` that is `byte`; zero if there is none.
#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let difference = word ^ (LOW * byte as u64);
    difference.wrapping_sub(LOW) & !difference & HIGH
}

/// Checks that only blanks follow.
pub(crate) fn expect_end(bytes: &[u8], at: usize) -> Result<(), Error> {
    let at = skip_blank(bytes, at);
    if at == bytes.len() { Ok(()) } else { Err(Error::malformed("bytes after the document", at)) }
}

fn container_end(bytes: &[u8], at: usize, limit: usize) -> Result<usize, Error> {
    let limit = limit.min(Limits::MAX_DEPTH);
    let mut open = OpenBrackets::default();
    let mut at = at;
    loop {
        match bytes[at..].iter().position(|byte| IS_STRUCTURE[usize::from(*byte)]) {
            Some(found) => at += found,
            None => return Err(Error::incomplete(bytes.len())),
        }
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            bracket @ (b'{' | b'[') => {
                if open.depth == limit {
                    return Err(Error::limit("the document is nested too deeply", at));
                }
                open.push(bracket == b'{');
            }
            bracket => {
                if open.pop() != (bracket == b'}') {
                    return Err(Error::malformed("brackets do not match", at));
                }
                if open.depth == 0 {
                    return Ok(at + 1);
                }
            }
        }
        at += 1;
    }
}

/// Quotes and brackets: all that the structure of a document consists of.
static IS_STRUCTURE: [bool; 256] = {
    let mut table = [false; 256];
    let structure = b"\"{}[]";
    let mut index = 0;
    while index < structure.len() {
        table[structure[index] as usize] = true;
        index += 1;
    }
    table
};

/// Which brackets are open, a bit for each: set for a map, clear for a list.
#[derive(Default)]
struct OpenBrackets {
    maps: [u64; Limits::MAX_DEPTH / 64],
    depth: usize,
}

impl OpenBrackets {
    fn push(&mut self, map: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.maps[word] = self.maps[word] & !(1 << bit) | u64::from(map) << bit;
        self.depth += 1;
    }

    fn pop(&mut self) -> bool {
        self.depth -= 1;
        self.maps[self.depth / 64] >> (self.depth % 64) & 1 == 1
    }
}

fn literal_end(bytes: &[u8], at: usize, literal: &[u8]) -> Result<usize, Error> {
    let rest = &bytes[at..];
    if rest.starts_with(literal) {
        Ok(at + literal.len())
    } else if literal.starts_with(rest) {
        Err(Error::incomplete(bytes.len()))
    } else {
        Err(Error::malformed("expected a value", at))
    }
}

fn number_end(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let digits_end = |mut at: usize| {
        let first = at;
        while let Some(b'0'..=b'9') = bytes.get(at) {
            at += 1;
        }
        match bytes.get(at) {
            _ if at > first => Ok(at),
            None => Err(Error::incomplete(at)),
            Some(_) => Err(Error::malformed("expected a digit", at)),
        }
    };
    let mut at = start + usize::from(bytes[start] == b'-');
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits_end(at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits_end(at)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Result<usize, Error> {
        value_end(text.as_bytes(), 0, Limits::MAX_DEPTH)
    }

    #[test]
    fn values_end_where_they_end() {
        for value in [
            "null",
            "true",
            "false",
            "0",
            "-12",
            "1.5e+3",
            r#""a\"]""#,
            r#"{"a":[{"}":"]"}]}"#,
            "[]",
            r#""\\""#,
        ] {
            assert_eq!(end(value).unwrap(), value.len(), "{value}");
            assert_eq!(end(&format!("{value},1")).unwrap(), value.len(), "{value}");
        }
    }

    #[test]
    fn prefixes_are_incomplete() {
        for value in ["null", "-1.5e+3", r#""ab\"cdefghijklmnopqrst\\""#, r#"{"a":[{"}":"]\n"}]}"#] {
            for length in 0..value.len() {
                let prefix = &value[..length];
                match end(prefix) {
                    // A number may end sooner and still be one.
                    Ok(end) => assert!(value.starts_with('-') && end == length, "{prefix}"),
                    Err(error) => assert!(error.is_incomplete(), "{prefix}: {error}"),
                }
            }
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for value in ["nul,", "tru ", "-a", "1.x", "1ex", "]", "[}", r#"{"a":1]"#, "'a'", ":"] {
            let error = end(value).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Malformed, "{value}");
        }
    }

    #[test]
    fn strings_end_at_any_distance() {
        for length in 0..100 {
            for filler in ["a", "é", "\u{a2}", "\u{1f600}"] {
                let text = format!("\"{}\"x\"", filler.repeat(length));
                assert_eq!(end(&text).unwrap(), text.len() - 2);
                let escaped = format!("\"{}\\\"\\\\\"x", "a".repeat(length));
                assert_eq!(end(&escaped).unwrap(), escaped.len() - 1);
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(end(&nested(256)).is_ok());
        assert_eq!(end(&nested(257)).unwrap_err().kind(), crate::ErrorKind::Limit);
        assert_eq!(end(&"[".repeat(1_000_000)).unwrap_err().offset(), Some(256));
    }
}
