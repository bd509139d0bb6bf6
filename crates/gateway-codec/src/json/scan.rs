//! Finds the ends of strings, values and blanks in JSON, without building values.
//!
//! Scalars are checked in full. Inside lists and maps only brackets and strings are: they close in the right order and within
//! the depth limit. This suffices to cut a value out; decoding it checks the rest.

use crate::{DocumentLimits, Error};
use wide::u8x16;

/// "Implementations that parse JSON texts MAY ignore the presence of a byte order mark" (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a document after its byte order mark, if there is one.
#[inline]
pub(crate) fn without_mark(document: &[u8]) -> &[u8] {
    document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document)
}

/// The offset of the text of a document: after the byte order mark, if there is one.
///
/// A truncated mark is the beginning of a document, so the document is incomplete.
pub(crate) fn text_start(document: &[u8]) -> Result<usize, Error> {
    if document.starts_with(BYTE_ORDER_MARK) {
        return Ok(BYTE_ORDER_MARK.len());
    }
    if !document.is_empty() && BYTE_ORDER_MARK.starts_with(document) {
        return Err(Error::incomplete(document.len()));
    }
    Ok(0)
}

/// The offset of the first byte at or after `at` that is not a blank.
pub(crate) fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`, which must not be a blank.
#[inline]
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
        // The backslash and the character that it escapes.
        next += 2;
    }
    Err(Error::incomplete(bytes.len()))
}

/// The offset of the first quote or backslash.
#[inline]
pub(crate) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(sixteen) = bytes[at..].first_chunk() {
        let sixteen = u8x16::new(*sixteen);
        let found = (equal(sixteen, b'"') | equal(sixteen, b'\\')).to_bitmask();
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 16;
    }
    let found = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + found)
}

/// All ones in each lane whose byte is `byte`.
#[inline]
fn equal(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

/// Checks that only blanks follow.
pub(crate) fn expect_end(bytes: &[u8], at: usize) -> Result<(), Error> {
    let at = skip_blank(bytes, at);
    if at == bytes.len() { Ok(()) } else { Err(Error::malformed("bytes after the document", at)) }
}

#[inline]
fn container_end(bytes: &[u8], at: usize, limit: usize) -> Result<usize, Error> {
    // The closing bracket of either kind is two above the opening one. Empty containers are frequent.
    if bytes.get(at + 1) == Some(&(bytes[at] + 2)) && limit > 0 {
        return Ok(at + 2);
    }
    filled_container_end(bytes, at, limit.min(DocumentLimits::MAX_DEPTH))
}

#[inline(never)]
fn filled_container_end(bytes: &[u8], at: usize, limit: usize) -> Result<usize, Error> {
    let mut open = OpenBrackets::default();
    let mut strings = Strings::default();
    let mut start = at;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let mut brackets = match rest.first_chunk() {
            Some(block) => strings.brackets_outside(block),
            None => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                strings.brackets_outside(&block)
            }
        };
        while brackets != 0 {
            let at = start + brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            match bytes[at] {
                bracket @ (b'{' | b'[') => {
                    if open.depth == limit {
                        return Err(Error::limit("the document is nested too deeply", at));
                    }
                    open.push(bracket == b'{');
                }
                bracket @ (b'}' | b']') => {
                    if open.pop() != (bracket == b'}') {
                        return Err(Error::malformed("brackets do not match", at));
                    }
                    if open.depth == 0 {
                        return Ok(at + 1);
                    }
                }
                _ => {}
            }
        }
        start += BLOCK;
    }
    Err(Error::incomplete(bytes.len()))
}

/// One byte for each bit of a `u64`.
const BLOCK: usize = 64;

/// Finds the brackets outside strings, block by block.
#[derive(Default)]
struct Strings {
    /// Whether the next block begins inside a string.
    inside: bool,
    /// Whether the first byte of the next block is escaped.
    escaped: bool,
}

impl Strings {
    /// A bit for each byte of a block that is a bracket outside strings, the first byte in the lowest bit.
    #[inline]
    fn brackets_outside(&mut self, block: &[u8; BLOCK]) -> u64 {
        let (mut quotes, mut brackets, mut backslashes) = (0, 0, u8x16::ZERO);
        for (index, sixteen) in block.as_chunks().0.iter().enumerate() {
            let sixteen = u8x16::new(*sixteen);
            let bits = |found: u8x16| u64::from(found.to_bitmask()) << (16 * index);
            // The four brackets differ in these bits alone. So do some other bytes, none of which is valid outside strings.
            brackets |= bits(equal(sixteen | u8x16::splat(b'{' ^ b'[' | b'{' ^ b'}'), b'{' | b'}'));
            quotes |= bits(equal(sixteen, b'"'));
            backslashes |= equal(sixteen, b'\\');
        }
        if self.escaped || backslashes.any() {
            return self.brackets_outside_escapes(block);
        }
        let inside = odd_ones_before(quotes) ^ if self.inside { !0 } else { 0 };
        // The last byte is inside a string, or it is the quote that ends the string.
        self.inside = inside >> (BLOCK - 1) == 1;
        brackets & !inside
    }

    /// As [`Self::brackets`], byte by byte, for a block in which quotes may be escaped.
    #[cold]
    fn brackets_outside_escapes(&mut self, block: &[u8; BLOCK]) -> u64 {
        let mut brackets = 0;
        for (index, byte) in block.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.inside,
                b'"' => self.inside = !self.inside,
                b'{' | b'}' | b'[' | b']' if !self.inside => brackets |= 1 << index,
                _ => {}
            }
        }
        brackets
    }
}

/// Sets each bit at or below which an odd number of bits is set: the bytes from a quote up to the next quote.
#[inline]
fn odd_ones_before(mut bits: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << distance;
    }
    bits
}

/// The open brackets, one bit for each: set for a map, clear for a list.
#[derive(Default)]
struct OpenBrackets {
    maps: [u64; DocumentLimits::MAX_DEPTH / 64],
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
        value_end(text.as_bytes(), 0, DocumentLimits::MAX_DEPTH)
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
                    // A prefix of a number may be a number.
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

    /// [`container_end`] byte by byte, after the grammar.
    fn container_end_slowly(bytes: &[u8], limit: usize) -> Result<usize, Error> {
        let (mut open, mut at) = (Vec::new(), 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at += 1;
                    while *bytes.get(at).ok_or_else(|| Error::incomplete(bytes.len()))? != b'"' {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                }
                b'{' | b'[' if open.len() == limit => {
                    return Err(Error::limit("the document is nested too deeply", at));
                }
                b'{' | b'[' => open.push(*byte),
                b'}' | b']' => {
                    if open.pop() != Some(byte - 2) {
                        return Err(Error::malformed("brackets do not match", at));
                    }
                    if open.is_empty() {
                        return Ok(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Err(Error::incomplete(bytes.len()))
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 4096, ..Default::default() })]

        #[test]
        fn containers_end_where_they_do_byte_by_byte(
            text in r#"[\[{]([\[\]{},:"\\a-cyY_ \u{e9}]{0,40}|[a-z]{0,70}|"[^"\\]{0,90}"|\{\}|\[\]|"\\\\*"){0,12}"#,
            limit in 0..6_usize,
        ) {
            let bytes = text.as_bytes();
            let (quick, slow) = (container_end(bytes, 0, limit), container_end_slowly(bytes, limit));
            proptest::prop_assert_eq!(quick.map_err(|e| e.to_string()), slow.map_err(|e| e.to_string()));
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
