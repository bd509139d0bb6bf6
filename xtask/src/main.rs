//! The tasks of this workspace that cargo has no words for: `cargo xtask help` lists them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod fuzz;
mod package;
mod process;
mod results;
mod targets;
mod test;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;

use lexopt::Parser;
use process::{Done, cargo, need_cargo_tool};

const HELP: &str = "\
cargo xtask TASK

  demo             a shard that a simulated gateway disconnects three times
  crash            a bot that is killed: --kills N times, --seed N
  test             every test, a line for each layer, and the conformance matrix; --plain without cargo-nextest
  conformance      every scenario in every way: --only NAME, --way virtual|raw|tokio|async-std|smol, --trace
  bench            our clients compared with others: --quick, --only JOB/MODE, --json FILE, --report,
                   --rounds N, --events N, --instructions
  deny             licences, sources and banned crates (installs cargo-deny if it is missing)
  features         the TLS features in their combinations
  package          packs every published crate, and compiles each from its tarball
  targets          32 bits, WebAssembly, Windows and macOS, where such a target is installed
  fuzz             every fuzz target: --seconds N or --runs N for each, --only NAME for one; --check runs their seeds alone
  simulate         shards in a bad network: --seed N --hours H --shards N --profile calm|flaky|outage|hostile;
                   --cluster makes them one bot's, which is restarted, resharded and killed
  replay FILE      replays a file of a simulation
  help             this text; so do -h and --help, of each task too
  -V, --version    the version
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let task = arguments.next();
    let result = match task.as_ref().map(|task| task.to_str().unwrap_or_default()) {
        _ if is_answered() => Ok(()),
        None | Some("help") => {
            print!("{HELP}");
            Ok(())
        }
        Some(task) => run(task, arguments.collect()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str, rest: Vec<OsString>) -> Done {
    let parser = Parser::from_args(rest.iter().cloned());
    let program = match task {
        "demo" | "conformance" => format!("run --quiet --package gateway-examples --example {task} --"),
        "crash" => {
            process::run(&mut cargo("build --quiet --package gateway-examples --example tokio_bot"))?;
            "run --quiet --package gateway-examples --example crash --".to_owned()
        }
        "bench" => {
            let profile = if rest.iter().any(|flag| flag == "--quick") { "dev" } else { "release" };
            format!("run --profile {profile} --quiet --package gateway-bench --features peers --bin bench --")
        }
        "simulate" | "replay" => format!("run --release --quiet --package gateway-world -- {task}"),
        "test" => return test::run(parser),
        "fuzz" => return fuzz::fuzz(parser),
        "deny" => return no_more(parser).and_then(|()| deny()),
        "features" => return no_more(parser).and_then(|()| features()),
        "package" => return no_more(parser).and_then(|()| package::run()),
        "targets" => return no_more(parser).and_then(|()| targets::run()),
        task => return Err(format!("there is no task {task}: `cargo xtask help` lists them").into()),
    };
    process::run(cargo(&program).args(rest))
}

/// Prints the help or the version if requested, before or after a task. Returns whether it was.
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

/// Rejects flags of tasks that have none.
fn no_more(mut arguments: Parser) -> Done {
    arguments.next()?.map_or(Ok(()), |argument| Err(argument.unexpected().into()))
}

/// The checks of cargo-deny that need no network.
fn deny() -> Done {
    need_cargo_tool("deny")?;
    process::run(&mut cargo("fetch --locked --quiet"))?;
    process::run(&mut cargo("deny --offline --all-features check bans licenses sources"))
}

/// Runs the driver's TLS tests with each set of crypto providers, and with each set of sources of root certificates: any set may meet in
/// one program, and neither choice looks at the other. The tests demand an answer or an error that helps, never a panic.
fn features() -> Done {
    let providers = subsets(&["ring", "aws-lc-rs"]).into_iter().map(|set| [set, vec!["rustls-webpki-roots"]]);
    let roots = subsets(&["rustls-webpki-roots", "rustls-native-roots", "rustls-platform-verifier"]);
    let roots = roots.into_iter().map(|set| [vec!["ring"], set]);
    let none = [vec![], vec![]];
    let sets: BTreeSet<String> =
        providers.chain(roots).chain([none]).map(|set| set.concat().join(",")).collect();
    for features in &sets {
        println!("features: {}", if features.is_empty() { "none" } else { features });
        let mut test = cargo("test --quiet --package gateway-driver --no-default-features --lib --test tls");
        process::run(test.args(["--features", features]))?;
    }
    println!("features: {} combinations, all well", sets.len());
    Ok(())
}

/// Every subset of these names.
fn subsets(names: &[&'static str]) -> Vec<Vec<&'static str>> {
    names.iter().fold(vec![vec![]], |sets, name| {
        let with_it = sets.iter().map(|set| [&set[..], &[*name]].concat());
        sets.iter().cloned().chain(with_it).collect()
    })
}
