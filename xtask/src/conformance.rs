//! The scenarios in five ways, and the matrix of what came of it.

use std::time::Instant;

use gateway_async_std::{AsyncStdRuntime, async_std};
use gateway_conformance::{Driving, Report, Suite, table};
use gateway_smol::SmolRuntime;
use gateway_tokio::TokioRuntime;
use lexopt::{Arg, Parser, ValueExt};

use crate::failures::Failures;

/// The ways, by the names that `--way` takes.
const WAYS: [&str; 5] = ["virtual", "raw", "tokio", "async-std", "smol"];

/// What was asked for.
#[derive(Default)]
struct Options {
    only: Option<String>,
    ways: Vec<String>,
    trace: bool,
}

/// Runs what the flags ask for.
pub(crate) fn run(arguments: Parser) -> Result<(), String> {
    let options = parse(arguments).map_err(|error| error.to_string())?;
    check(&options)?;
    let mut failures = Failures::default();
    print(&options, &mut failures);
    failures.into_result()
}

/// Runs everything.
pub(crate) fn run_all(failures: &mut Failures) {
    print(&Options::default(), failures);
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
    let scenarios = table();
    if scenarios.iter().any(|scenario| scenario.name == only) {
        return Ok(());
    }
    let mut words: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    words.retain(|name| name.contains(only.as_str()));
    match words.as_slice() {
        [] => Err(format!("there is no scenario {only}: `cargo xtask conformance` lists them")),
        alike => Err(format!("there is no scenario {only}, but there are {}", alike.join(", "))),
    }
}

fn print(options: &Options, failures: &mut Failures) {
    let ways =
        WAYS.iter().filter(|way| options.ways.is_empty() || options.ways.iter().any(|wanted| wanted == *way));
    let mut report = Report::default();
    for way in ways {
        let start = Instant::now();
        // A panic of one way must not take along what is known of the others.
        let run = || suite(way, options.only.as_deref()).run();
        let Ok(of_way) = std::panic::catch_unwind(run) else {
            failures.other(format!(
                "the scenarios on {way} ended in a panic, which was printed when it happened"
            ));
            continue;
        };
        println!(
            "{way}: {} of {} in {:.1} s",
            of_way.passed(),
            of_way.scenarios(),
            start.elapsed().as_secs_f64()
        );
        report = report.and(of_way);
    }
    println!();
    if options.trace {
        print_traces(&report);
    }
    println!("{report}");
    name_failures(&report, failures);
}

/// One line for each bad result: the report above shows the rest.
fn name_failures(report: &Report, failures: &mut Failures) {
    for outcome in report.failures() {
        let Some((variant, failure)) = &outcome.failure else { continue };
        let (scenario, way) = (outcome.scenario, &outcome.way);
        failures.other(format!("scenario {scenario} on {way}, {variant}: {failure}"));
    }
    if report.outcomes.is_empty() {
        failures.other("no scenario ran");
    }
}

/// What went over the wire, for those that passed; the report shows it for the others.
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
        "tokio" => suite.live(way, TokioRuntime, on_tokio),
        "async-std" => suite.live(way, AsyncStdRuntime, async_std::task::block_on::<Driving, ()>),
        _ => suite.live(way, SmolRuntime, smol::block_on::<()>),
    };
    suite
}

fn on_tokio(driving: Driving) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a process what a runtime needs").block_on(driving);
}
