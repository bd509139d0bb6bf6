//! Terms written by Erlang, and our terms read by Erlang. Needs `escript` (Debian: erlang-base).

mod support;

use gateway_codec::{Encoding, convert, etf};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::note;

const TERMS: usize = 4000;

#[test]
fn terms_of_erlang_are_read() {
    let file = scratch("erlang-terms");
    if !run(&["write", &TERMS.to_string(), "20", &file.display().to_string()]) {
        return;
    }
    let records = records(&std::fs::read(&file).unwrap());
    assert_eq!(records.len(), 2 * TERMS);
    for (index, pair) in records.chunks_exact(2).enumerate() {
        let (term, expected) = (&pair[0], serde_json::from_slice::<Value>(&pair[1]).unwrap());
        let expanded = match etf::expand(term, 1 << 30) {
            Ok(expanded) => expanded,
            Err(error) => {
                assert!(cfg!(not(feature = "zlib")) && term[1] == 80, "{error}");
                continue;
            }
        };
        let mut options = etf::Options::default();
        options.wide_integers_as_text = false;
        let value: Value =
            etf::from_slice_with(&expanded, &options).unwrap_or_else(|error| panic!("term {index}: {error}"));
        assert!(value == expected, "term {index}");
        let json =
            convert::convert(term, Encoding::Etf, Encoding::Json, &convert::Options::default()).unwrap();
        assert!(serde_json::from_slice::<Value>(&json).unwrap() == expected, "term {index}");
        etf::check_structure(&expanded).unwrap();
    }
}

#[test]
fn our_terms_are_read_by_erlang() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let values: Vec<Value> = (0..TERMS).map(|_| value().new_tree(&mut runner).unwrap().current()).collect();
    let mut bytes = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let style = if index % 2 == 0 { etf::Style::Client } else { etf::Style::Server };
        let term = etf::to_vec_with(value, style).unwrap();
        bytes.extend((term.len() as u32).to_le_bytes());
        bytes.extend(term);
    }
    let (ours, theirs) = (scratch("our-terms"), scratch("our-terms-as-json"));
    std::fs::write(&ours, bytes).unwrap();
    if !run(&["read", &ours.display().to_string(), &theirs.display().to_string()]) {
        return;
    }
    let read = records(&std::fs::read(&theirs).unwrap());
    assert_eq!(read.len(), TERMS);
    for (index, (value, read)) in values.iter().zip(read).enumerate() {
        assert!(&serde_json::from_slice::<Value>(&read).unwrap() == value, "term {index}");
    }
}

/// Values whose keys exist as atoms in Erlang's `safe` mode, where they are written as atoms.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        (-1e30..1e30).prop_map(|number: f64| Value::from(number)),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(Value::from),
    ];
    let key = prop_oneof!["[0-9]{1,20}", "é[a-z]{0,9}", Just("error".to_owned()), Just("ok".to_owned())];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Runs the script. Returns false, with a note, if Erlang is not installed.
fn run(arguments: &[&str]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/terms.escript");
    match Command::new("escript").arg(script).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            note("escript is missing (Debian: erlang-base), the round trip through Erlang did not run");
            false
        }
    }
}

fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (record, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
