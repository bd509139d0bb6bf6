//! Small inputs that once failed. Each file stands for a class of inputs; the tests add the other members of the class.

use gateway_codec::{
    DocumentLimits, Encoding, Envelope, Error, ErrorKind, Raw, RawRef, convert, decode, etf, json,
};
use serde_json::{Value, json};

const ORDER_T_S_OP: &[u8] = include_bytes!("cases/01-etf-order-t-s-op.etf");
const JOINED: &[u8] = include_bytes!("cases/03-joined.json");
const BEHIND_D: &[u8] = include_bytes!("cases/10-behind-d.json");
const LENGTH_32BIT: &[u8] = include_bytes!("cases/02-length-32bit.etf");
const BOM: &[u8] = include_bytes!("cases/06-bom.json");
const DUPLICATE_KEYS: &[u8] = include_bytes!("cases/08-duplicate-keys.json");
#[cfg(feature = "zlib")]
const COMPRESSED_TRAILING: &[u8] = include_bytes!("cases/09-compressed-trailing.etf");

fn convert(bytes: &[u8], from: Encoding, to: Encoding) -> Result<Vec<u8>, Error> {
    convert::convert(bytes, from, to, &convert::Options::default())
}

/// A text inside `d` imitates the end of a payload in the usual order, and its last atom claims the real end.
#[test]
fn text_that_imitates_the_end_of_a_payload_is_text() {
    for envelope in
        [Envelope::parse(ORDER_T_S_OP, Encoding::Etf), Envelope::skim(ORDER_T_S_OP, Encoding::Etf)]
    {
        let envelope = envelope.unwrap();
        assert_eq!((envelope.op, envelope.s, envelope.t.as_deref()), (0, Some(7), Some("MESSAGE_CREATE")));
        let content = envelope.d.get("content").and_then(RawRef::as_str).unwrap();
        assert!(content.starts_with("hi w\u{2}op") && content.len() == 19, "{content:?}");
    }
    for length in 0..ORDER_T_S_OP.len() {
        assert!(!Envelope::is_whole(&ORDER_T_S_OP[..length], Encoding::Etf), "{length}");
    }
}

/// Two payloads in one message. `parse` rejects them; `skim` reads the first, and its `d` does not extend into the second.
#[test]
fn joined_payloads_are_told_apart() {
    assert_eq!(Envelope::parse(JOINED, Encoding::Json).unwrap_err().kind(), ErrorKind::Malformed);
    assert!(Envelope::is_whole(JOINED, Encoding::Json), "more bytes do not mend it");
    let skimmed = Envelope::skim(JOINED, Encoding::Json).unwrap();
    assert_eq!((skimmed.s, skimmed.t.as_deref()), (Some(2), Some("A")));
    assert_eq!((skimmed.d.value().unwrap(), skimmed.d.as_bytes()), (json!({"a": 1}), &b"{\"a\":1}"[..]));
    assert_eq!(skimmed.d.entries().map(|entry| entry.unwrap().0).collect::<Vec<_>>(), ["a"]);
    let blanks = [b"{\"t\":\"A\",\"s\":2,\"op\":0,\"d\":{},\"x\":{} }\n", JOINED].concat();
    assert_eq!(Envelope::skim(&blanks, Encoding::Json).unwrap().d.as_bytes(), b"{}");
}

/// Keys after `d` belong to the payload, not to `d`. The first of duplicates counts.
#[test]
fn keys_after_d_do_not_belong_to_it() {
    let parsed = Envelope::parse(BEHIND_D, Encoding::Json).unwrap();
    let skimmed = Envelope::skim(BEHIND_D, Encoding::Json).unwrap();
    assert_eq!(skimmed, parsed);
    assert_eq!((skimmed.s, skimmed.d.as_bytes()), (Some(1), &b"{\"a\":1}"[..]));
    assert_eq!(skimmed.d.range_in(BEHIND_D), parsed.d.range_in(BEHIND_D));
    assert_eq!(skimmed.d.value().unwrap(), json!({"a": 1}));
}

/// The result of every reader of a document in ETF.
fn read_etf(document: &[u8]) -> Vec<(&'static str, Result<(), Error>)> {
    let raw = Raw::new(document.to_vec(), Encoding::Etf);
    vec![
        ("value", decode::<Value>(document, Encoding::Etf).map(drop)),
        ("ignored", decode::<serde::de::IgnoredAny>(document, Encoding::Etf).map(drop)),
        ("tree", etf::Value::from_slice(document, &DocumentLimits::default()).map(drop)),
        ("walk", etf::walk(document).try_for_each(|entry| entry.map(drop))),
        ("structure", etf::check_structure(document)),
        ("structure of a raw", raw.check_structure()),
        ("look-up", raw.find("nothing").map(drop)),
        ("entries", raw.as_ref().entries().try_for_each(|entry| entry.map(drop))),
        ("envelope", Envelope::parse(document, Encoding::Etf).map(drop)),
        ("skim", Envelope::skim(document, Encoding::Etf).map(drop)),
        ("to JSON", convert(document, Encoding::Etf, Encoding::Json).map(drop)),
        ("to ETF", convert(document, Encoding::Etf, Encoding::Etf).map(drop)),
    ]
}

/// On 32 bits such a length wraps to an end before its beginning, which may cause an endless loop, a panic, or wrong bytes.
#[test]
fn a_length_beyond_the_input_is_incomplete() {
    let mut documents = vec![LENGTH_32BIT.to_vec()];
    // Every tag with a length or a count of 32 bits, in a map after bytes that it could wrap to.
    for tag in [108, 105, 109, 111, 116] {
        for length in
            [u32::MAX, u32::MAX - 4, 0xffff_fff0, 0xffff_ffec, 0x8000_0000, 0x7fff_ffff, 0x4000_0000]
        {
            let head = b"\x83\x74\0\0\0\x02\x77\x01d\x68\x02\x61\x01";
            let tail = b"\x61\x01\x61\x02\x61\x03\x77\x02op\x61\0";
            documents.push([head, &[tag][..], &length.to_be_bytes(), tail, &[0; 64]].concat());
            documents.push([&[131, tag][..], &length.to_be_bytes(), tail].concat());
        }
    }
    for document in documents {
        for (reader, result) in read_etf(&document) {
            let Err(error) = result else { panic!("{reader} accepts {document:x?}") };
            // A look-up needs a map, and a key cannot be a list.
            let is_map = document[1] == 116;
            assert!(error.is_incomplete() || !is_map, "{reader}: {error} in {document:x?}");
            assert!(error.offset().is_some_and(|offset| offset <= document.len()), "{reader}: {error}");
        }
    }
}

/// RFC 8259, section 8.1: a parser may ignore it.
#[test]
fn a_byte_order_mark_does_not_belong_to_the_document() {
    let expected = json!({"a": 1});
    let raw = Raw::new(BOM, Encoding::Json);
    assert_eq!(raw.as_bytes(), br#"{"a":1}"#);
    assert_eq!(raw.get("a").and_then(RawRef::as_u64), Some(1));
    assert_eq!(raw.fields(["a"])[0].and_then(RawRef::as_u64), Some(1));
    assert_eq!(raw.value().unwrap(), expected);
    assert_eq!(RawRef::new(BOM, Encoding::Json).value().unwrap(), expected);
    assert_eq!(Raw::encode(&raw, Encoding::Json).unwrap().as_bytes(), br#"{"a":1}"#);
    raw.check_structure().unwrap();
    json::check_structure(BOM).unwrap();
    assert_eq!(json::from_slice::<Value>(BOM).unwrap(), expected);
    assert_eq!(decode::<Value>(BOM, Encoding::Json).unwrap(), expected);
    for engine in [json::Engine::Serde, json::Engine::Simd] {
        match json::from_mut_slice::<Value>(&mut BOM.to_vec(), engine) {
            Err(error) if !cfg!(feature = "simd-json") => assert_eq!(error.kind(), ErrorKind::Unsupported),
            value => assert_eq!(value.unwrap(), expected, "{engine:?}"),
        }
    }
    let entries: Vec<_> = json::walk(BOM).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries, [("a".into(), RawRef::new(b"1", Encoding::Json))]);
    assert_eq!(convert(BOM, Encoding::Json, Encoding::Json).unwrap(), br#"{"a":1}"#);
    assert_eq!(convert(BOM, Encoding::Json, Encoding::Etf).unwrap(), etf::to_vec(&expected).unwrap());
    let payload = [&BOM[..3], br#" {"t":"A","s":1,"op":0,"d":{"a":1}}"#].concat();
    for envelope in [Envelope::parse(&payload, Encoding::Json), Envelope::skim(&payload, Encoding::Json)] {
        let envelope = envelope.unwrap();
        assert_eq!((envelope.op, envelope.s, envelope.t.as_deref()), (0, Some(1), Some("A")));
        assert_eq!(envelope.d.as_bytes(), br#"{"a":1}"#);
    }
    #[cfg(feature = "simd-json")]
    assert!(raw.simd_value(&mut Vec::new()).is_ok());
}

#[test]
fn a_byte_order_mark_is_valid_only_before_the_document() {
    let mark = &BOM[..3];
    let readers = |bytes: &[u8]| {
        let mut readers = vec![
            ("from_slice", json::from_slice::<Value>(bytes).map(drop)),
            ("serde", json::from_mut_slice::<Value>(&mut bytes.to_vec(), json::Engine::Serde).map(drop)),
            ("walk", json::walk(bytes).try_for_each(|entry| entry.map(drop))),
            ("structure", json::check_structure(bytes)),
            ("to JSON", convert(bytes, Encoding::Json, Encoding::Json).map(drop)),
            ("to ETF", convert(bytes, Encoding::Json, Encoding::Etf).map(drop)),
        ];
        if cfg!(feature = "simd-json") {
            let value = json::from_mut_slice::<Value>(&mut bytes.to_vec(), json::Engine::Simd);
            readers.push(("simd", value.map(drop)));
        }
        readers
    };
    for document in [[mark, mark, b"{}"].concat(), [b" ", mark, b"{}"].concat(), [b"{}", mark].concat()] {
        for (reader, result) in readers(&document) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Malformed, "{reader} {document:x?}");
        }
        assert!(Raw::new(document, Encoding::Json).value().is_err());
    }
    assert!(json::from_slice::<Value>(&[b"{", mark, b"}"].concat()).is_err());
    // Truncated within the mark or after it, the document is incomplete.
    let whole = [mark, b"{\"a\":[1]}"].concat();
    for length in 0..whole.len() {
        for (reader, result) in readers(&whole[..length]) {
            assert!(result.unwrap_err().is_incomplete(), "{reader} {length}");
        }
    }
    // Offsets count from the first byte of the input.
    let wrong = [mark, b"{\"a\":]"].concat();
    for (reader, result) in readers(&wrong) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{reader}");
        assert_eq!(error.offset(), Some(8), "{reader}: {error}");
    }
}

/// Erlang rejects a map with duplicate keys.
#[test]
fn of_duplicate_keys_the_last_value_is_kept() {
    let term = convert(DUPLICATE_KEYS, Encoding::Json, Encoding::Etf).unwrap();
    assert_eq!(term, etf::to_vec(&json!({"a": 2})).unwrap());
    let raw = Raw::new(DUPLICATE_KEYS, Encoding::Json);
    assert_eq!(Raw::encode(&raw, Encoding::Etf).unwrap().as_bytes(), &term[1..]);
}

#[cfg(feature = "zlib")]
#[test]
fn bytes_after_a_compressed_term_are_ignored() {
    use gateway_codec::http;
    let expected = json!({"a": 1});
    for trailing in [&b""[..], b"\0", &[0xff; 70_000], COMPRESSED_TRAILING] {
        let document = [COMPRESSED_TRAILING, trailing].concat();
        let expanded = etf::expand(&document, 1000).unwrap();
        assert_eq!(decode::<Value>(&expanded, Encoding::Etf).unwrap(), expected);
        let json = convert(&document, Encoding::Etf, Encoding::Json).unwrap();
        assert_eq!(json::from_slice::<Value>(&json).unwrap(), expected);
        let body =
            http::decode_body(document, None, Some("application/etf"), &DocumentLimits::default()).unwrap();
        assert_eq!(body.value().unwrap(), expected);
    }
    // The stream itself has to be whole.
    let stream_end = COMPRESSED_TRAILING.len() - 2;
    for length in 2..stream_end {
        assert!(etf::expand(&COMPRESSED_TRAILING[..length], 1000).unwrap_err().is_incomplete(), "{length}");
    }
}
