//! Terms byte by byte: read, written and rejected.

mod support;

use std::collections::BTreeMap;

use gateway_codec::etf::{self, Integer, Value};
use gateway_codec::{DocumentLimits, Encoding, Envelope, Error, ErrorKind, RawRef};
use serde_json::json;
use support::hex;

/// Terms and their values in JSON.
fn readable() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("83 73 03 6e696c", json!(null)),
        ("83 64 0003 6e696c", json!(null)),
        ("83 77 03 6e696c", json!(null)),
        ("83 76 0003 6e696c", json!(null)),
        ("83 73 04 6e756c6c", json!(null)),
        ("83 64 0004 74727565", json!(true)),
        ("83 77 05 66616c7365", json!(false)),
        ("83 61 ff", json!(255)),
        ("83 62 00000100", json!(256)),
        ("83 62 ffffffff", json!(-1)),
        ("83 6e 04 00 00000080", json!(2147483648_u64)),
        ("83 6e 04 01 01000080", json!(-2147483649_i64)),
        ("83 6e 00 00", json!(0)),
        ("83 6e 01 01 00", json!(0)),
        ("83 6f 00000001 00 2a", json!(42)),
        ("83 6f 0000000c 00 2a0000000000000000000000", json!(42)),
        ("83 6e 08 00 00 20 80 c0 08 23 21 01", json!("81384788765712384")),
        ("83 6e 07 00 00000000000020", json!(1_u64 << 53)),
        ("83 6e 08 00 ffffffffffffffff", json!("18446744073709551615")),
        ("83 6e 08 01 0000000000000080", json!("-9223372036854775808")),
        ("83 46 4004000000000000", json!(2.5)),
        ("83 63 322e3530303030303030303030303030303030303030652b3030 0000000000", json!(2.5)),
        ("83 6a", json!([])),
        ("83 6b 0002 0001", json!([0, 1])),
        ("83 6c 00000002 6100 6101 6a", json!([0, 1])),
        ("83 68 02 6100 6a", json!([0, []])),
        ("83 69 00000001 6107", json!([7])),
        ("83 6d 00000003 c3a900", json!("é\0")),
        ("83 64 0001 e9", json!("é")),
        ("83 73 01 e9", json!("é")),
        ("83 76 0002 c3a9", json!("é")),
        ("83 77 02 c3a9", json!("é")),
        ("83 6d 00000002 61ff", json!("a\u{fffd}")),
        ("83 77 02 61ff", json!("a\u{fffd}")),
        ("83 74 00000002 6101 6a 6d 00000001 61 6107", json!({"1": [], "a": 7})),
        ("83 74 00000002 6d 00000001 61 6101 64 0001 61 6102", json!({"a": 2})),
        ("83 74 00000001 73 04 74727565 73 03 6e696c", json!({"true": null})),
        ("83 74 00000002 73 04 6e756c6c 6101 73 03 6e696c 6102", json!({"null": 1, "nil": 2})),
        ("83 74 00000002 64 0004 6e756c6c 6101 64 0003 6e696c 6102", json!({"null": 1, "nil": 2})),
        ("83 74 00000002 77 04 6e756c6c 6101 76 0003 6e696c 6102", json!({"null": 1, "nil": 2})),
        ("83 74 00000002 76 0004 6e756c6c 6101 77 03 6e696c 6102", json!({"null": 1, "nil": 2})),
    ]
}

/// Terms of a client, byte by byte.
const HEARTBEAT: &str = "83 74 00000002 6d 00000002 6f70 6101 6d 00000001 64 61fb";
const HEARTBEAT_NIL: &str = "83 74 00000002 6d 00000002 6f70 6101 6d 00000001 64 73 03 6e696c";

/// Payloads of the server.
const HELLO: &str = "83 74 00000004 64 0001 64 74 00000001 64 0012 6865617274626561745f696e74657276616c \
    62 0000a122 64 0002 6f70 610a 64 0001 73 64 0003 6e696c 64 0001 74 64 0003 6e696c";
const READY: &str = "83 74 00000004 64 0001 64 74 00000002 64 0002 6964 6e 08 00 002080c008232101 \
    64 0005 7368617264 6b 0002 0001 64 0002 6f70 6100 64 0001 73 6101 64 0001 74 64 0005 5245414459";

#[test]
fn every_term_is_read() {
    for (text, expected) in readable() {
        let bytes = hex(text);
        let value: serde_json::Value = etf::from_slice(&bytes).expect(text);
        assert_eq!(value, expected, "{text}");
        let tree = Value::from_slice(&bytes, &DocumentLimits::default()).expect(text);
        let written = etf::to_vec(&tree).unwrap();
        assert_eq!(etf::from_slice::<serde_json::Value>(&written).unwrap(), expected, "{text}");
        etf::check_structure(&bytes).expect(text);
        assert_eq!(RawRef::new(&bytes, Encoding::Etf).value().unwrap(), expected, "{text}");
    }
}

#[test]
fn the_client_style_is_what_discord_accepts() {
    for (value, text) in [
        (json!(null), "83 73 03 6e696c"),
        (json!(true), "83 73 04 74727565"),
        (json!(false), "83 73 05 66616c7365"),
        (json!(0), "83 61 00"),
        (json!(255), "83 61 ff"),
        (json!(256), "83 62 00000100"),
        (json!(-1), "83 62 ffffffff"),
        (json!(i32::MAX), "83 62 7fffffff"),
        (json!(i32::MIN), "83 62 80000000"),
        (json!(2147483648_u64), "83 6e 04 00 00000080"),
        (json!(-2147483649_i64), "83 6e 04 01 01000080"),
        (json!(81384788765712384_u64), "83 6e 08 00 00 20 80 c0 08 23 21 01"),
        (json!(u64::MAX), "83 6e 08 00 ffffffffffffffff"),
        (json!(i64::MIN), "83 6e 08 01 0000000000000080"),
        (json!(2.5), "83 46 4004000000000000"),
        (json!([]), "83 6a"),
        (json!([0, 1]), "83 6c 00000002 6100 6101 6a"),
        (json!("é\0"), "83 6d 00000003 c3a900"),
        (json!({}), "83 74 00000000"),
    ] {
        assert_eq!(etf::to_vec(&value).unwrap(), hex(text), "{value}");
    }
    #[derive(serde::Serialize)]
    struct Heartbeat {
        op: u8,
        d: Option<u64>,
    }
    assert_eq!(etf::to_vec(&Heartbeat { op: 1, d: Some(251) }).unwrap(), hex(HEARTBEAT));
    assert_eq!(etf::to_vec(&Heartbeat { op: 1, d: None }).unwrap(), hex(HEARTBEAT_NIL));
    let mut written = Vec::new();
    etf::to_writer(&mut written, &Heartbeat { op: 1, d: None }).unwrap();
    assert_eq!(written, hex(HEARTBEAT_NIL));
}

#[test]
fn the_server_style_is_what_discord_sends() {
    let hello = json!({"d": {"heartbeat_interval": 41250}, "op": 10, "s": null, "t": null});
    assert_eq!(etf::to_vec_with(&hello, etf::Style::Server).unwrap(), hex(HELLO));
    let ready = json!({"d": {"id": "81384788765712384", "shard": [0, 1]}, "op": 0, "s": 1, "t": "READY"});
    assert_eq!(etf::to_vec_with(&ready, etf::Style::Server).unwrap(), hex(READY));
    // Numeric keys stay binaries, long lists and large elements stay lists, other text of digits stays text.
    let value = json!({"7": [0, 300], "nonce": "12", "role_ids": ["12", "x"], "t": {"t": "x"}});
    let text = "83 74 00000004 6d 00000001 37 6c 00000002 6100 62 0000012c 6a 64 0005 6e6f6e6365 6d 00000002 3132 \
        64 0008 726f6c655f696473 6c 00000002 610c 6d 00000001 78 6a 64 0001 74 74 00000001 64 0001 74 6d 00000001 78";
    assert_eq!(etf::to_vec_with(&value, etf::Style::Server).unwrap(), hex(text));
}

#[test]
fn envelopes_of_the_server() {
    let bytes = hex(HELLO);
    let hello = Envelope::parse(&bytes, Encoding::Etf).unwrap();
    assert_eq!((hello.op, hello.s, hello.t.as_deref()), (10, None, None));
    assert_eq!(hello.d.get("heartbeat_interval").unwrap().as_u64(), Some(41250));
    let bytes = hex(READY);
    let ready = Envelope::parse(&bytes, Encoding::Etf).unwrap();
    assert_eq!((ready.op, ready.s, ready.t.as_deref()), (0, Some(1), Some("READY")));
    assert_eq!(ready.d.get("id").unwrap().as_id(), Some(81384788765712384));
    assert_eq!(ready.d.get(("shard", 1)).unwrap().as_u64(), Some(1));
    // Discord's own decoder ignores what follows the term.
    let trailing = [&bytes[..], &[1, 2, 3]].concat();
    let mut envelope = Envelope::parse(&trailing, Encoding::Etf).unwrap();
    assert_eq!((ready.trailing, envelope.trailing), (0, 3));
    envelope.trailing = 0;
    assert_eq!(envelope, ready);
    let mut walk = etf::walk(&trailing);
    assert_eq!(walk.by_ref().count(), 4);
    assert_eq!(walk.rest(), [1, 2, 3]);
    assert!(walk.next().is_none());
    assert_eq!(walk.rest(), [1, 2, 3]);
}

#[test]
fn invalid_terms_fail_with_their_position() {
    type Case = (&'static str, ErrorKind, usize);
    let cases: [Case; 15] = [
        ("83 6c 00000001 6101 6102", ErrorKind::Malformed, 8),
        ("83 74 ffffffff", ErrorKind::Incomplete, 6),
        ("82 6a", ErrorKind::Malformed, 0),
        ("", ErrorKind::Incomplete, 0),
        ("83", ErrorKind::Incomplete, 1),
        ("83 6c ffffffff 6a", ErrorKind::Incomplete, 7),
        ("83 69 ffffffff", ErrorKind::Incomplete, 6),
        ("83 6d ffffffff", ErrorKind::Incomplete, 6),
        ("83 6c 00000002 6100 52 00", ErrorKind::Malformed, 8),
        ("83 50 00000001", ErrorKind::Unsupported, 1),
        ("83 63 6e616e0000000000000000000000000000000000000000000000000000 0000", ErrorKind::Malformed, 1),
        ("83 46 7ff0000000000000", ErrorKind::Malformed, 1),
        ("83 6f 00000011 00 0000000000000000000000000000000001", ErrorKind::Limit, 1),
        ("83 6e 10 01 00000000000000000000000000000081", ErrorKind::Limit, 1),
        ("83 74 00000001 6a 6101", ErrorKind::Malformed, 6),
    ];
    for (text, kind, offset) in cases {
        let bytes = hex(text);
        let typed = etf::from_slice::<serde_json::Value>(&bytes).unwrap_err();
        let tree = Value::from_slice(&bytes, &DocumentLimits::default()).unwrap_err();
        for error in [typed, tree] {
            assert_eq!((error.kind(), error.offset()), (kind, Some(offset)), "{text}: {error}");
        }
    }
    for tag in [77_u8, 88, 89, 90, 101, 102, 103, 112, 113, 114, 117, 82, 0, 255, 131] {
        let error = etf::from_slice::<serde_json::Value>(&[131, tag, 0, 0, 0, 0, 0, 0]).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, Some(1)), "{tag}");
    }
}

#[test]
fn every_prefix_is_incomplete() {
    let texts = readable().into_iter().map(|(text, _)| text);
    for text in texts.chain([HEARTBEAT, HEARTBEAT_NIL, HELLO, READY]) {
        let bytes = hex(text);
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let errors: [Error; 3] = [
                etf::from_slice::<serde_json::Value>(cut).unwrap_err(),
                Value::from_slice(cut, &DocumentLimits::default()).unwrap_err(),
                etf::check_structure(cut).unwrap_err(),
            ];
            for error in errors {
                assert!(error.is_incomplete(), "{text} cut to {length}: {error}");
            }
        }
    }
}

#[test]
fn depth_is_bounded_however_deep() {
    for (opening, closing) in
        [(&[108, 0, 0, 0, 1][..], &[106][..]), (&[104, 1], &[]), (&[116, 0, 0, 0, 1, 97, 0], &[])]
    {
        let nested =
            |depth: usize| [&[131][..], &opening.repeat(depth), &[106], &closing.repeat(depth)].concat();
        let deepest = nested(256);
        etf::from_slice::<serde::de::IgnoredAny>(&deepest).unwrap();
        Value::from_slice(&deepest, &DocumentLimits::default()).unwrap();
        for depth in [257, 1_000_000] {
            let bytes = nested(depth);
            let typed = etf::from_slice::<serde_json::Value>(&bytes).unwrap_err();
            let tree = Value::from_slice(&bytes, &DocumentLimits::default()).unwrap_err();
            let skipped = etf::check_structure(&bytes).unwrap_err();
            let offset = 1 + 256 * opening.len();
            for error in [typed, tree, skipped] {
                assert_eq!((error.kind(), error.offset()), (ErrorKind::Limit, Some(offset)));
            }
        }
    }
}

#[test]
fn errors_have_a_path() {
    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[serde(rename = "d")]
        _d: Vec<Inner>,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[serde(rename = "id")]
        _id: u64,
    }
    let bytes = etf::to_vec(&json!({"d": [{"id": 1}, {"id": "secret"}]})).unwrap();
    let error = etf::from_slice::<Outer>(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(error.to_string(), "invalid type, expected u64, in d[1].id, at byte 43");
}

#[test]
fn wide_integers_are_text_where_the_type_accepts_any_value() {
    let bytes =
        etf::to_vec(&json!([9007199254740992_u64, 9007199254740993_u64, -9007199254740993_i64])).unwrap();
    let text: serde_json::Value = etf::from_slice(&bytes).unwrap();
    assert_eq!(text, json!([9007199254740992_u64, "9007199254740993", "-9007199254740993"]));
    let mut options = etf::Options::default();
    options.wide_integers_as_text = false;
    let plain: serde_json::Value = etf::from_slice_with(&bytes, &options).unwrap();
    assert_eq!(plain, json!([9007199254740992_u64, 9007199254740993_u64, -9007199254740993_i64]));
    // A type that reads an integer gets one.
    assert_eq!(etf::from_slice::<Vec<i64>>(&bytes).unwrap()[2], -9007199254740993);
    assert_eq!(etf::from_slice::<Vec<f64>>(&bytes).unwrap()[2], -9007199254740993_i64 as f64);
    assert_eq!(etf::from_slice::<Vec<String>>(&bytes).unwrap()[0], "9007199254740992");
}

#[test]
fn integers_of_128_bits() {
    for number in [u128::MAX, u128::from(u64::MAX) + 1] {
        let bytes = etf::to_vec(&number).unwrap();
        assert_eq!(etf::from_slice::<u128>(&bytes).unwrap(), number);
        let tree = Value::from_slice(&bytes, &DocumentLimits::default()).unwrap();
        assert_eq!(tree, Value::Integer(Integer::from(number)));
        assert_eq!(etf::to_vec(&tree).unwrap(), bytes);
    }
    for number in [i128::MIN, i128::from(i64::MIN) - 1, -1] {
        let bytes = etf::to_vec(&number).unwrap();
        assert_eq!(etf::from_slice::<i128>(&bytes).unwrap(), number);
    }
    assert_eq!(
        etf::from_slice::<u64>(&etf::to_vec(&u128::MAX).unwrap()).unwrap_err().kind(),
        ErrorKind::Mismatch
    );
}

/// Texts are checked for ASCII in ranges: with any byte at the end of a range, the text is the same as one read by itself.
#[test]
fn texts_do_not_depend_on_their_position() {
    for length in (0..40).chain(240..280).chain([600]) {
        let texts: Vec<String> = (0..8)
            .map(|index| match index % 4 {
                0 => "a".repeat(length),
                1 => "b".repeat(index),
                2 => format!("{}\u{e9}", "c".repeat(length)),
                _ => format!("\u{1f600}{}", "d".repeat(length)),
            })
            .collect();
        let map: BTreeMap<&str, u64> = texts.iter().map(|text| (&**text, 1 << 60)).collect();
        for style in [etf::Style::Client, etf::Style::Server] {
            let list = etf::to_vec_with(&texts, style).unwrap();
            assert_eq!(etf::from_slice::<Vec<String>>(&list).unwrap(), texts);
            let bytes = etf::to_vec_with(&map, style).unwrap();
            let read: BTreeMap<String, String> = etf::from_slice(&bytes).unwrap();
            let expected = map.iter().map(|(key, id)| ((*key).to_owned(), id.to_string()));
            assert_eq!(read, expected.collect());
        }
    }
}

/// An atom is Latin-1, also after a range of ASCII.
#[test]
fn atoms_of_latin_1_end_a_range() {
    let mut bytes = vec![131, 116, 0, 0, 0, 2];
    for key in [&b"plain"[..], b"caf\xe9"] {
        bytes.extend([100, 0, key.len() as u8]);
        bytes.extend(key);
        bytes.extend([97, 1]);
    }
    let read: BTreeMap<String, u8> = etf::from_slice(&bytes).unwrap();
    assert_eq!(read.into_keys().collect::<Vec<_>>(), ["caf\u{e9}", "plain"]);
}
