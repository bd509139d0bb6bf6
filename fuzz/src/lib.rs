//! Invariants for any input: each function is a fuzz target, and panics if its invariant does not hold.
//!
//! `cargo xtask fuzz --only TARGET` runs one of them. It starts with the committed `seeds`; new inputs go to `corpus`,
//! which is not committed. `cargo xtask fuzz --check` runs only the seeds, with any toolchain.

use gateway_codec::etf::{self, Style};
use gateway_codec::json::{self, Engine};
use gateway_codec::{
    Compression, DocumentLimits, Encoding, Envelope, ErrorKind, InflateLimits, Inflater, Raw, RawRef, convert,
};
use serde_json::Value;

mod raw_connection;
mod shard;
mod skim;

pub use raw_connection::raw_connection;
pub use shard::shard;
pub use skim::skim_is_parse;

/// The walk finds what a full decode finds; both engines agree; the envelope is that of a full decode.
pub fn json_walk(data: &[u8]) {
    let full = json::from_slice::<Value>(data);
    let walked: Result<Vec<_>, _> = json::walk(data).collect();
    if let Ok(full) = &full {
        json::check_structure(data).expect("a document that decodes has a structure");
        if let Value::Object(object) = full {
            let entries = walked.as_ref().expect("an object that decodes can be walked");
            let walked: serde_json::Map<String, Value> = entries
                .iter()
                .map(|(key, value)| (key.clone().into_owned(), value.decode().expect("its parts decode")))
                .collect();
            assert_eq!(&walked, object);
        }
    }
    check_envelope(data, Encoding::Json, full.as_ref().ok());
    let simd = json::from_mut_slice::<Value>(&mut data.to_vec(), Engine::Simd);
    match (&full, simd) {
        (Ok(one), Ok(other)) => assert_eq!(without_negative_zero(one.clone()), without_negative_zero(other)),
        (Ok(_), Err(_)) => assert!(has_wide_integer(data), "simd-json refuses more than serde_json"),
        (Err(_), Ok(_)) => panic!("simd-json accepts more than serde_json"),
        (Err(_), Err(_)) => {}
    }
    if let (Ok(full), Ok(value)) = (full, Raw::new(data.to_vec(), Encoding::Json).value()) {
        assert_eq!(full, value);
    }
}

/// The tree, the typed decode and the skip agree; written terms read back the same.
pub fn etf_decode(data: &[u8]) {
    let tree = etf::Value::from_slice(data, &DocumentLimits::default());
    let typed = etf::from_slice::<etf::Value<'_>>(data);
    assert_eq!(tree.is_ok(), typed.is_ok());
    if let Ok(tree) = &tree {
        etf::check_structure(data).expect("a term that decodes has a structure");
        for style in [Style::Client, Style::Server] {
            let Ok(written) = etf::to_vec_with(tree, style) else { continue };
            let again =
                etf::Value::from_slice(&written, &DocumentLimits::default()).expect("what is written reads");
            assert_eq!(etf::to_vec_with(&again, style).expect("and writes again"), written);
        }
    }
    let full = etf::from_slice::<Value>(data);
    check_envelope(data, Encoding::Etf, full.as_ref().ok());
    if let Ok(expanded) = etf::expand(data, 1 << 20) {
        let _ = etf::check_structure(&expanded);
    }
}

/// Every part of a document that decodes is found by its path, and nothing else is found.
pub fn lookup(data: &[u8]) {
    let Some((choice, document)) = data.split_first() else { return };
    let encoding = if choice % 2 == 0 { Encoding::Json } else { Encoding::Etf };
    let raw = RawRef::new(document, encoding);
    let _ = (raw.find(("d", 0, "a")), raw.get(["author", "id"]), raw.as_str(), raw.as_u64(), raw.as_id());
    if let Ok(full) = raw.decode::<Value>() {
        check_parts(raw, &full);
    }
}

/// A zlib stream gives the same bytes for any split; as a whole payload it is bounded.
pub fn inflate_zlib(data: &[u8]) {
    inflate(data, Compression::ZlibStream);
    if let Ok(output) = gateway_codec::inflate_zlib(data, LIMIT) {
        assert!(output.len() <= LIMIT);
    }
}

/// A zstd stream gives the same bytes for any split.
pub fn inflate_zstd(data: &[u8]) {
    inflate(data, Compression::ZstdStream);
}

/// Conversion there, back and there again gives the same; JSON values survive as a tree; a writer receives the same
/// bytes.
pub fn convert(data: &[u8]) {
    let options = convert::Options::default();
    for (from, to) in [(Encoding::Json, Encoding::Etf), (Encoding::Etf, Encoding::Json)] {
        // A term may have a duplicate key, and then JSON has it too; a written term never has one.
        let Ok(data) = convert::convert(data, from, from, &options) else { continue };
        let Ok(there) = convert::convert(&data, from, to, &options) else { continue };
        let back = match convert::convert(&there, to, from, &options) {
            Ok(back) => back,
            // An empty list counts as a level in JSON.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Limit);
                continue;
            }
        };
        let again = convert::convert(&back, from, to, &options).expect("what came back converts");
        assert_eq!(there, again);
        let same = convert::convert(&there, to, to, &options).expect("what was written is normal");
        assert_eq!(there, same);
    }
    // Both reject the same documents, except for depth, of which the converter allows more.
    match (json::from_slice::<Value>(data), convert::convert(data, Encoding::Json, Encoding::Json, &options))
    {
        (Ok(value), Ok(text)) => assert_eq!(json::from_slice::<Value>(&text).expect("it is JSON"), value),
        (Err(error), Ok(_)) => assert_eq!(error.kind(), ErrorKind::Limit),
        (Ok(_), Err(error)) => panic!("the converter refuses JSON: {error}"),
        (Err(_), Err(_)) => {}
    }
    let Ok(tree) = etf::Value::from_slice(data, &DocumentLimits::default()) else { return };
    for style in [Style::Client, Style::Server] {
        let mut options = options;
        options.style = style;
        let converted = convert::convert(data, Encoding::Etf, Encoding::Etf, &options);
        assert_eq!(converted.ok(), etf::to_vec_with(&tree, style).ok());
    }
}

const LIMIT: usize = 1 << 20;

fn inflate(data: &[u8], compression: Compression) {
    let Some((piece, stream)) = data.split_first() else { return };
    let mut limits = InflateLimits::default();
    limits.max_output = LIMIT;
    let mut whole = Inflater::new(compression, limits).expect("it is a stream");
    let mut cut = Inflater::new(compression, limits).expect("it is a stream");
    let mut pieces = Vec::new();
    let mut result = Ok(());
    for piece in stream.chunks(usize::from(*piece) + 1) {
        match cut.push(piece, |_| true) {
            Ok(message) => pieces.extend(message.unwrap_or_default()),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // Split into pieces, each message has the limit to itself, so more may be read than of the whole.
    if let Ok(message) = whole.push(stream, |_| true) {
        result.expect("what is right as a whole is right in pieces");
        if let Some(message) = message {
            assert!(message.len() <= LIMIT);
            assert_eq!(message, pieces);
        }
    }
    cut.reset();
    whole.reset();
    assert_eq!(whole.push(stream, |_| true), cut.push(stream, |_| true), "a reset context is as new");
}

fn check_envelope(data: &[u8], encoding: Encoding, full: Option<&Value>) {
    let envelope = Envelope::parse(data, encoding);
    let (Ok(envelope), Some(Value::Object(full))) = (&envelope, full) else { return };
    let entries = match encoding {
        Encoding::Json => json::walk(data).count(),
        Encoding::Etf => etf::walk(data).count(),
    };
    if entries != full.len() {
        // Of duplicates the envelope has the first, a full decode the last.
        return;
    }
    match &full["op"] {
        // Beyond 2^53 it is text in a value from ETF.
        Value::String(op) => assert_eq!(op, &envelope.op.to_string()),
        op => assert_eq!(op.as_f64(), Some(envelope.op as f64)),
    }
    let d = envelope.d.value().expect("the data decodes with its document");
    assert_eq!(full.get("d").unwrap_or(&Value::Null), &d);
    if let Some(t) = &envelope.t {
        assert_eq!(full["t"].as_str(), Some(&**t));
    }
}

fn check_parts(raw: RawRef<'_>, full: &Value) {
    match full {
        Value::Object(object) => {
            // Of duplicates a look-up finds the first, a full decode the last.
            let entries: Vec<_> = raw.entries().map(|entry| entry.expect("it decodes")).collect();
            if entries.len() == object.len() {
                for (key, value) in object {
                    check_parts(raw.get(key.as_str()).expect("the entry is there"), value);
                }
            }
        }
        Value::Array(list) => {
            assert_eq!(raw.elements().count(), list.len());
            for (index, value) in list.iter().enumerate() {
                check_parts(raw.get(index).expect("the element is there"), value);
            }
            assert!(raw.get(list.len()).is_none());
        }
        Value::String(text) => assert_eq!(raw.as_str().as_deref(), Some(&**text)),
        Value::Number(number) => assert_eq!(raw.as_f64(), number.as_f64()),
        Value::Bool(value) => assert_eq!(raw.as_bool(), Some(*value)),
        Value::Null => assert!(raw.is_null()),
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

fn has_wide_integer(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 19)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 9] = [
        ("convert", convert),
        ("etf_decode", etf_decode),
        ("inflate_zlib", inflate_zlib),
        ("inflate_zstd", inflate_zstd),
        ("json_walk", json_walk),
        ("lookup", lookup),
        ("raw_connection", raw_connection),
        ("shard", shard),
        ("skim_is_parse", skim_is_parse),
    ];

    fn names(folder: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(&folder).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_target_is_listed_and_has_seeds() {
        let listed = TARGETS.map(|(name, _)| name.to_owned());
        assert_eq!(names("targets"), listed.clone().map(|name| name + ".rs"));
        assert_eq!(names("seeds"), listed);
    }

    #[test]
    fn seeds_hold() {
        for (name, target) in TARGETS {
            for seed in names(&format!("seeds/{name}")) {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name).join(&seed);
                println!("{name} {seed}");
                target(&std::fs::read(path).unwrap());
            }
        }
    }
}
