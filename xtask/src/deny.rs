//! What may be depended on: licences, sources, banned crates.

use lexopt::Parser;

use crate::process::{self, cargo, need_cargo_tool};

/// Runs the checks of cargo-deny that need no network.
pub(crate) fn run(arguments: Parser) -> Result<(), String> {
    crate::no_more(arguments)?;
    need_cargo_tool("deny")?;
    process::run(cargo().args(["fetch", "--locked", "--quiet"]))?;
    process::run(cargo().args([
        "deny",
        "--offline",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
