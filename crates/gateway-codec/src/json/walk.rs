//! The shallow walk over a JSON object: its keys and its encoded values.

use super::scan::{expect_end, skip_blank, string_end, text_start, value_end};
use crate::{DocumentLimits, Encoding, Error, RawRef};
use std::borrow::Cow;

/// The entries of the object in `bytes`, in order, duplicates included.
///
/// Values are not decoded. The iterator ends after an error. A byte order mark before the object is ignored.
pub fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { bytes, at: 0, state: State::Start, is_uncut: false }
}

/// As [`walk`], for a value that further entries of the payload may follow if it is uncut.
pub(crate) fn walk_value(value: RawRef<'_>) -> Walk<'_> {
    Walk { is_uncut: value.is_uncut(), ..walk(value.uncut_bytes()) }
}

/// Checks that `bytes` are one value whose brackets and strings all close: a document, or the result of
/// [`Raw::as_bytes`](crate::Raw::as_bytes).
///
/// Bytes after it are an error. [`RawRef::check_structure`] does the same for a value of either encoding.
///
/// # Errors
///
/// [`Error::is_incomplete`] if `bytes` could be the beginning of a value; otherwise
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) or [`ErrorKind::Limit`](crate::ErrorKind::Limit).
pub fn check_structure(bytes: &[u8]) -> Result<(), Error> {
    check_depth(bytes, DocumentLimits::MAX_DEPTH)
}

/// As [`check_structure`], with a depth limit.
pub(super) fn check_depth(bytes: &[u8], depth: usize) -> Result<(), Error> {
    let end = value_end(bytes, skip_blank(bytes, text_start(bytes)?), depth)?;
    expect_end(bytes, end)
}

/// The iterator of [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
    is_uncut: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Between,
    End,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(Cow<'a, str>, RawRef<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::End;
        }
        item
    }
}

impl<'a> Walk<'a> {
    fn step(&mut self) -> Result<Option<(Cow<'a, str>, RawRef<'a>)>, Error> {
        let bytes = self.bytes;
        match self.state {
            State::End => return Ok(None),
            State::Start => {
                self.at = text_start(bytes)?;
                self.expect(b'{', "expected an object")?;
                if bytes.get(skip_blank(bytes, self.at)) == Some(&b'}') {
                    self.expect(b'}', "")?;
                    return self.expect_end().map(|()| None);
                }
            }
            State::Between => {
                let at = skip_blank(bytes, self.at);
                if bytes.get(at) == Some(&b'}') {
                    self.at = at + 1;
                    return self.expect_end().map(|()| None);
                }
                self.expect(b',', "expected a comma or the end of the object")?;
            }
        }
        self.state = State::Between;
        let key_start = skip_blank(bytes, self.at);
        match bytes.get(key_start) {
            Some(b'"') => {}
            None => return Err(Error::incomplete(key_start)),
            Some(_) => return Err(Error::malformed("expected a key", key_start)),
        }
        let key_end = string_end(bytes, key_start)?;
        let key = unescape(&bytes[key_start..key_end]).map_err(|error| error.shifted(key_start))?;
        self.at = key_end;
        self.expect(b':', "expected a colon")?;
        let value_start = skip_blank(bytes, self.at);
        self.at = value_end(bytes, value_start, DocumentLimits::MAX_DEPTH - 1)?;
        Ok(Some((key, RawRef::new(&bytes[value_start..self.at], Encoding::Json))))
    }

    fn expect_end(&self) -> Result<(), Error> {
        match expect_end(self.bytes, self.at) {
            Err(_) if self.is_uncut && end_before_entries(self.bytes) == Some(self.at) => Ok(()),
            end => end,
        }
    }

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Error> {
        let at = skip_blank(self.bytes, self.at);
        match self.bytes.get(at) {
            Some(&found) if found == byte => {
                self.at = at + 1;
                Ok(())
            }
            Some(_) => Err(Error::malformed(otherwise, at)),
            None => Err(Error::incomplete(at)),
        }
    }
}

/// The end of the value at the beginning of `bytes`, if the rest of an object follows it: further entries, or its end.
///
/// The `d` of a payload is such a value if the payload was cut where payloads usually end, but has further keys, or another
/// payload was joined to it.
pub(crate) fn end_before_entries(bytes: &[u8]) -> Option<usize> {
    let end = value_end(bytes, 0, DocumentLimits::MAX_DEPTH - 1).ok()?;
    let mut rest = Walk { at: end, state: State::Between, ..walk(bytes) };
    loop {
        match bytes.get(skip_blank(bytes, rest.at)) {
            None => return (rest.at > end).then_some(end),
            Some(b'}') => return Some(end),
            Some(_) => {}
        }
        rest.step().ok()??;
    }
}

/// The text of a string. `None` if the value is of another kind, or malformed.
pub(crate) fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let end = string_end(bytes, 0).ok()?;
    if end == bytes.len() { unescape(bytes).ok() } else { None }
}

/// The number in a quoted text of digits, as the gateway writes ids, with few enough digits that any such number fits.
/// `None` for any other value.
pub(crate) fn quoted_id(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_usual = (1..20).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_usual.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// The text of a quoted string, borrowed if it has no escapes.
pub(crate) fn unescape(quoted: &[u8]) -> Result<Cow<'_, str>, Error> {
    let inner = &quoted[1..quoted.len() - 1];
    if memchr::memchr(b'\\', inner).is_none() {
        return match std::str::from_utf8(inner) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => Err(Error::malformed("text is not UTF-8", 1 + error.valid_up_to())),
        };
    }
    match super::from_slice::<String>(quoted) {
        Ok(text) => Ok(Cow::Owned(text)),
        // The closing quote is there, so it is an escape that ends too early, and more bytes would not complete it.
        Err(error) if error.is_incomplete() => Err(Error::malformed("invalid escape", quoted.len() - 1)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Vec<(String, String)>, Error> {
        walk(text.as_bytes())
            .map(|entry| {
                entry.map(|(key, value)| {
                    (key.into_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
            })
            .collect()
    }

    #[test]
    fn entries_come_as_they_stand() {
        let text = " {\"a\" : 1 ,\r\n\"\\u0062\\\"\":[ 1, {\"c\":\"}\"} ],\t\"a\":null } ";
        let found = entries(text).unwrap();
        let expected = [("a", "1"), ("b\"", "[ 1, {\"c\":\"}\"} ]"), ("a", "null")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(entries("{}").unwrap(), []);
        assert_eq!(entries(" { } ").unwrap(), []);
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let text = r#" {"a" : 1.5 ,"b\"":[1,{"c":"}"}], "d":null }"#;
        for length in 0..text.len() {
            assert!(entries(&text[..length]).unwrap_err().is_incomplete(), "{length}");
        }
    }

    #[test]
    fn nonsense_ends_the_walk() {
        for text in [
            r#"{"\u12":1}"#,
            "[]",
            "{,}",
            "{1:2}",
            r#"{"a" 1}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 "b":2}"#,
            "{}x",
            "{}{}",
            r#"{"a":}"#,
        ] {
            let mut walk = walk(text.as_bytes());
            let error = walk.find_map(Result::err).expect(text);
            assert_eq!(error.kind(), crate::ErrorKind::Malformed, "{text}");
            assert!(walk.next().is_none());
        }
    }

    #[test]
    fn a_value_before_entries_is_told_from_nonsense() {
        let value = |text: &str| end_before_entries(text.as_bytes());
        assert_eq!(value(r#"{"a":1},"op":3,"x":{"d":[]}"#), Some(7));
        assert_eq!(value(r#"[] , "x" : 1 "#), Some(2));
        assert_eq!(value(r#"{} }{"op":1"#), Some(2));
        assert_eq!(value(r#"{},"x":1}"#), Some(2));
        for text in ["{}", "{} ", "{}x", "{},", r#"{},"x""#, r#"{},"x":1,"#, "{},1:2", ""] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_no_text_is_malformed() {
        let error = walk(b"{\"a\xff\":1}").next().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.offset()), (crate::ErrorKind::Malformed, Some(3)));
    }
}
