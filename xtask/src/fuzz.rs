//! Every fuzz target for a while, or a check that they still build and that their seeds hold.

use std::process::Command;

use lexopt::{Arg, Parser, ValueExt};

use crate::process::{self, cargo, need_cargo_tool, root};

/// Runs the targets one after the other.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut bound, mut how_long, mut only) = ("-max_total_time=60".to_owned(), "60 s".to_owned(), None);
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        let flag = match argument {
            Arg::Long("check") => return crate::no_more(arguments).and_then(|()| check()),
            Arg::Long(flag @ ("seconds" | "runs" | "only")) => flag.to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        let mut value = || arguments.value().and_then(ValueExt::string).map_err(|error| error.to_string());
        match flag.as_str() {
            "only" => only = Some(value()?),
            _ => {
                let number: u64 = value()?.parse().map_err(|error| format!("--{flag}: {error}"))?;
                let (limit, unit) =
                    if flag == "runs" { ("runs", "executions") } else { ("max_total_time", "s") };
                (bound, how_long) = (format!("-{limit}={number}"), format!("{number} {unit}"));
            }
        }
    }
    let mut targets = targets()?;
    targets.retain(|name| only.as_ref().is_none_or(|only| only == name));
    if targets.is_empty() {
        return Err(format!("there is no fuzz target {}", only.unwrap_or_default()));
    }
    need_cargo_tool("fuzz")?;
    // The fuzzer's instrumentation is a nightly feature of the compiler.
    let has_nightly = process::succeeds(nightly_cargo()?.arg("--version"));
    if !has_nightly {
        println!("fuzz: there is no nightly toolchain, this one is told to act as one (RUSTC_BOOTSTRAP=1)");
    }
    for target in &targets {
        println!("fuzz: {target}, {how_long}");
        let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        std::fs::create_dir_all(root()?.join(&corpus)).map_err(|error| error.to_string())?;
        let mut command = if has_nightly { nightly_cargo()? } else { cargo()? };
        if !has_nightly {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command.args(["fuzz", "run", target, &corpus]);
        if root()?.join(&seeds).is_dir() {
            command.arg(&seeds);
        }
        // The instrumented decoders are given room, but not without bound: growing without end is a finding.
        let limits = ["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"];
        process::run(command.args(["--", &bound]).args(limits))?;
    }
    println!("fuzz: {} targets, {how_long} each, no finding", targets.len());
    Ok(())
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>, String> {
    let folder = root()?.join("fuzz/targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("fuzz/targets: {error}"))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Without a fuzzer, on any toolchain: what must hold holds for the seeds, and the targets compile.
fn check() -> Result<(), String> {
    process::run(cargo()?.args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    // The target folder of the workspace: most of what is needed is built there already.
    let target = process::target()?;
    let here = |command: &mut Command| {
        command.args(["--quiet", "--manifest-path", "fuzz/Cargo.toml", "--locked", "--target-dir"]);
        process::run(command.arg(&target))
    };
    here(cargo()?.args(["test", "--no-default-features", "--lib"]))?;
    // The fuzzer itself is C++ and takes long to build; nothing is linked here, so no library needs to be there.
    let library = target.join("libfuzzer.a");
    here(cargo()?.env("CUSTOM_LIBFUZZER_PATH", library).args(["check", "--bins"]))?;
    println!("fuzz: the seeds hold, and the targets compile");
    Ok(())
}

/// Cargo of the nightly toolchain, by way of rustup.
fn nightly_cargo() -> Result<Command, String> {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(root()?).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    Ok(command)
}
