//! The converter as a program: its flags, its status, what it says of bad input.
#![cfg(all(feature = "zlib", feature = "zstd"))]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Examples are built beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a test lies in deps");
    folder.join("examples").join(format!("convert{}", std::env::consts::EXE_SUFFIX))
}

fn convert(arguments: &str, input: &[u8]) -> Output {
    let mut child = Command::new(program())
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests");
    // A program that refuses its flags does not read: the pipe may be closed.
    let _ = child.stdin.take().expect("stdin is a pipe").write_all(input);
    child.wait_with_output().expect("the program ends")
}

const JSON: &[u8] = br#"{"op":0,"d":{"id":"81384788765712384","x":[1,10,32]}}"#;

#[test]
fn every_compression_reads_back() {
    for compress in ["none", "zlib", "gzip", "zstd"] {
        let etf = convert(&format!("--from json --to etf --compress {compress}"), JSON);
        assert!(etf.status.success(), "{}", String::from_utf8_lossy(&etf.stderr));
        assert_eq!(etf.stdout[0] == 131, compress == "none");
        let json = convert("--from etf --to json", &etf.stdout);
        assert_eq!(json.stdout, JSON, "{compress}: {}", String::from_utf8_lossy(&json.stderr));
    }
}

#[test]
fn frames_are_converted_one_by_one() {
    let documents = [&b"[10]"[..], b"null", JSON];
    let mut frames = Vec::new();
    for document in documents {
        frames.extend((document.len() as u32).to_le_bytes());
        frames.extend(document);
    }
    let etf = convert("--frames --from json --to etf --compress zlib", &frames);
    assert!(etf.status.success());
    let json = convert("--frames --from etf --to json", &etf.stdout);
    assert_eq!(json.stdout, frames);
    let cut = convert("--frames --from json --to etf", &frames[..frames.len() - 1]);
    assert_eq!((cut.status.code(), cut.stdout.len()), (Some(2), 0));
    let message = String::from_utf8_lossy(&cut.stderr);
    assert_eq!(message, "convert: record 2 at byte 16 of the input is cut\n");
}

#[test]
fn bad_input_is_named_with_its_offset() {
    for (arguments, input, expected) in [
        ("--from json --to etf", &br#"{"a":[1,x]}"#[..], "convert: expected value, in a[1], at byte 8\n"),
        (
            "--from etf --to json",
            b"\x83\x6c\0\0\0\x01\x61\x01\x61",
            "convert: the list is improper, at byte 8\n",
        ),
        ("--from etf --to json", b"\x82", "convert: the version byte is not 131, at byte 0\n"),
        ("--from json --to etf", b"\x1f\x8b\x08", "convert: the compressed data ends too early\n"),
    ] {
        let output = convert(arguments, input);
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

#[test]
fn bad_flags_are_named() {
    for (arguments, expected) in [
        ("--from json", "convert: --to is missing"),
        ("--from xml --to etf", "convert: cannot parse argument \"xml\""),
        ("--from json --to etf --compress br", "convert: cannot parse argument \"br\""),
        ("--from json --to etf --fast", "convert: invalid option '--fast'"),
    ] {
        let output = convert(arguments, b"");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(output.status.code(), Some(2));
    }
    assert!(convert("--help", b"").status.success());
}

#[test]
fn files_are_read_and_written() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (input, output) = (folder.join("convert-in.json"), folder.join("convert-out.etf"));
    std::fs::write(&input, JSON).unwrap();
    let arguments = format!("--from json --to etf --in {} --out {}", input.display(), output.display());
    assert!(convert(&arguments, b"").status.success());
    let json = convert("--from etf --to json --ids-as-text", &std::fs::read(&output).unwrap());
    assert_eq!(json.stdout, JSON);
}
