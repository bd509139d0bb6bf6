//! serde_json and simd-json against each other, on documents of every shape and on malformed ones.
#![cfg(feature = "simd-json")]

use gateway_codec::json::{self, Engine};
use gateway_codec::{Encoding, Envelope, Error, ErrorKind, Raw};
use proptest::prelude::*;
use serde_json::Value;

fn read(text: &[u8], engine: Engine) -> Result<Value, Error> {
    json::from_mut_slice(&mut text.to_vec(), engine)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn both_read_what_was_written(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        for engine in [Engine::Serde, Engine::Simd] {
            prop_assert_eq!(&read(&text, engine).unwrap(), &value, "{:?}", engine);
        }
        let mut scratch = Vec::new();
        let tree = Raw::new(text, Encoding::Json);
        prop_assert_eq!(&tree.value().unwrap(), &value);
        prop_assert_eq!(serde_json::to_value(tree.simd_value(&mut scratch).unwrap()).unwrap(), value.clone());
        let tree = Raw::encode(&value, Encoding::Etf).unwrap();
        let from_etf = tree.value().unwrap();
        prop_assert_eq!(serde_json::to_value(tree.simd_value(&mut scratch).unwrap()).unwrap(), from_etf);
    }

    #[test]
    fn both_refuse_the_same_cuts(value in value(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_vec(&[value]).unwrap();
        let cut = &text[..cut.index(text.len())];
        for engine in [Engine::Serde, Engine::Simd] {
            prop_assert!(read(cut, engine).unwrap_err().is_incomplete(), "{:?}", engine);
        }
    }

    #[test]
    fn both_agree_on_changed_bytes(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&[value]).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let (one, other) = (read(&text, Engine::Serde), read(&text, Engine::Simd));
        let value = Raw::new(text.clone(), Encoding::Json).value();
        prop_assert_eq!(one.is_ok(), value.is_ok(), "{}", String::from_utf8_lossy(&text));
        if one.is_ok() && other.is_err() {
            prop_assert!(has_wide_integer(&text), "{}", String::from_utf8_lossy(&text));
            return Ok(());
        }
        prop_assert_eq!(one.is_ok(), other.is_ok(), "{}", String::from_utf8_lossy(&text));
        if let (Ok(one), Ok(other), Ok(value)) = (one, other, value) {
            prop_assert_eq!(&one, &value);
            prop_assert_eq!(without_negative_zero(one), without_negative_zero(other));
        }
    }

    /// The walk finds the keys and values that a full decode finds, and the fast path of the envelope those of the slow one.
    #[test]
    fn the_walk_agrees_with_a_full_decode(entries in prop::collection::btree_map("[a-z\\\\\"é]{0,3}", value(), 0..8), d in value()) {
        let mut object: serde_json::Map<String, Value> = entries.into_iter().collect();
        object.insert("op".to_owned(), Value::from(0));
        object.insert("d".to_owned(), d);
        let text = serde_json::to_vec_pretty(&object).unwrap();
        let mut walked = serde_json::Map::new();
        for entry in json::walk(&text) {
            let (key, value) = entry.unwrap();
            walked.insert(key.into_owned(), value.value().unwrap());
        }
        prop_assert_eq!(&walked, &object);
        let envelope = Envelope::parse(&text, Encoding::Json).unwrap();
        prop_assert_eq!(&envelope.d.value().unwrap(), &object["d"]);
        let usual = format!(r#"{{"t":"X","s":1,"op":0,"d":{}}}"#, object["d"]);
        let envelope = Envelope::parse(usual.as_bytes(), Encoding::Json).unwrap();
        prop_assert_eq!(&envelope.d.value().unwrap(), &object["d"]);
    }
}

/// The engines differ in `-0`: a double or an integer.
fn without_negative_zero(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => Value::from(0),
        Value::Array(list) => list.into_iter().map(without_negative_zero).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, without_negative_zero(value))).collect()
        }
        other => other,
    }
}

/// Whether the text may contain an integer beyond 64 bits, which simd-json rejects.
fn has_wide_integer(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 19)
}

#[test]
fn an_integer_beyond_64_bits_is_a_double_or_refused() {
    let text = b"[18446744073709551616]";
    assert_eq!(read(text, Engine::Serde).unwrap(), serde_json::json!([18446744073709551616.0]));
    assert!(read(text, Engine::Simd).is_err());
    assert_eq!(Raw::new(&text[..], Encoding::Json).value().unwrap(), read(text, Engine::Serde).unwrap());
}

#[test]
fn both_follow_the_same_depth() {
    for depth in [1, 127, 128, 300, 1_000_000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        for engine in [Engine::Serde, Engine::Simd] {
            let result = read(text.as_bytes(), engine);
            assert_eq!(result.is_ok(), depth <= 127, "{engine:?} {depth}");
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::Limit, "{engine:?} {depth}");
            }
        }
    }
}

#[test]
fn both_report_the_same_error_for_other_types() {
    for engine in [Engine::Serde, Engine::Simd] {
        let error = json::from_mut_slice::<Vec<u8>>(&mut br#"["secret"]"#.to_vec(), engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{engine:?}");
        assert!(!error.to_string().contains("secret"), "{engine:?}");
    }
}
