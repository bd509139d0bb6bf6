//! Every fuzz target for a while.

use lexopt::{Arg, Parser, ValueExt};

use crate::process::{self, need_cargo_tool, root};

/// Runs the targets one after the other.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let mut seconds: u64 = 60;
    let mut only = None;
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("seconds") => {
                let value = arguments.value().and_then(|value| value.parse());
                seconds = value.map_err(|error| error.to_string())?;
            }
            Arg::Long("only") => {
                let value = arguments.value().and_then(ValueExt::string);
                only = Some(value.map_err(|error| error.to_string())?);
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    let targets: Vec<String> =
        targets()?.into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)).collect();
    if targets.is_empty() {
        return Err(format!("there is no fuzz target {}", only.unwrap_or_default()));
    }
    need_nightly()?;
    need_cargo_tool("fuzz")?;
    for target in &targets {
        println!("fuzz: {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let seeds = format!("fuzz/seeds/{target}");
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(root().join(&corpus)).map_err(|error| error.to_string())?;
        let mut command = nightly_cargo();
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
    println!("fuzz: {} targets, {seconds} s each, no finding", targets.len());
    Ok(())
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

/// The fuzzer's instrumentation is a nightly feature of the compiler.
fn need_nightly() -> Result<(), String> {
    match nightly_cargo().arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("fuzzing needs a nightly toolchain, and there is none: `rustup toolchain install nightly`"
            .to_owned()),
    }
}

/// Cargo of the nightly toolchain, by way of rustup.
fn nightly_cargo() -> std::process::Command {
    let mut command = std::process::Command::new("cargo");
    command.arg("+nightly").current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
