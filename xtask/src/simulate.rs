//! Years of bad network: runs the crate gateway-world, with optimisation.

use lexopt::Parser;

use crate::process::{self, cargo};

/// Hands everything on to the program.
pub(crate) fn run(task: &str, mut arguments: Parser) -> Result<(), String> {
    let rest = arguments.raw_args().map_err(|error| error.to_string())?;
    process::run(
        cargo().args(["run", "--release", "--quiet", "--package", "gateway-world", "--", task]).args(rest),
    )
}
