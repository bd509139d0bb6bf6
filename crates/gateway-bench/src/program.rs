//! How a program of this crate ends.

use std::fmt::Display;
use std::process::ExitCode;

/// Prints what it has found, or the sentence that says why it has found nothing.
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
