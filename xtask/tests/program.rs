//! The program: its help and its version.

use std::process::{Command, Output};

const TASKS: [&str; 12] = [
    "demo",
    "crash",
    "test",
    "conformance",
    "bench",
    "deny",
    "features",
    "package",
    "targets",
    "fuzz",
    "simulate",
    "replay",
];

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("the program runs")
}

#[test]
fn help_and_version_of_every_task() {
    let help = run(&["help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout.clone()).unwrap();
    for task in TASKS {
        assert!(text.contains(&format!("\n  {task} ")), "{task}");
        for flag in ["-h", "--help"] {
            let output = run(&[task, flag]);
            assert!(output.status.success() && output.stdout == help.stdout, "{task} {flag}");
        }
        let output = run(&[task, "--version"]);
        assert!(output.status.success(), "{task}");
        assert_eq!(output.stdout, concat!("xtask ", env!("CARGO_PKG_VERSION"), "\n").as_bytes(), "{task}");
    }
    assert!(!run(&["fly"]).status.success());
}
