//! The program: its help and its version.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway-world")).args(arguments).output().expect("the program runs")
}

#[test]
fn help_and_version_before_a_task_and_behind_it() {
    for task in [&[][..], &["simulate"], &["replay"]] {
        for flag in ["-h", "--help"] {
            let output = run(&[task, &[flag]].concat());
            assert!(output.status.success(), "{task:?} {flag}");
            assert!(
                String::from_utf8(output.stdout).unwrap().contains("simulate [--seed N]"),
                "{task:?} {flag}"
            );
        }
        for flag in ["-V", "--version"] {
            let output = run(&[task, &[flag]].concat());
            assert!(output.status.success(), "{task:?} {flag}");
            assert_eq!(output.stdout, concat!("gateway-world ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        }
    }
    assert!(!run(&["--fly"]).status.success());
}
