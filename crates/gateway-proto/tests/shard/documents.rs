//! The tests that documents name exist.

use std::path::Path;

/// Every `file::test` between backticks.
fn named(document: &str) -> Vec<(&str, &str)> {
    let quoted = document.split('`').skip(1).step_by(2);
    let names = quoted.filter_map(|quoted| quoted.split_once("::"));
    let is_name =
        |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || "_-/".contains(c) || c.is_ascii_digit());
    names.filter(|(file, test)| is_name(file) && is_name(test) && test.contains('_')).collect()
}

/// The source of a test file of this crate, or of another crate as `crate/file`.
fn source(file: &str) -> Option<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = match file.split_once('/') {
        Some((package, file)) => vec![here.join("..").join(package).join("tests").join(format!("{file}.rs"))],
        None => {
            ["tests/shard", "tests", "src"].map(|folder| here.join(folder).join(format!("{file}.rs"))).into()
        }
    };
    candidates.iter().find_map(|path| std::fs::read_to_string(path).ok())
}

#[test]
fn every_test_that_is_named_exists() {
    for (document, least) in [(include_str!("../FAULTS.md"), 100), (include_str!("../../README.md"), 18)] {
        let named = named(document);
        assert!(named.len() >= least, "{} tests are named", named.len());
        for (file, test) in named {
            let source = source(file).unwrap_or_else(|| panic!("no file {file}"));
            assert!(source.contains(&format!("fn {test}")), "no test {file}::{test}");
        }
    }
}
