//! From one encoding to the other without a model: one pass, no tree.

use crate::etf::{self, Reader, Term, key_text};
use crate::transcode::transcode;
use crate::{Encoding, Error, Limits, json};
use serde::de::IgnoredAny;

/// How a document is converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What the document that is read may cost.
    pub limits: Limits,
    /// From ETF: integers beyond 2^53 become text, as ids are in Discord's JSON. Default false.
    pub wide_integers_as_text: bool,
    /// To ETF: whose habits are followed. Default the client's.
    pub style: etf::Style,
}

/// Converts one document; from an encoding to itself it is normalised.
///
/// The order of keys and duplicates stay. Integers stay integers, of any width from ETF, up to 64 bits from JSON, where
/// wider ones become doubles. A binary that is not UTF-8 gets replacement characters in JSON. A compressed term is
/// expanded.
///
/// ```
/// use gateway_codec::{Encoding, convert};
///
/// let options = convert::Options::default();
/// let etf = convert::convert(br#"{"op":1,"d":251}"#, Encoding::Json, Encoding::Etf, &options)?;
/// let json = convert::convert(&etf, Encoding::Etf, Encoding::Json, &options)?;
/// assert_eq!(json, br#"{"op":1,"d":251}"#);
/// # Ok::<(), gateway_codec::Error>(())
/// ```
///
/// # Errors
///
/// As the reader of the encoding, with offset and path.
pub fn convert(bytes: &[u8], from: Encoding, to: Encoding, options: &Options) -> Result<Vec<u8>, Error> {
    match (from, to) {
        (Encoding::Etf, Encoding::Json) => etf_to_json(bytes, options),
        (Encoding::Etf, Encoding::Etf) => etf_to_etf(bytes, options),
        (Encoding::Json, Encoding::Json) => from_json(bytes, |deserializer| {
            let mut output = Vec::with_capacity(bytes.len());
            transcode(deserializer, &mut serde_json::Serializer::new(&mut output)).ok().map(|()| output)
        }),
        (Encoding::Json, Encoding::Etf) => from_json(bytes, |deserializer| {
            let mut output = Vec::with_capacity(bytes.len());
            output.push(etf::VERSION);
            transcode(deserializer, &mut etf::Serializer::new(&mut output, options.style))
                .ok()
                .map(|()| output)
        }),
    }
}

fn etf_to_json(bytes: &[u8], options: &Options) -> Result<Vec<u8>, Error> {
    let expanded = etf::expand(bytes, options.limits.output)?;
    let mut output = Vec::with_capacity(expanded.len());
    let wide_integers_as_text = options.wide_integers_as_text;
    let mut writer =
        JsonWriter { reader: Reader::new(&expanded)?, output: &mut output, wide_integers_as_text };
    writer.value(options.limits.depth.min(Limits::MAX_DEPTH))?;
    Ok(output)
}

/// Appends the JSON of a term, which has no version byte, with ids as text.
#[cfg(feature = "simd-json")]
pub(crate) fn term_to_json(term: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
    JsonWriter { reader: Reader::term_only(term), output, wide_integers_as_text: true }
        .value(Limits::MAX_DEPTH)
}

fn etf_to_etf(bytes: &[u8], options: &Options) -> Result<Vec<u8>, Error> {
    let expanded = etf::expand(bytes, options.limits.output)?;
    etf::to_vec_with(&etf::Value::from_slice(&expanded, &options.limits)?, options.style)
}

type JsonReader<'a> = serde_json::Deserializer<serde_json::de::SliceRead<'a>>;

fn from_json<'a>(
    bytes: &'a [u8],
    write: impl FnOnce(&mut JsonReader<'a>) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    if let Some(output) = write(&mut deserializer)
        && deserializer.end().is_ok()
    {
        return Ok(output);
    }
    // On its way through two formats the error lost its place: reading alone finds it again.
    json::from_slice::<serde_json::Value>(bytes)?;
    json::from_slice::<IgnoredAny>(bytes)?;
    Err(Error::unsupported("the document has no form in the other encoding"))
}

struct JsonWriter<'a> {
    reader: Reader<'a>,
    output: &'a mut Vec<u8>,
    wide_integers_as_text: bool,
}

impl JsonWriter<'_> {
    fn value(&mut self, depth: usize) -> Result<(), Error> {
        let start = self.reader.offset();
        match self.reader.term()? {
            Term::Null => self.output.extend_from_slice(b"null"),
            Term::Bool(true) => self.output.extend_from_slice(b"true"),
            Term::Bool(false) => self.output.extend_from_slice(b"false"),
            Term::Atom(text) => self.text(&text)?,
            Term::Binary(bytes) => self.text(&String::from_utf8_lossy(bytes))?,
            Term::Integer(number) if self.wide_integers_as_text && number.is_unsafe_for_doubles() => {
                self.text(&number.to_string())?;
            }
            Term::Integer(number) => self.output.extend_from_slice(number.to_string().as_bytes()),
            Term::Float(number) => json::to_writer(&mut *self.output, &number)?,
            Term::SmallIntegers(bytes) => json::to_writer(&mut *self.output, bytes)?,
            Term::EmptyList => self.output.extend_from_slice(b"[]"),
            Term::Tuple(length) => self.list(length, inner(depth, start)?)?,
            Term::List(length) => {
                self.list(length, inner(depth, start)?)?;
                self.reader.list_end()?;
            }
            Term::Map(length) => self.map(length, inner(depth, start)?)?,
        }
        Ok(())
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<(), Error> {
        self.output.push(b'[');
        for index in 0..length {
            if index > 0 {
                self.output.push(b',');
            }
            self.value(depth).map_err(|error| error.inside_index(index))?;
        }
        self.output.push(b']');
        Ok(())
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<(), Error> {
        self.output.push(b'{');
        for index in 0..length {
            if index > 0 {
                self.output.push(b',');
            }
            let key = key_text(&mut self.reader)?;
            self.text(&key)?;
            self.output.push(b':');
            self.value(depth).map_err(|error| error.inside_key(&key))?;
        }
        self.output.push(b'}');
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        json::to_writer(&mut *self.output, text)
    }
}

fn inner(depth: usize, start: usize) -> Result<usize, Error> {
    depth.checked_sub(1).ok_or_else(|| Error::limit("the document is nested too deeply", start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const DOCUMENT: &str = r#"{"b":[1,-2,2.5,0.1,1e300,[0,255],[]],"a":{"é\n":null,"":true},"b":18446744073709551615,"7":"\u0000"}"#;

    #[test]
    fn there_and_back_is_the_same() {
        for style in [etf::Style::Client, etf::Style::Server] {
            let options = Options { style, ..Options::default() };
            let etf = convert(DOCUMENT.as_bytes(), Encoding::Json, Encoding::Etf, &options).unwrap();
            let json = convert(&etf, Encoding::Etf, Encoding::Json, &options).unwrap();
            let expected = DOCUMENT.replace("1e300", "1e+300");
            assert_eq!(String::from_utf8(json).unwrap(), expected);
            assert_eq!(convert(&etf, Encoding::Etf, Encoding::Etf, &options).unwrap(), etf);
            let same = convert(expected.as_bytes(), Encoding::Json, Encoding::Json, &options).unwrap();
            assert_eq!(String::from_utf8(same).unwrap(), expected);
        }
    }

    #[test]
    fn ids_are_text_on_request() {
        let mut options = Options::default();
        let etf = etf::to_vec(&[9007199254740992_u128, 9007199254740993, u128::MAX]).unwrap();
        let json = convert(&etf, Encoding::Etf, Encoding::Json, &options).unwrap();
        assert_eq!(json, b"[9007199254740992,9007199254740993,340282366920938463463374607431768211455]");
        options.wide_integers_as_text = true;
        let json = convert(&etf, Encoding::Etf, Encoding::Json, &options).unwrap();
        assert_eq!(
            json,
            br#"[9007199254740992,"9007199254740993","340282366920938463463374607431768211455"]"#
        );
    }

    #[test]
    fn bad_input_has_a_place() {
        let options = Options::default();
        let error = convert(br#"{"a":[1,{"b":tru}]}"#, Encoding::Json, Encoding::Etf, &options).unwrap_err();
        assert_eq!(
            (error.kind(), error.offset(), error.path()),
            (ErrorKind::Malformed, Some(16), Some("a[1]"))
        );
        let error = convert(b"[1] 2", Encoding::Json, Encoding::Etf, &options).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, Some(4)));
        let error = convert(b"[1, ", Encoding::Json, Encoding::Json, &options).unwrap_err();
        assert!(error.is_incomplete());
        let bad = [131, 116, 0, 0, 0, 1, 115, 1, b'a', 108, 0, 0, 0, 1, 77, 0, 0];
        for to in [Encoding::Json, Encoding::Etf] {
            let error = convert(&bad, Encoding::Etf, to, &options).unwrap_err();
            assert_eq!(
                (error.kind(), error.offset(), error.path()),
                (ErrorKind::Malformed, Some(14), Some("a[0]"))
            );
        }
    }
}
