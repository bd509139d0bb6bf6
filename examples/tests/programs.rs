//! The programs: their help and their version.

use std::path::PathBuf;
use std::process::{Command, Output};

const PROGRAMS: [&str; 16] = [
    "async_std_bot",
    "blocking_bot",
    "cluster_bot",
    "conformance",
    "crash",
    "custom_runtime",
    "demo",
    "http_proxy_bot",
    "memory",
    "poll_bot",
    "rest",
    "smol_bot",
    "socks5_bot",
    "threads_bot",
    "tokio_bot",
    "workers_bot",
];

/// Examples are built beside the tests.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a test lies in deps");
    folder.join("examples")
}

/// Without a token and without a proxy, which help and version do not need.
fn run(name: &str, flag: &str) -> Output {
    let program = folder().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(program);
    command.arg(flag).env_remove("DISCORD_TOKEN").env_remove("GATEWAY_PROXY");
    command.output().expect("the example is built with the tests")
}

#[test]
fn help_and_version_of_every_program() {
    for name in PROGRAMS {
        for flag in ["-h", "--help"] {
            let output = run(name, flag);
            assert!(output.status.success(), "{name} {flag}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("--help") && text.contains("--version"), "{name} {flag}: {text}");
        }
        for flag in ["-V", "--version"] {
            let output = run(name, flag);
            assert!(output.status.success(), "{name} {flag}");
            assert_eq!(output.stdout, format!("{name} {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
        }
    }
}

/// The list above is complete.
#[test]
fn every_example_is_listed() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut names: Vec<String> = std::fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, PROGRAMS);
}
