//! Runs the conformance scenarios in every available way, and prints the matrix of results. `cargo xtask conformance`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::process::ExitCode;
use std::time::Instant;

use gateway_async_std::{AsyncStdRuntime, async_std};
use gateway_conformance::{Driving, Report, Suite, cluster_table, table};
use gateway_examples::options::is_answered;
use gateway_smol::SmolRuntime;
use gateway_tokio::TokioRuntime;
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
Runs the conformance scenarios, and prints the matrix of results.

  --only NAME    one scenario
  --way WAY      virtual, raw, tokio, async-std or smol; may be given several times; all if left out
  --trace        what went over the wire, of scenarios that passed too
  -h, --help     this text
  -V, --version  the version
";

/// The ways, by their names for `--way`.
const WAYS: [&str; 5] = ["virtual", "raw", "tokio", "async-std", "smol"];

/// The command line.
#[derive(Default)]
struct Options {
    only: Option<String>,
    ways: Vec<String>,
    trace: bool,
}

fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    let options = parse(Parser::from_env()).map_err(|error| error.to_string());
    let failures = match options.and_then(|options| check(&options).map(|()| options)) {
        Ok(options) => run(&options),
        Err(sentence) => vec![sentence],
    };
    for sentence in &failures {
        eprintln!("{sentence}");
    }
    ExitCode::from(u8::from(!failures.is_empty()))
}

fn parse(mut arguments: Parser) -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("only") => options.only = Some(arguments.value()?.string()?),
            Arg::Long("way") => options.ways.push(arguments.value()?.string()?),
            Arg::Long("trace") => options.trace = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn check(options: &Options) -> Result<(), String> {
    if let Some(way) = options.ways.iter().find(|way| !WAYS.contains(&way.as_str())) {
        return Err(format!("there is no way {way}: --way takes {}", WAYS.join(", ")));
    }
    let Some(only) = &options.only else { return Ok(()) };
    let of_shards = table().into_iter().map(|scenario| scenario.name);
    let mut words: Vec<&str> =
        of_shards.chain(cluster_table().iter().map(|scenario| scenario.name)).collect();
    if words.contains(&only.as_str()) {
        return Ok(());
    }
    words.retain(|name| name.contains(only.as_str()));
    match words.as_slice() {
        [] => Err(format!("there is no scenario {only}: without --only the matrix lists them")),
        alike => Err(format!("there is no scenario {only}, but there are {}", alike.join(", "))),
    }
}

/// Runs the scenarios and prints the matrix. Returns a line for each failed result.
fn run(options: &Options) -> Vec<String> {
    let ways =
        WAYS.iter().filter(|way| options.ways.is_empty() || options.ways.iter().any(|wanted| wanted == *way));
    let (mut report, mut failures) = (Report::default(), Vec::new());
    for way in ways {
        let start = Instant::now();
        // A panic in one way keeps the results of the others.
        let run = || suite(way, options.only.as_deref()).run();
        let Ok(of_way) = std::panic::catch_unwind(run) else {
            failures.push(format!("the scenarios on {way} ended in a panic, which is printed above"));
            continue;
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("{way}: {} of {} in {seconds:.1} s", of_way.passed(), of_way.scenarios());
        report = report.and(of_way);
    }
    println!();
    if options.trace {
        print_traces(&report);
    }
    println!("{report}");
    if report.outcomes.is_empty() {
        failures.push("no scenario ran".to_owned());
    }
    failures.extend(report.failures().filter_map(|outcome| {
        let (variant, failure) = outcome.failure.as_ref()?;
        Some(format!("scenario {} on {}, {variant}: {failure}", outcome.scenario, outcome.way))
    }));
    failures
}

/// Prints the traffic of the scenarios that passed; the report contains that of the others.
fn print_traces(report: &Report) {
    for outcome in report.outcomes.iter().filter(|outcome| outcome.passed()) {
        println!("{} on {} ({})", outcome.scenario, outcome.way, outcome.rule);
        for line in &outcome.trace {
            println!("  {line}");
        }
        println!();
    }
}

fn suite(way: &str, only: Option<&str>) -> Suite {
    let mut suite = Suite::new();
    if let Some(only) = only {
        suite.only(|name| name == only);
    }
    match way {
        "virtual" => suite.on_virtual_clock(),
        "raw" => suite.over_raw_bytes(),
        "tokio" => suite.live(way, TokioRuntime, on_tokio).clusters(way, TokioRuntime, on_tokio),
        "async-std" => {
            let block_on = async_std::task::block_on::<Driving, ()>;
            suite.live(way, AsyncStdRuntime, block_on).clusters(way, AsyncStdRuntime, block_on)
        }
        _ => {
            let block_on = smol::block_on::<()>;
            suite.live(way, SmolRuntime, block_on).clusters(way, SmolRuntime, block_on)
        }
    };
    suite
}

fn on_tokio(driving: Driving) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a process what a runtime needs").block_on(driving);
}
