//! The converter against the readers and writers of types, and the writes that it makes.

use gateway_codec::convert::{Options, convert, convert_to};
use gateway_codec::{DocumentLimits, Encoding, ErrorKind, decode, etf};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        (-1e300..1e300).prop_map(|number: f64| Value::from(number)),
        any::<String>().prop_map(Value::from),
        Just(Value::from("81384788765712384")),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::from),
    ];
    let key =
        prop_oneof!["[a-z\"\\\\é]{0,3}", "[0-9]{1,3}", Just("id".to_owned()), Just("role_ids".to_owned())];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn style() -> impl Strategy<Value = etf::Style> {
    prop_oneof![Just(etf::Style::Client), Just(etf::Style::Server)]
}

fn options(style: etf::Style) -> Options {
    let mut options = Options::default();
    options.style = style;
    options
}

proptest! {
    /// From JSON to ETF and within ETF the output equals that of the serializer.
    #[test]
    fn terms_are_those_of_the_serializer(value in value(), style in style(), pretty in any::<bool>()) {
        let options = options(style);
        let json = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let expected = etf::to_vec_with(&value, style).unwrap();
        prop_assert_eq!(&convert(&json, Encoding::Json, Encoding::Etf, &options).unwrap(), &expected);
        for other in [etf::Style::Client, etf::Style::Server] {
            let written = etf::to_vec_with(&value, other).unwrap();
            let tree = etf::Value::from_slice(&written, &DocumentLimits::default()).unwrap();
            let expected = etf::to_vec_with(&tree, style).unwrap();
            prop_assert_eq!(&convert(&written, Encoding::Etf, Encoding::Etf, &options).unwrap(), &expected);
        }
    }

    /// To JSON the output equals that of the serializer.
    #[test]
    fn text_is_that_of_the_serializer(value in value()) {
        let expected = serde_json::to_vec(&value).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let term = etf::to_vec(&value).unwrap();
        let options = Options::default();
        prop_assert_eq!(&convert(&pretty, Encoding::Json, Encoding::Json, &options).unwrap(), &expected);
        prop_assert_eq!(&convert(&term, Encoding::Etf, Encoding::Json, &options).unwrap(), &expected);
    }

    /// The converter rejects what serde_json rejects, with an error of the same kind.
    #[test]
    fn both_refuse_the_same_text(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = serde_json::to_vec(&[value]).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        let expected = decode::<Value>(&text, Encoding::Json);
        for to in [Encoding::Json, Encoding::Etf] {
            match (convert(&text, Encoding::Json, to, &Options::default()), &expected) {
                (Ok(converted), Ok(expected)) => {
                    let bytes = convert(&converted, to, Encoding::Json, &Options::default()).unwrap();
                    prop_assert_eq!(&decode::<Value>(&bytes, Encoding::Json).unwrap(), expected);
                }
                (Err(error), Err(expected)) => {
                    prop_assert_eq!(error.kind(), expected.kind());
                    prop_assert!(error.offset().is_some());
                }
                (one, other) => prop_assert!(false, "{one:?} {other:?} {}", String::from_utf8_lossy(&text)),
            }
        }
    }

    /// The converter rejects what the tree rejects, with the same error.
    #[test]
    fn both_refuse_the_same_terms(value in value(), style in style(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = etf::to_vec_with(&[value], style).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let expected = etf::Value::from_slice(&bytes, &DocumentLimits::default());
        for to in [Encoding::Json, Encoding::Etf] {
            let converted = convert(&bytes, Encoding::Etf, to, &Options::default());
            match (converted, &expected) {
                (Ok(_), Ok(_)) => {}
                (Err(error), Err(expected)) if bytes[1] != 80 => {
                    let place = (expected.kind(), expected.offset(), expected.path());
                    prop_assert_eq!((error.kind(), error.offset(), error.path()), place);
                }
                // The converter expands a compressed term, which the tree rejects.
                (Err(_), Err(_)) => {}
                (one, other) => prop_assert!(false, "{one:?} {other:?}"),
            }
        }
    }
}

#[test]
fn integers_of_128_bits_are_kept() {
    for text in ["[340282366920938463463374607431768211455]", "[-170141183460469231731687303715884105728,0]"]
    {
        let options = Options::default();
        let term = convert(text.as_bytes(), Encoding::Json, Encoding::Etf, &options).unwrap();
        assert_eq!(convert(&term, Encoding::Etf, Encoding::Json, &options).unwrap(), text.as_bytes());
    }
}

#[test]
fn binaries_that_are_not_text_are_kept_within_etf() {
    let term = b"\x83m\0\0\0\x02a\xff";
    let options = Options::default();
    assert_eq!(convert(term, Encoding::Etf, Encoding::Etf, &options).unwrap(), term);
    assert_eq!(convert(term, Encoding::Etf, Encoding::Json, &options).unwrap(), "\"a\u{fffd}\"".as_bytes());
}

/// Every form of a list of small integers, and every empty list, has one normal form for each style.
#[test]
fn lists_have_one_normal_form() {
    let string = b"\x83k\0\x02\x07\x08".to_vec();
    let list = b"\x83l\0\0\0\x02a\x07a\x08j".to_vec();
    let odd = b"\x83l\0\0\0\x02b\0\0\0\x07n\x01\0\x08j".to_vec();
    let tuple = b"\x83h\x02a\x07a\x08".to_vec();
    for term in [&string, &list, &odd, &tuple] {
        let convert = |style| convert(term, Encoding::Etf, Encoding::Etf, &options(style)).unwrap();
        assert_eq!(convert(etf::Style::Client), list);
        assert_eq!(convert(etf::Style::Server), string);
    }
    for term in [&b"\x83j"[..], b"\x83k\0\0", b"\x83l\0\0\0\0j", b"\x83h\0", b"\x83i\0\0\0\0"] {
        for style in [etf::Style::Client, etf::Style::Server] {
            assert_eq!(convert(term, Encoding::Etf, Encoding::Etf, &options(style)).unwrap(), b"\x83j");
        }
        assert_eq!(convert(term, Encoding::Etf, Encoding::Json, &Options::default()).unwrap(), b"[]");
    }
}

/// A writer that records its writes, and fails after a number of bytes.
struct Pieces {
    taken: Vec<usize>,
    fail_after: usize,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken.len() == self.fail_after {
            return Err(io::Error::other("full"));
        }
        self.taken.push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn output_comes_in_pieces_and_a_writer_that_fails_ends_it() {
    let value = json!({"d": vec![json!({"id": "81384788765712384", "list": [1, 2, 300]}); 10_000]});
    let documents = [
        (serde_json::to_vec(&value).unwrap(), Encoding::Json),
        (etf::to_vec_with(&value, etf::Style::Server).unwrap(), Encoding::Etf),
    ];
    for (document, from) in documents {
        for to in [Encoding::Json, Encoding::Etf] {
            let options = options(etf::Style::Server);
            let whole = convert(&document, from, to, &options).unwrap();
            let mut pieces = Pieces { taken: Vec::new(), fail_after: usize::MAX };
            convert_to(&document, from, to, &options, &mut pieces).unwrap();
            assert_eq!(pieces.taken.iter().sum::<usize>(), whole.len());
            match (from, to) {
                // The count of a map precedes it, and the number of distinct keys is known at its end.
                (_, Encoding::Etf) => assert_eq!(pieces.taken.len(), 1),
                (_, Encoding::Json) => {
                    assert!(pieces.taken.iter().all(|piece| *piece < 17 << 10), "{:?}", pieces.taken);
                }
            }
            let fail_after = pieces.taken.len() / 2;
            let mut pieces = Pieces { taken: Vec::new(), fail_after };
            let error = convert_to(&document, from, to, &options, &mut pieces).unwrap_err();
            assert_eq!((error.kind(), pieces.taken.len()), (ErrorKind::Write, fail_after));
        }
    }
}
