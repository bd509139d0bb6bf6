//! Conversion from one encoding to the other without a model, in one pass and without a tree.

mod from_etf;
mod from_json;
mod sink;

use crate::document_limits::Budget;
use crate::etf::{self, Reader};
use crate::{DocumentLimits, Encoding, Error};
use from_etf::EtfSource;
use from_json::JsonSource;
use sink::{EtfSink, JsonSink, Sink};
use std::io;

/// How a document is converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Limits on the document that is read.
    pub limits: DocumentLimits,
    /// From ETF: integers beyond 2^53 become text, as ids are in Discord's JSON. Default false.
    pub wide_integers_as_text: bool,
    /// To ETF: the style that is written. Default the client's.
    pub style: etf::Style,
}

/// Converts one document. From an encoding to itself it is normalised.
///
/// The order of keys stays. JSON keeps duplicate keys. A term has each key once, since Erlang rejects duplicates: the last
/// entry counts, at its own place. Keys with the same text are the same (`"a"` and `"\u0061"`, an atom and a binary, an
/// integer and its digits). Integers of up to 128 bits stay integers; wider ones are an error in ETF and become doubles from
/// JSON. A binary that is not UTF-8 is unchanged in ETF and gets replacement characters in JSON. A compressed term is
/// expanded. Bytes after a term are ignored.
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
    let mut output = Vec::new();
    convert_to(bytes, from, to, options, &mut output)?;
    Ok(output)
}

/// As [`convert`], to a writer, in pieces of a few KiB.
///
/// JSON is written while it is read. In a term the number of elements precedes them, so maps in ETF are buffered until they
/// are whole, and so are lists that come from JSON. The writer is not flushed.
///
/// # Errors
///
/// As [`convert`], and [`ErrorKind::Write`](crate::ErrorKind::Write) if the writer fails. The part before the error may have
/// been written.
pub fn convert_to<W: io::Write>(
    bytes: &[u8],
    from: Encoding,
    to: Encoding,
    options: &Options,
    writer: W,
) -> Result<(), Error> {
    match to {
        Encoding::Json => {
            let mut sink = JsonSink::new(writer);
            tell(bytes, from, options, &mut sink)?;
            sink.finish()
        }
        Encoding::Etf => {
            let mut sink = EtfSink::new(writer, options.style);
            tell(bytes, from, options, &mut sink)?;
            sink.finish()
        }
    }
}

fn tell(bytes: &[u8], from: Encoding, options: &Options, sink: &mut impl Sink) -> Result<(), Error> {
    options.limits.check_input(bytes)?;
    let budget = Budget::new(&options.limits);
    match from {
        Encoding::Json => JsonSource { bytes, at: 0, sink, budget }.document(),
        Encoding::Etf => {
            let expanded = etf::expand(bytes, options.limits.output)?;
            let reader = Reader::new(&expanded)?;
            EtfSource { reader, sink, budget, wide_integers_as_text: options.wide_integers_as_text }.value()
        }
    }
}

/// Appends the JSON of a term, which has no version byte, with ids as text.
#[cfg(feature = "simd-json")]
pub(crate) fn term_to_json(term: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
    let limits = DocumentLimits::default();
    limits.check_input(term)?;
    let (reader, budget) = (Reader::term_only(term), Budget::new(&limits));
    let mut sink = JsonSink::new(output);
    EtfSource { reader, sink: &mut sink, budget, wide_integers_as_text: true }.value()?;
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const DOCUMENT: &str = r#"{"b":[1,-2,2.5,0.1,1e300,[0,255],[]],"a":{"é\n":null,"":true},"c":18446744073709551615,"7":"\u0000"}"#;

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

    fn to_etf(json: &str) -> Vec<u8> {
        convert(json.as_bytes(), Encoding::Json, Encoding::Etf, &Options::default()).unwrap()
    }

    /// Erlang rejects a term with duplicate keys.
    #[test]
    fn of_entries_with_the_same_key_the_last_counts_in_etf() {
        for (json, expected) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"\u0061":[2]}"#, r#"{"a":[2]}"#),
            (r#"{"a":1,"b":2,"a":3,"c":4,"a":5,"b":6}"#, r#"{"c":4,"a":5,"b":6}"#),
            (r#"{"":1,"":2,"x":{"":3}}"#, r#"{"":2,"x":{"":3}}"#),
            // Superseded values and remaining ones may have duplicates of their own.
            (
                r#"{"a":{"b":1,"b":[{"c":2,"c":3}]},"a":{"b":4,"b":{"c":5,"c":[]}}}"#,
                r#"{"a":{"b":{"c":[]}}}"#,
            ),
            (r#"[{"a":1,"a":2},[{"b":{"c":3,"c":4},"b":{}}],{"a":1}]"#, r#"[{"a":2},[{"b":{}}],{"a":1}]"#),
            (r#"{"a":{"a":1},"b":{"a":1}}"#, r#"{"a":{"a":1},"b":{"a":1}}"#),
        ] {
            assert_eq!(to_etf(json), to_etf(expected), "{json}");
            let raw = crate::Raw::new(json, Encoding::Json);
            assert_eq!(etf::to_vec(&raw).unwrap(), to_etf(expected), "{json}, written into a document");
        }
        let json = convert(br#"{"a":1,"a":2}"#, Encoding::Json, Encoding::Json, &Options::default());
        assert_eq!(json.unwrap(), br#"{"a":1,"a":2}"#);
    }

    #[test]
    fn keys_of_a_term_are_the_same_if_their_text_is() {
        // The atom a, a binary of it, the integer 7, and its digits.
        let term = b"\x83\x74\0\0\0\x04\x77\x01a\x61\x01\x6d\0\0\0\x01a\x61\x02\x61\x07\x61\x03\x6d\0\0\0\x017\x61\x04";
        let options = Options::default();
        for style in [etf::Style::Client, etf::Style::Server] {
            let options = Options { style, ..options };
            let etf = convert(term, Encoding::Etf, Encoding::Etf, &options).unwrap();
            let expected = convert(br#"{"a":2,"7":4}"#, Encoding::Json, Encoding::Etf, &options).unwrap();
            assert_eq!(etf, expected);
        }
        let json = convert(term, Encoding::Etf, Encoding::Json, &options).unwrap();
        assert_eq!(json, br#"{"a":1,"a":2,"7":3,"7":4}"#);
        let tree = etf::Value::from_slice(term, &DocumentLimits::default()).unwrap();
        assert_eq!(etf::to_vec(&tree).unwrap(), to_etf(r#"{"a":2,"7":4}"#));
    }

    /// Maps at the depth limit and with as many keys: a deep value is moved once, and wide maps are sorted.
    #[test]
    fn many_entries_with_the_same_key_cost_no_more_than_others() {
        let deep = |depth: usize| {
            (0..depth).fold(format!("\"{}\"", "x".repeat(1 << 20)), |inner, _| {
                format!(r#"{{"a":1,"a":{inner},"b":0,"b":1}}"#)
            })
        };
        let tree = to_etf(&deep(256));
        let mut value = &etf::Value::from_slice(&tree, &DocumentLimits::default()).unwrap();
        for _ in 0..256 {
            assert!(matches!(value, etf::Value::Map(entries) if entries.len() == 2));
            value = value.get("a").unwrap();
        }
        assert_eq!(value.as_str().map(str::len), Some(1 << 20));
        let wide = |keys: usize| {
            let entries: Vec<_> =
                (0..200_000).map(|index| format!(r#""{}":{index}"#, index % keys)).collect();
            format!("{{{}}}", entries.join(","))
        };
        for keys in [1, 2, 100_000] {
            let etf = to_etf(&wide(keys));
            assert_eq!(etf[2..6], (keys as u32).to_be_bytes());
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
            (ErrorKind::Malformed, Some(13), Some("a[1].b"))
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
