//! The beginning and the end of the programs of this crate.

use std::fmt::Display;
use std::process::ExitCode;

/// Prints the result, or the error.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]
pub fn end(result: Result<impl Display, String>) -> ExitCode {
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the help or the version if the command line requests it. Returns whether it does.
#[expect(clippy::print_stdout, reason = "a program talks to its user")]
pub fn is_answered(name: &str, help: &str) -> bool {
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("-h" | "--help") => print!("{help}"),
            Some("-V" | "--version") => println!("{name} {}", env!("CARGO_PKG_VERSION")),
            _ => continue,
        }
        return true;
    }
    false
}
