//! From one encoding to the other without a model: one pass, no tree.

mod from_etf;
mod from_json;
mod sink;

use crate::etf::{self, Reader};
use crate::limits::Budget;
use crate::{Encoding, Error, Limits};
use from_etf::EtfSource;
use from_json::JsonSource;
use sink::{EtfSink, JsonSink, Sink};
use std::io;

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
/// The order of keys and duplicates stay. Integers stay integers, of up to 128 bits; wider ones are refused in ETF and
/// become doubles from JSON. A binary that is not UTF-8 stays as it is in ETF and gets replacement characters in JSON.
/// A compressed term is expanded. Bytes after a term are ignored.
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

/// Converts one document to a writer, in pieces of some KiB, as [`convert`].
///
/// JSON is written as it is read, and ETF from ETF too. ETF from JSON is kept until it is whole, since a term says how
/// many elements it has before they come. The writer is not flushed.
///
/// # Errors
///
/// As [`convert`], and [`ErrorKind::Write`](crate::ErrorKind::Write) if the writer fails. What was read before the
/// error may have been written.
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
    let limits = Limits::default();
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
