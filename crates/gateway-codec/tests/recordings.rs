//! A recorded session through the same inflaters and envelope as live traffic. The streams are written by flate2 and zstd.

mod support;

#[cfg(feature = "simd-json")]
use gateway_codec::json;
use gateway_codec::{Encoding, Envelope, convert, etf};
use serde_json::Value;
use support::{Recording, recording};

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Etf];

/// Every payload decodes to its value, and its envelope agrees with it.
fn check_payloads(payloads: &[Vec<u8>], expected: &[Value], encoding: Encoding) {
    assert_eq!(payloads.len(), expected.len(), "{encoding}");
    for (index, (payload, expected)) in payloads.iter().zip(expected).enumerate() {
        let envelope = Envelope::parse(payload, encoding).unwrap();
        assert_eq!(Some(envelope.op), expected["op"].as_u64(), "{encoding} {index}");
        assert_eq!(envelope.s, expected["s"].as_u64(), "{encoding} {index}");
        assert_eq!(envelope.t.as_deref(), expected["t"].as_str(), "{encoding} {index}");
        assert_eq!(envelope.d.value().unwrap(), expected["d"], "{encoding} {index}");
        assert_eq!(
            gateway_codec::decode::<Value>(payload, encoding).unwrap(),
            *expected,
            "{encoding} {index}"
        );
    }
}

#[test]
fn a_recording_decodes_to_its_values() {
    for encoding in ENCODINGS {
        let Recording { payloads, expected } = recording(encoding);
        assert!(payloads.len() >= 20, "{} payloads", payloads.len());
        check_payloads(&payloads, &expected, encoding);
    }
}

#[cfg(all(feature = "zlib", feature = "zstd"))]
mod streams {
    use std::io::Write;

    use gateway_codec::{Compression, InflateLimits, Inflater};

    use super::*;

    /// One zlib stream, flushed after each message.
    fn zlib(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        let compress = |message: &Vec<u8>| {
            encoder.write_all(message).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        };
        messages.iter().map(compress).collect()
    }

    /// One zstd frame, flushed after each message.
    fn zstd_in_one_frame(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        let compress = |message: &Vec<u8>| {
            encoder.write_all(message).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        };
        messages.iter().map(compress).collect()
    }

    /// A zstd frame for each message, as some servers send.
    fn zstd_in_frames(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        messages.iter().map(|message| zstd::bulk::compress(message, 3).unwrap()).collect()
    }

    type Compress = fn(&[Vec<u8>]) -> Vec<Vec<u8>>;

    const STREAMS: [(&str, Compression, Compress); 3] = [
        ("zlib", Compression::ZlibStream, zlib),
        ("zstd in one frame", Compression::ZstdStream, zstd_in_one_frame),
        ("zstd in frames", Compression::ZstdStream, zstd_in_frames),
    ];

    /// The payloads of a stream. Messages of a zlib stream are cut into pieces of `piece` bytes; those of zstd cannot be cut.
    fn inflate(
        frames: &[Vec<u8>],
        encoding: Encoding,
        compression: Compression,
        piece: usize,
    ) -> Vec<Vec<u8>> {
        let mut inflater = Inflater::new(compression, InflateLimits::default()).unwrap();
        let complete = |output: &[u8]| Envelope::parse(output, encoding).is_ok();
        let mut payloads = Vec::new();
        for frame in frames {
            let piece = if compression == Compression::ZlibStream { piece } else { frame.len() };
            for piece in frame.chunks(piece) {
                payloads.extend(inflater.push(piece, complete).unwrap().map(|payload| payload.to_vec()));
            }
        }
        payloads
    }

    #[test]
    fn a_recording_decodes_to_its_values_from_any_stream() {
        for encoding in ENCODINGS {
            let Recording { payloads, expected } = recording(encoding);
            for (name, compression, compress) in STREAMS {
                let inflated = inflate(&compress(&payloads), encoding, compression, usize::MAX);
                assert!(inflated == payloads, "{encoding}, {name}");
                check_payloads(&inflated, &expected, encoding);
            }
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same_payloads() {
        for encoding in ENCODINGS {
            let payloads = recording(encoding).payloads;
            let frames = zlib(&payloads);
            for piece in [1, 2, 3, 1000] {
                let inflated = inflate(&frames, encoding, Compression::ZlibStream, piece);
                assert!(inflated == payloads, "{encoding} by {piece}");
            }
        }
    }

    /// No change of a byte panics, and what makes a message fail makes the next fail too.
    #[test]
    fn a_changed_byte_of_a_stream_never_panics() {
        let payloads = recording(Encoding::Json).payloads;
        for (name, compression, compress) in STREAMS {
            let mut inflater = Inflater::new(compression, InflateLimits::default()).unwrap();
            // READY: the first message that compresses.
            let frame = &compress(&payloads[1..2])[0];
            let changes = (0..frame.len()).flat_map(|index| [1, 0x80, 0xff].map(|bits| (index, bits)));
            for (index, bits) in changes {
                inflater.reset();
                let mut changed = frame.clone();
                changed[index] ^= bits;
                if inflater.push(&changed, |_| true).is_err() {
                    assert!(inflater.push(frame, |_| true).is_err(), "{name} {index} is poisoned");
                }
            }
        }
    }
}

#[cfg(feature = "simd-json")]
#[test]
fn both_engines_read_the_same() {
    for payload in recording(Encoding::Json).payloads {
        let one: Value = json::from_mut_slice(&mut payload.clone(), json::Engine::Serde).unwrap();
        let other: Value = json::from_mut_slice(&mut payload.clone(), json::Engine::Simd).unwrap();
        assert_eq!(one, other);
    }
}

#[test]
fn look_ups_find_what_a_full_decode_finds() {
    for encoding in ENCODINGS {
        let Recording { payloads, expected } = recording(encoding);
        for (payload, expected) in payloads.iter().zip(&expected) {
            let envelope = Envelope::parse(payload, encoding).unwrap();
            check_parts(envelope.d, &expected["d"], encoding);
        }
    }
}

fn check_parts(raw: gateway_codec::RawRef<'_>, expected: &Value, encoding: Encoding) {
    match expected {
        Value::Object(entries) => {
            assert_eq!(raw.entries().count(), entries.len());
            for (key, value) in entries {
                check_parts(raw.get(key.as_str()).expect(key), value, encoding);
            }
        }
        Value::Array(elements) => {
            assert_eq!(raw.elements().count(), elements.len());
            for (index, value) in elements.iter().enumerate() {
                check_parts(raw.get(index).expect("an element"), value, encoding);
            }
        }
        // An id is an integer in ETF, and text in JSON.
        Value::String(text) => {
            let integer = || raw.as_u64().map(|integer| integer.to_string());
            assert_eq!(raw.as_str().map(Into::into).or_else(integer).as_ref(), Some(text), "{encoding}");
        }
        Value::Number(number) => assert_eq!(raw.as_f64(), number.as_f64(), "{encoding}"),
        Value::Bool(value) => assert_eq!(raw.as_bool(), Some(*value), "{encoding}"),
        Value::Null => assert!(raw.is_null(), "{encoding}"),
    }
}

#[test]
fn conversion_there_and_back_keeps_every_value() {
    let mut options = convert::Options::default();
    options.wide_integers_as_text = true;
    for encoding in ENCODINGS {
        let other = if encoding == Encoding::Json { Encoding::Etf } else { Encoding::Json };
        let Recording { payloads, expected } = recording(encoding);
        for (payload, expected) in payloads.iter().zip(&expected) {
            let there = convert::convert(payload, encoding, other, &options).unwrap();
            assert_eq!(gateway_codec::decode::<Value>(&there, other).unwrap(), *expected, "{encoding}");
            let back = convert::convert(&there, other, encoding, &options).unwrap();
            let again = convert::convert(&back, encoding, other, &options).unwrap();
            assert!(there == again, "{encoding}");
        }
    }
}

/// Every value of each byte of a short payload, and every flipped bit of a long one.
fn changes(payload: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let bits = || (1..=255_u8).filter(|bits| payload.len() < 150 || bits.is_power_of_two());
    (0..payload.len()).flat_map(move |index| bits().map(move |bits| (index, bits))).map(|(index, bits)| {
        let mut changed = payload.to_vec();
        changed[index] ^= bits;
        changed
    })
}

#[test]
fn a_changed_byte_of_a_payload_never_panics() {
    for encoding in ENCODINGS {
        let mut payloads = recording(encoding).payloads;
        payloads.retain(|payload| payload.len() < 1000);
        payloads.dedup_by_key(|payload| payload.len());
        for changed in payloads.iter().flat_map(|payload| changes(payload)) {
            let decoded = gateway_codec::decode::<Value>(&changed, encoding);
            let walked = Envelope::parse(&changed, encoding);
            if let (Ok(decoded), Ok(walked)) = (&decoded, &walked) {
                assert_eq!(decoded["op"].as_u64(), Some(walked.op), "{encoding} {changed:?}");
            }
            if encoding == Encoding::Etf {
                let tree = etf::Value::from_slice(&changed, &gateway_codec::DocumentLimits::default());
                let typed = etf::from_slice::<etf::Value<'_>>(&changed);
                assert_eq!(tree.is_ok(), typed.is_ok(), "{changed:?}");
            }
        }
    }
}
