//! Every fuzz target for a while, or a check that they still build and that their seeds hold.

use std::process::Command;

use lexopt::{Arg, Parser, ValueExt};

use crate::process::{Done, cargo, need_cargo_tool, root, run, succeeds, target};

/// Runs the targets one after the other.
pub(crate) fn fuzz(mut arguments: Parser) -> Done {
    let (mut limit, mut number, mut unit, mut only) = ("max_total_time", 60, "s", None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("check") => return crate::no_more(arguments).and_then(|()| check()),
            Arg::Long("seconds") => number = arguments.value()?.parse::<u64>()?,
            Arg::Long("runs") => {
                (limit, number, unit) = ("runs", arguments.value()?.parse()?, "executions");
            }
            Arg::Long("only") => only = Some(arguments.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut targets = targets()?;
    targets.retain(|name| only.as_ref().is_none_or(|only| only == name));
    if targets.is_empty() {
        return Err(format!("there is no fuzz target {}", only.unwrap_or_default()).into());
    }
    need_cargo_tool("fuzz")?;
    // The fuzzer's instrumentation is a nightly feature of the compiler.
    let has_nightly = succeeds(nightly_cargo().arg("--version"));
    if !has_nightly {
        println!("fuzz: there is no nightly toolchain; RUSTC_BOOTSTRAP=1 enables nightly features");
    }
    for target in &targets {
        println!("fuzz: {target}, {number} {unit}");
        let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        std::fs::create_dir_all(root().join(&corpus))?;
        let mut command = if has_nightly { nightly_cargo() } else { cargo("") };
        if !has_nightly {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command.args(["fuzz", "run", target, &corpus]);
        command.args(root().join(&seeds).is_dir().then_some(seeds));
        // The instrumented decoders are given room, but not without bound: growing without end is a finding.
        let limits = ["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"];
        run(command.arg("--").arg(format!("-{limit}={number}")).args(limits))?;
    }
    println!("fuzz: {} targets, {number} {unit} each, no finding", targets.len());
    Ok(())
}

/// The names of the targets: one file each.
fn targets() -> Done<Vec<String>> {
    let entries = std::fs::read_dir(root().join("fuzz/targets"))?.filter_map(Result::ok);
    let name = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned());
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Without a fuzzer, on any toolchain: what must hold holds for the seeds, and the targets compile.
fn check() -> Done {
    run(&mut cargo("fmt --manifest-path fuzz/Cargo.toml --check"))?;
    // The target folder of the workspace: most of what is needed is built there already.
    let target = target()?;
    let here = |words: &str| {
        let mut command = cargo(words);
        command
            .args(["--quiet", "--manifest-path", "fuzz/Cargo.toml", "--locked", "--target-dir"])
            .arg(&target);
        command
    };
    run(&mut here("test --no-default-features --lib"))?;
    // The fuzzer itself is C++ and takes long to build; nothing is linked here, so no library needs to be there.
    run(here("check --bins").env("CUSTOM_LIBFUZZER_PATH", target.join("libfuzzer.a")))?;
    println!("fuzz: the seeds hold, and the targets compile");
    Ok(())
}

/// Cargo of the nightly toolchain, by way of rustup.
fn nightly_cargo() -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
