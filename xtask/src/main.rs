//! The tasks of this workspace that cargo has no words for: `cargo xtask help` lists them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod bench;
mod conformance;
mod crash;
mod demo;
mod deny;
mod failures;
mod features;
mod fuzz;
mod process;
mod results;
mod simulate;
mod targets;
mod test;

use std::process::ExitCode;

use lexopt::{Arg, Parser};

const HELP: &str = "\
cargo xtask TASK

  demo             a shard against a simulated gateway that cuts it off three times
  crash            a bot that is killed: --kills N times, --seed N; --built if it need not be built
  test             every test there is, a line for each layer, and the conformance matrix; --plain without cargo-nextest
  conformance      every scenario in every way: --only NAME, --way virtual|raw|tokio|async-std|smol, --trace
  bench            ours beside the field's clients: --quick, --only JOB/MODE, --json FILE, --report,
                   --rounds N, --events N, --instructions
  deny             licences, sources and banned crates (installs cargo-deny if it is missing)
  features         every combination of the TLS features
  targets          the codec and the protocol for 32 bits and for WebAssembly, where such a target is installed
  fuzz             every fuzz target: --seconds N or --runs N for each, --only NAME for one; --check runs their seeds alone
  simulate         shards in a bad world: --seed N --hours H --shards N --profile calm|flaky|outage|hostile
  replay FILE      plays again what a simulation has written down
  help             this text; so do -h and --help, of each task too
  -V, --version    the version
";

fn main() -> ExitCode {
    let mut arguments = Parser::from_env();
    let result = match arguments.next() {
        _ if is_answered() => Ok(()),
        Ok(Some(Arg::Value(task))) => match task.to_str() {
            Some("bench") => bench::run(arguments),
            Some("conformance") => conformance::run(arguments),
            Some("demo") => demo::run(arguments),
            Some("crash") => crash::run(arguments),
            Some("test") => test::run(arguments),
            Some("deny") => deny::run(arguments),
            Some("features") => features::run(arguments),
            Some("targets") => targets::run(arguments),
            Some("fuzz") => fuzz::run(arguments),
            Some(task @ ("simulate" | "replay")) => simulate::run(task, arguments),
            Some("help") => help(),
            _ => Err(format!("there is no task {}: `cargo xtask help` lists them", task.display())),
        },
        Ok(None) => help(),
        Ok(Some(other)) => Err(other.unexpected().to_string()),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the help or the version if that is asked for, before a task or behind it.
fn is_answered() -> bool {
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("-h" | "--help") => print!("{HELP}"),
            Some("-V" | "--version") => println!("xtask {}", env!("CARGO_PKG_VERSION")),
            _ => continue,
        }
        return true;
    }
    false
}

fn help() -> Result<(), String> {
    print!("{HELP}");
    Ok(())
}

/// For tasks without flags.
fn no_more(mut arguments: Parser) -> Result<(), String> {
    match arguments.next().map_err(|error| error.to_string())? {
        None => Ok(()),
        Some(argument) => Err(argument.unexpected().to_string()),
    }
}
