//! Reads JSON text and writes its values to a sink.

use super::sink::Sink;
use crate::Error;
use crate::document_limits::Budget;
use crate::etf::Integer;
use crate::json::scan::{expect_end, skip_blank, string_end, text_start, value_end};
use crate::json::{self, unescape};
use std::borrow::Cow;

/// Reads value after value.
pub(super) struct JsonSource<'a, 's, S> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) sink: &'s mut S,
    pub(super) budget: Budget,
}

impl<'a, S: Sink> JsonSource<'a, '_, S> {
    /// Writes the one value of the text to the sink.
    pub(super) fn document(&mut self) -> Result<(), Error> {
        self.at = text_start(self.bytes)?;
        self.value()?;
        expect_end(self.bytes, self.at)
    }

    fn value(&mut self) -> Result<(), Error> {
        let start = skip_blank(self.bytes, self.at);
        match self.bytes.get(start) {
            Some(b'{') => self.map(start),
            Some(b'[') => self.list(start),
            Some(b'"') => {
                let text = self.text(start)?;
                self.sink.text(&text)
            }
            _ => {
                self.at = value_end(self.bytes, start, 0)?;
                match &self.bytes[start..self.at] {
                    b"null" => self.sink.null(),
                    b"true" => self.sink.boolean(true),
                    b"false" => self.sink.boolean(false),
                    number => match number_of(number) {
                        Some(Number::Integer(number)) => self.sink.integer(number),
                        Some(Number::Float(number)) => self.sink.float(number),
                        None => Err(Error::malformed("number out of range", start)),
                    },
                }
            }
        }
    }

    fn list(&mut self, start: usize) -> Result<(), Error> {
        self.budget.enter(start)?;
        self.at = start + 1;
        let open = self.sink.begin_list(None)?;
        let mut count = 0;
        while self.goes_on(count, b']')? {
            self.budget.take(1, self.at)?;
            self.sink.element(&open, count)?;
            self.value().map_err(|error| error.inside_index(count))?;
            count += 1;
        }
        self.budget.leave();
        self.sink.end_list(open, count)
    }

    fn map(&mut self, start: usize) -> Result<(), Error> {
        self.budget.enter(start)?;
        self.at = start + 1;
        let open = self.sink.begin_map()?;
        let mut count = 0;
        while self.goes_on(count, b'}')? {
            let key_start = skip_blank(self.bytes, self.at);
            self.budget.take(1, key_start)?;
            if self.bytes.get(key_start).is_some_and(|byte| *byte != b'"') {
                return Err(Error::malformed("expected a key", key_start));
            }
            let key = self.text(key_start)?;
            self.sink.key(count, &key)?;
            self.expect(b':', "expected a colon")?;
            self.value().map_err(|error| error.inside_key(&key))?;
            count += 1;
        }
        self.budget.leave();
        self.sink.end_map(open, count)
    }

    /// Whether another part follows the first `count`. Steps over the comma before it, or over the end.
    fn goes_on(&mut self, count: usize, closing: u8) -> Result<bool, Error> {
        let at = skip_blank(self.bytes, self.at);
        match self.bytes.get(at) {
            None => Err(Error::incomplete(at)),
            Some(byte) if *byte == closing => {
                self.at = at + 1;
                Ok(false)
            }
            Some(_) if count == 0 => {
                self.at = at;
                Ok(true)
            }
            Some(_) => self.expect(b',', "expected a comma or the end").map(|()| true),
        }
    }

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Error> {
        let at = skip_blank(self.bytes, self.at);
        match self.bytes.get(at) {
            Some(found) if *found == byte => {
                self.at = at + 1;
                Ok(())
            }
            Some(_) => Err(Error::malformed(otherwise, at)),
            None => Err(Error::incomplete(at)),
        }
    }

    /// The string that begins at `start`.
    fn text(&mut self, start: usize) -> Result<Cow<'a, str>, Error> {
        let end = match string_end(self.bytes, start) {
            Ok(end) => end,
            // A string that does not close may already contain an error.
            Err(error) => {
                let wrong = json::from_slice::<String>(&self.bytes[start..]).err();
                return Err(wrong.map_or(error, |wrong| wrong.shifted(start)));
            }
        };
        let quoted = &self.bytes[start..end];
        // RFC 8259, section 7: control characters must be escaped.
        if let Some(found) = quoted.iter().position(|byte| *byte < b' ') {
            return Err(Error::malformed("a control character in a string", start + found));
        }
        self.at = end;
        unescape(quoted).map_err(|error| error.shifted(start))
    }
}

enum Number {
    Integer(Integer),
    Float(f64),
}

/// The number of a text in JSON's grammar. `None` if a double cannot hold it.
fn number_of(text: &[u8]) -> Option<Number> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(integer) = integer_of(text) {
        return Some(Number::Integer(integer));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float)
}

/// The integer of a text, of up to 128 bits. Wider integers and `-0` are read as doubles.
fn integer_of(text: &str) -> Option<Integer> {
    match text.strip_prefix('-') {
        Some(magnitude) => {
            let magnitude = magnitude.parse::<u128>().ok().filter(|magnitude| *magnitude != 0)?;
            let number = Integer::from_magnitude(true, magnitude);
            number.to_i128().map(|_| number)
        }
        None => text.parse::<u128>().ok().map(Integer::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_kind() {
        for text in ["0", "7", "-7", "18446744073709551616", "340282366920938463463374607431768211455"] {
            let Some(Number::Integer(number)) = number_of(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(number.to_string(), text);
        }
        let doubles: [(&str, f64); 5] = [
            ("-0", -0.0),
            ("1.0", 1.0),
            ("1e2", 100.0),
            ("340282366920938463463374607431768211456", 3.402823669209385e38),
            ("-170141183460469231731687303715884105729", -1.7014118346046923e38),
        ];
        for (text, expected) in doubles {
            let Some(Number::Float(number)) = number_of(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(number.to_bits(), expected.to_bits(), "{text}");
        }
        assert!(number_of(b"1e999").is_none());
    }
}
