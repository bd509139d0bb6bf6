//! Every fuzz target for a while, or a check that they still build and that their seeds hold.

use std::fmt;
use std::process::Command;

use lexopt::{Arg, Parser, ValueExt};

use crate::process::{self, cargo, need_cargo_tool, root};

/// Runs the targets one after the other.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let mut bound = Bound::Seconds(60);
    let mut only = None;
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("seconds") => {
                let value = arguments.value().and_then(|value| value.parse());
                bound = Bound::Seconds(value.map_err(|error| error.to_string())?);
            }
            Arg::Long("runs") => {
                let value = arguments.value().and_then(|value| value.parse());
                bound = Bound::Runs(value.map_err(|error| error.to_string())?);
            }
            Arg::Long("only") => {
                let value = arguments.value().and_then(ValueExt::string);
                only = Some(value.map_err(|error| error.to_string())?);
            }
            Arg::Long("check") => return check(arguments),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let targets: Vec<String> =
        targets()?.into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)).collect();
    if targets.is_empty() {
        return Err(format!("there is no fuzz target {}", only.unwrap_or_default()));
    }
    need_cargo_tool("fuzz")?;
    let has_nightly = has_nightly();
    if !has_nightly {
        println!("fuzz: there is no nightly toolchain, this one is told to act as one (RUSTC_BOOTSTRAP=1)");
    }
    for target in &targets {
        println!("fuzz: {target}, {bound}");
        let limit = match bound {
            Bound::Seconds(seconds) => format!("-max_total_time={seconds}"),
            Bound::Runs(runs) => format!("-runs={runs}"),
        };
        let seeds = format!("fuzz/seeds/{target}");
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(root().join(&corpus)).map_err(|error| error.to_string())?;
        let mut command = if has_nightly { nightly_cargo() } else { cargo() };
        if !has_nightly {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command.args(["fuzz", "run", target, &corpus]);
        if root().join(&seeds).is_dir() {
            command.arg(&seeds);
        }
        // The instrumented decoders are given room, but not without bound: growing without end is a finding.
        process::run(command.args([
            "--",
            &limit,
            "-rss_limit_mb=2048",
            "-timeout=10",
            "-print_final_stats=1",
        ]))?;
    }
    println!("fuzz: {} targets, {bound} each, no finding", targets.len());
    Ok(())
}

/// When a target has run for long enough.
#[derive(Clone, Copy)]
enum Bound {
    Seconds(u64),
    /// After so many executions.
    Runs(u64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Runs(runs) => write!(f, "{runs} executions"),
        }
    }
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("fuzz/targets: {error}"))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Without a fuzzer, on any toolchain: what must hold holds for the seeds, and the targets compile.
fn check(arguments: Parser) -> Result<(), String> {
    crate::no_more(arguments)?;
    let here = |command: &mut Command| {
        // The folder of the workspace: most of what is built is there already.
        process::run(command.args([
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--locked",
            "--target-dir",
            "target",
        ]))
    };
    process::run(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    here(cargo().args(["test", "--quiet", "--no-default-features", "--lib"]))?;
    // The fuzzer itself is C++ and takes long to build; nothing is linked here, so no library needs to be there.
    here(cargo().env("CUSTOM_LIBFUZZER_PATH", "target/libfuzzer.a").args(["check", "--quiet", "--bins"]))?;
    println!("fuzz: the seeds hold, and the targets compile");
    Ok(())
}

/// The fuzzer's instrumentation is a nightly feature of the compiler.
fn has_nightly() -> bool {
    nightly_cargo().arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Cargo of the nightly toolchain, by way of rustup.
fn nightly_cargo() -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
