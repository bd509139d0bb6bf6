//! Each limit against each reader that takes limits: a document at the limit passes, one beyond it fails.

use gateway_codec::{
    DocumentLimits, Encoding, Error, ErrorKind, Raw, convert, decode_with, encode, etf, json,
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Every reader that takes limits, with its name for messages.
fn readers(
    bytes: &[u8],
    encoding: Encoding,
    limits: &DocumentLimits,
) -> Vec<(&'static str, Result<(), Error>)> {
    let mut readers = vec![
        ("value", decode_with::<Value>(bytes, encoding, limits).map(drop)),
        ("ignored", decode_with::<IgnoredAny>(bytes, encoding, limits).map(drop)),
        ("raw", Raw::new(bytes.to_vec(), encoding).decode_with::<Value>(limits).map(drop)),
    ];
    for (name, to) in [("to json", Encoding::Json), ("to etf", Encoding::Etf)] {
        let mut options = convert::Options::default();
        options.limits = *limits;
        readers.push((name, convert::convert(bytes, encoding, to, &options).map(drop)));
    }
    match encoding {
        Encoding::Etf => readers.push(("tree", etf::Value::from_slice(bytes, limits).map(drop))),
        Encoding::Json => {
            for engine in [json::Engine::Serde, json::Engine::Simd] {
                if cfg!(feature = "simd-json") || engine == json::Engine::Serde {
                    let mut bytes = bytes.to_vec();
                    let result = json::from_mut_slice_with::<Value>(&mut bytes, engine, limits).map(drop);
                    readers.push(("engine", result));
                }
            }
        }
    }
    readers
}

/// `limits` are just enough for the document; after `lessen` every reader rejects it.
fn just_enough(document: &Value, limits: DocumentLimits, lessen: fn(&mut DocumentLimits)) {
    let client = (encode(document, Encoding::Etf).unwrap(), Encoding::Etf);
    let server = (etf::to_vec_with(document, etf::Style::Server).unwrap(), Encoding::Etf);
    let compact = (encode(document, Encoding::Json).unwrap(), Encoding::Json);
    let pretty = (serde_json::to_vec_pretty(document).unwrap(), Encoding::Json);
    for (bytes, encoding) in [client, server, compact, pretty] {
        for (name, result) in readers(&bytes, encoding, &limits) {
            assert!(result.is_ok(), "{encoding} {name}: {:?}", result.err());
        }
        let mut less = limits;
        lessen(&mut less);
        for (name, result) in readers(&bytes, encoding, &less) {
            let error = result.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Limit, "{encoding} {name}: {error}");
            assert!(error.offset().is_some(), "{encoding} {name}");
        }
    }
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(
        json!(["[{"]),
        |inner, level| {
            if level % 2 == 0 { json!([inner]) } else { json!({ "\"{": inner }) }
        },
    )
}

#[test]
fn depth() {
    for depth in [1, 2, 3, 50, 126, 127] {
        let mut limits = DocumentLimits::default();
        limits.depth = depth;
        just_enough(&nested(depth), limits, |limits| limits.depth -= 1);
    }
}

/// The converter reads documents deeper than the recursion limit of serde_json, in every direction.
#[test]
fn depth_of_the_converter() {
    for depth in [128, 255, 256] {
        let term = etf::to_vec(&nested(depth)).unwrap();
        let mut options = convert::Options::default();
        options.limits.depth = depth;
        let text = convert::convert(&term, Encoding::Etf, Encoding::Json, &options).unwrap();
        for (bytes, from) in [(&term, Encoding::Etf), (&text, Encoding::Json)] {
            for (to, expected) in [(Encoding::Etf, &term), (Encoding::Json, &text)] {
                options.limits.depth = depth;
                assert_eq!(&convert::convert(bytes, from, to, &options).unwrap(), expected);
                options.limits.depth = depth - 1;
                let error = convert::convert(bytes, from, to, &options).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Limit, "{from} {to} {depth}");
            }
        }
    }
    let text = "[".repeat(257) + &"]".repeat(257);
    let mut options = convert::Options::default();
    options.limits.depth = usize::MAX;
    let error = convert::convert(text.as_bytes(), Encoding::Json, Encoding::Etf, &options).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Limit, Some(256)));
}

#[test]
fn elements() {
    for (document, elements) in [
        (json!([1]), 1),
        (json!({"a,": 1}), 1),
        (json!([[], {}, "[1,2,3]", [300, 301]]), 6),
        (json!([1, 2, 255]), 3),
        (json!({"a": [[[[1000]]]], "b": {"c": {"\\\"": "\\"}}}), 8),
        (json!(vec![json!({"x": [1, 2]}); 100]), 400),
    ] {
        let mut limits = DocumentLimits::default();
        limits.elements = elements;
        just_enough(&document, limits, |limits| limits.elements -= 1);
    }
    let mut limits = DocumentLimits::default();
    limits.elements = 0;
    for (bytes, encoding) in
        [(&b"7"[..], Encoding::Json), (b"[ ]", Encoding::Json), (b"\x83j", Encoding::Etf)]
    {
        for (name, result) in readers(bytes, encoding, &limits) {
            assert!(result.is_ok(), "{encoding} {name}");
        }
    }
}

#[test]
fn input() {
    for encoding in [Encoding::Json, Encoding::Etf] {
        let bytes = encode(&nested(3), encoding).unwrap();
        let mut limits = DocumentLimits::default();
        limits.input = bytes.len();
        for (name, result) in readers(&bytes, encoding, &limits) {
            assert!(result.is_ok(), "{encoding} {name}");
        }
        limits.input -= 1;
        for (name, result) in readers(&bytes, encoding, &limits) {
            // A raw term is a byte shorter than the document.
            let within = name == "raw" && encoding == Encoding::Etf;
            assert_eq!(result.is_ok(), within, "{encoding} {name}");
            if let Err(error) = result {
                assert_eq!((error.kind(), error.offset()), (ErrorKind::Limit, Some(limits.input)));
            }
        }
    }
}

#[cfg(feature = "zlib")]
#[test]
fn output() {
    let term = &etf::to_vec(&nested(3)).unwrap()[1..];
    let size = (term.len() as u32).to_be_bytes();
    let compressed = [&[131, 80][..], &size, &gateway_codec::deflate_zlib(term)].concat();
    let mut options = convert::Options::default();
    options.limits.output = term.len();
    assert!(convert::convert(&compressed, Encoding::Etf, Encoding::Json, &options).is_ok());
    options.limits.output -= 1;
    let error = convert::convert(&compressed, Encoding::Etf, Encoding::Json, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
