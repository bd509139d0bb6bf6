//! The programs: their help and their version.

use std::process::{Command, Output};

#[test]
fn help_and_version_of_every_program() {
    for (name, program) in [
        ("allocations", env!("CARGO_BIN_EXE_allocations")),
        ("bench", env!("CARGO_BIN_EXE_bench")),
        ("client", env!("CARGO_BIN_EXE_client")),
        ("decode", env!("CARGO_BIN_EXE_decode")),
        ("serve", env!("CARGO_BIN_EXE_serve")),
    ] {
        let run =
            |flag: &str| -> Output { Command::new(program).arg(flag).output().expect("the program runs") };
        for flag in ["-h", "--help"] {
            let output = run(flag);
            assert!(output.status.success(), "{name} {flag}");
            assert!(output.stdout.starts_with(format!("{name} ").as_bytes()), "{name} {flag}");
        }
        for flag in ["-V", "--version"] {
            let output = run(flag);
            assert!(output.status.success(), "{name} {flag}");
            assert_eq!(output.stdout, format!("{name} {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
        }
    }
}
