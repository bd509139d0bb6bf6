//! The converter as a program: its flags, its status, its errors for bad input.
#![cfg(all(feature = "zlib", feature = "zstd"))]

use std::io::{Read, Write};
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
    // A program that rejects its flags does not read, so the pipe may be closed.
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

fn frames(documents: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for document in documents {
        frames.extend((document.len() as u32).to_le_bytes());
        frames.extend(*document);
    }
    frames
}

#[test]
fn frames_are_converted_one_by_one() {
    let frames = frames(&[b"[10]", b"null", JSON]);
    let etf = convert("--frames --from json --to etf --compress zlib", &frames);
    assert!(etf.status.success());
    let json = convert("--frames --from etf --to json", &etf.stdout);
    assert_eq!(json.stdout, frames);
}

/// The records before a bad one are written, and the message names the bad one.
#[test]
fn frames_before_an_invalid_one_are_written() {
    let good = frames(&[b"[10]", b"null"]);
    for (bad, message) in [
        (
            frames(&[b"{\"a\":[1,x]}"]),
            "record 2, whose document begins at byte 20: expected a value, in a[1], at byte 8",
        ),
        (
            frames(&[b"[1"]),
            "record 2, whose document begins at byte 20: the input ended too early, at byte 2",
        ),
        (
            b"\xff\xff\xff\x7f[1]".to_vec(),
            "record 2, whose document begins at byte 20: the document is too long",
        ),
        (b"\x04\0\0\0[1]".to_vec(), "record 2 at byte 16 of the input is cut"),
        (b"\x04\0\0".to_vec(), "record 2 at byte 16 of the input is cut"),
    ] {
        let output = convert("--frames --from json --to json", &[&good[..], &bad].concat());
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("convert: {message}\n"));
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, good, "{message}");
    }
}

/// A record is written before the next one is read: the producer may wait for it.
#[test]
fn frames_are_written_as_they_are_read() {
    let mut child = Command::new(program())
        .args(["--frames", "--from", "json", "--to", "etf"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let mut output = child.stdout.take().expect("stdout is a pipe");
    for _ in 0..3 {
        input.write_all(&frames(&[b"null"])).unwrap();
        let mut record = [0; 10];
        output.read_exact(&mut record).unwrap();
        assert_eq!(record, *b"\x06\0\0\0\x83s\x03nil");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// A document much longer than any buffer, in every compression.
#[test]
fn long_documents_are_complete() {
    let document = format!("[{}]", vec![r#"{"id":"81384788765712384","x":[1,-7,0.5]}"#; 20_000].join(","));
    for compress in ["none", "zlib", "gzip", "zstd"] {
        let etf = convert(&format!("--from json --to etf --compress {compress}"), document.as_bytes());
        assert!(etf.status.success(), "{}", String::from_utf8_lossy(&etf.stderr));
        let again = convert(&format!("--from etf --to etf --compress {compress}"), &etf.stdout);
        assert!(again.status.success(), "{compress}");
        let json = convert(&format!("--from etf --to json --compress {compress}"), &again.stdout);
        let plain = convert("--from json --to json", &json.stdout);
        assert!(plain.stdout == document.as_bytes(), "{compress}");
    }
}

#[test]
fn invalid_input_is_reported_with_its_offset() {
    for (arguments, input, expected) in [
        ("--from json --to etf", &br#"{"a":[1,x]}"#[..], "convert: expected a value, in a[1], at byte 8\n"),
        (
            "--from etf --to json",
            b"\x83\x6c\0\0\0\x01\x61\x01\x61",
            "convert: the list is improper, at byte 8\n",
        ),
        ("--from etf --to json", b"\x82", "convert: the version byte is not 131, at byte 0\n"),
        (
            "--from json --to etf",
            b"\x1f\x8b\x08",
            "convert: the body could not be inflated: the compressed data ended too early\n",
        ),
    ] {
        let output = convert(arguments, input);
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

/// The digits of a number can be the header of a zlib stream with a window of 2 KiB. Windows have other sizes too.
#[test]
fn a_number_is_not_read_as_compressed_data() {
    let number = convert("--from json --to json", b"80");
    assert_eq!((number.status.code(), &number.stdout[..]), (Some(0), &b"80"[..]));
    let mut deflate = flate2::Compress::new_with_window_bits(flate2::Compression::default(), true, 11);
    let mut input = Vec::with_capacity(1024);
    deflate.compress_vec(JSON, &mut input, flate2::FlushCompress::Finish).unwrap();
    assert_eq!(input[0], 0x38);
    assert_eq!(convert("--from json --to json", &input).stdout, JSON);
}

#[test]
fn invalid_flags_are_named() {
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

#[test]
fn help_and_version() {
    for flag in ["-h", "--help"] {
        let output = convert(flag, b"");
        assert!(output.status.success() && output.stdout.starts_with(b"usage: convert"), "{flag}");
    }
    for flag in ["-V", "--version"] {
        let output = convert(flag, b"");
        assert!(output.status.success(), "{flag}");
        assert_eq!(output.stdout, concat!("convert ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    }
}
