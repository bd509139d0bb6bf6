//! Recorded traffic of an independent server, through the same inflaters and envelope as live traffic.
//!
//! The recordings are not part of the repository: where they are missing the tests say so and check nothing.

mod support;

use gateway_codec::{Compression, Encoding, Envelope, InflateLimits, Inflater, convert, etf, json};
use serde_json::Value;
use support::{Recording, recordings};

const NAMES: [(&str, Encoding, Compression); 8] = [
    ("bot-json-none", Encoding::Json, Compression::None),
    ("bot-json-zlib-stream", Encoding::Json, Compression::ZlibStream),
    ("bot-json-zstd-stream", Encoding::Json, Compression::ZstdStream),
    ("bot-json-zstd-stream-cont", Encoding::Json, Compression::ZstdStream),
    ("bot-etf-none", Encoding::Etf, Compression::None),
    ("bot-etf-zlib-stream", Encoding::Etf, Compression::ZlibStream),
    ("bot-etf-zstd-stream", Encoding::Etf, Compression::ZstdStream),
    ("bot-etf-zstd-stream-cont", Encoding::Etf, Compression::ZstdStream),
];

/// The plain payloads of a recording, each as its frames came, cut into pieces of `piece` bytes where that may be.
fn payloads(
    recording: &Recording,
    encoding: Encoding,
    compression: Compression,
    piece: usize,
) -> Vec<Vec<u8>> {
    let Some(mut inflater) = Inflater::new(compression, InflateLimits::default()) else {
        return recording.frames.clone();
    };
    let complete = |output: &[u8]| Envelope::parse(output, encoding).is_ok();
    let mut payloads = Vec::new();
    for frame in &recording.frames {
        let pieces = frame.chunks(if compression == Compression::ZlibStream { piece } else { frame.len() });
        for piece in pieces {
            payloads.extend(inflater.push(piece, complete).unwrap().map(|payload| payload.to_vec()));
        }
    }
    payloads
}

#[test]
fn every_recording_decodes_to_what_is_written_of_it() {
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if !compression.is_supported() {
            continue;
        }
        let payloads = payloads(&recording, encoding, compression, usize::MAX);
        assert_eq!(payloads.len(), recording.expected.len(), "{name}");
        for (index, (payload, expected)) in payloads.iter().zip(&recording.expected).enumerate() {
            let envelope = Envelope::parse(payload, encoding).unwrap();
            let data = &expected["data"];
            assert_eq!(payload.len() as u64, expected["plain_len"], "{name} {index}");
            assert_eq!(Some(envelope.op), data["op"].as_u64(), "{name} {index}");
            assert_eq!(envelope.s, data["s"].as_u64(), "{name} {index}");
            assert_eq!(envelope.t.as_deref(), data["t"].as_str(), "{name} {index}");
            assert_eq!(envelope.d.value().unwrap(), data["d"], "{name} {index}");
            assert_eq!(gateway_codec::decode::<Value>(payload, encoding).unwrap(), *data, "{name} {index}");
        }
    }
}

#[test]
fn pieces_of_any_size_make_the_same_payloads() {
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if compression == Compression::ZlibStream && compression.is_supported() {
            let whole = payloads(&recording, encoding, compression, usize::MAX);
            for piece in [1, 2, 3, 1000] {
                assert!(payloads(&recording, encoding, compression, piece) == whole, "{name} by {piece}");
            }
        }
    }
}

#[test]
fn both_engines_read_the_same() {
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if encoding != Encoding::Json || compression != Compression::None || cfg!(not(feature = "simd-json"))
        {
            continue;
        }
        for frame in &recording.frames {
            let one: Value = json::from_mut_slice(&mut frame.clone(), json::Engine::Serde).unwrap();
            let other: Value = json::from_mut_slice(&mut frame.clone(), json::Engine::Simd).unwrap();
            assert_eq!(one, other);
        }
    }
}

#[test]
fn look_ups_find_what_a_full_decode_finds() {
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if compression != Compression::None {
            continue;
        }
        for (payload, expected) in recording.frames.iter().zip(&recording.expected) {
            let envelope = Envelope::parse(payload, encoding).unwrap();
            check_parts(envelope.d, &expected["data"]["d"], name);
        }
    }
}

fn check_parts(raw: gateway_codec::RawRef<'_>, expected: &Value, name: &str) {
    match expected {
        Value::Object(entries) => {
            assert_eq!(raw.entries().count(), entries.len());
            for (key, value) in entries {
                check_parts(raw.get(key.as_str()).expect(key), value, name);
            }
        }
        Value::Array(elements) => {
            assert_eq!(raw.elements().count(), elements.len());
            for (index, value) in elements.iter().enumerate() {
                check_parts(raw.get(index).expect("an element"), value, name);
            }
        }
        Value::String(text) => assert_eq!(raw.as_str().as_deref(), Some(&**text), "{name}"),
        Value::Number(number) => assert_eq!(raw.as_f64(), number.as_f64(), "{name}"),
        Value::Bool(value) => assert_eq!(raw.as_bool(), Some(*value), "{name}"),
        Value::Null => assert!(raw.is_null(), "{name}"),
    }
}

#[test]
fn conversion_there_and_back_keeps_every_value() {
    let options = convert::Options::default();
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if compression != Compression::None {
            continue;
        }
        let other = if encoding == Encoding::Json { Encoding::Etf } else { Encoding::Json };
        for (payload, expected) in recording.frames.iter().zip(&recording.expected) {
            let there = convert::convert(payload, encoding, other, &options).unwrap();
            assert_eq!(gateway_codec::decode::<Value>(&there, other).unwrap(), expected["data"], "{name}");
            let back = convert::convert(&there, other, encoding, &options).unwrap();
            let again = convert::convert(&back, encoding, other, &options).unwrap();
            assert!(there == again, "{name}");
            if encoding == Encoding::Json {
                assert!(&back == payload, "compact JSON comes back byte by byte");
            }
        }
    }
}

#[test]
fn every_changed_byte_of_the_first_frames_is_survived() {
    for (name, encoding, compression) in NAMES {
        let Some(recording) = recordings(name) else { return };
        if compression != Compression::None {
            let Some(mut inflater) = Inflater::new(compression, InflateLimits::default()) else { continue };
            let frame = &recording.frames[0];
            for (index, change) in
                (0..frame.len()).flat_map(|index| [1, 0x80, 0xff].map(|bits| (index, bits)))
            {
                inflater.reset();
                let mut changed = frame.clone();
                changed[index] ^= change;
                if inflater.push(&changed, |_| true).is_err() {
                    assert!(inflater.push(frame, |_| true).is_err(), "poisoned");
                }
            }
            continue;
        }
        for frame in recording.frames.iter().take(2) {
            for (index, value) in
                (0..frame.len()).flat_map(|index| (0..=255).map(move |value| (index, value)))
            {
                let mut changed = frame.clone();
                changed[index] = value;
                let decoded = gateway_codec::decode::<Value>(&changed, encoding);
                let walked = Envelope::parse(&changed, encoding);
                if let (Ok(decoded), Ok(walked)) = (&decoded, &walked) {
                    assert_eq!(decoded["op"].as_u64(), Some(walked.op), "{name} {index} {value}");
                }
                if encoding == Encoding::Etf {
                    let tree = etf::Value::from_slice(&changed, &gateway_codec::DocumentLimits::default());
                    let typed = etf::from_slice::<etf::Value<'_>>(&changed);
                    assert_eq!(tree.is_ok(), typed.is_ok(), "{name} {index} {value}");
                }
            }
        }
    }
}
