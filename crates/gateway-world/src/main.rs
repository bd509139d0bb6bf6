//! The program behind `cargo xtask simulate`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gateway_world::{
    ClusterCounts, ClusterWorld, MakeClient, Profile, Setting, Time, Transcript, User, Violation, World,
    every_third_over_bytes, over_messages,
};
use lexopt::{Arg, Parser, ValueExt};
use peak_alloc::PeakAlloc;

const HELP: &str = "\
gateway-world simulate [--seed N] [--hours H] [--shards N] [--profile calm|flaky|outage|hostile] [--cluster]
gateway-world replay FILE

  -h, --help     this text
  -V, --version  the version
";

/// The number of faults that are printed.
const FAULTS_SHOWN: usize = 50;
/// The hours of one world of a cluster; the next world has the next seed.
const CLUSTER_HOURS: f64 = 240.0;
/// The interval between two progress messages of a long run.
const PROGRESS_EVERY: Duration = Duration::from_secs(60);

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let mut arguments = Parser::from_env();
    let result = match arguments.next() {
        _ if is_answered() => Ok(()),
        Ok(Some(Arg::Value(task))) if task == "simulate" => simulate(arguments),
        Ok(Some(Arg::Value(task))) if task == "replay" => replay(arguments),
        Ok(_) => Err(HELP.to_owned()),
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

/// Prints the help or the version if requested, before or after a task. Returns whether it was.
fn is_answered() -> bool {
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("-h" | "--help") => print!("{HELP}"),
            Some("-V" | "--version") => println!("gateway-world {}", env!("CARGO_PKG_VERSION")),
            _ => continue,
        }
        return true;
    }
    false
}

fn simulate(arguments: Parser) -> Result<(), String> {
    let setting = setting(arguments).map_err(|error| error.to_string())?;
    if setting.hours < 2.0 || setting.hours.is_nan() || !(1..=900).contains(&setting.shards) {
        return Err("a world has 1 to 900 shards and lasts at least two hours".to_owned());
    }
    if setting.user == User::Cluster {
        return simulate_clusters(setting);
    }
    let make = clients_of(setting.profile);
    let start = Instant::now();
    let cycles = (0..).map_while(move |number| setting.cycle(number));
    let world =
        World::new(setting, Time::ZERO, cycles, make).with_heap(heap).with_progress(progress(setting));
    let outcome = world.run();
    let seconds = start.elapsed().as_secs_f64();
    let counts = &outcome.counts;
    println!(
        "profile={} seed={} faults={} connects={} identifies={} resumed={} dispatches={} peak_heap_mb={:.0} seconds={seconds:.1} shard_hours_a_second={:.0}",
        setting.profile,
        setting.seed,
        counts.faults,
        counts.connects,
        counts.identifies,
        counts.resumed,
        counts.dispatches,
        HEAP.peak_usage_as_mb(),
        outcome.shard_hours / seconds,
    );
    let violations = u32::from(outcome.violation.is_some());
    println!(
        "simulate: shard_hours={:.0} identifies_max_24h={} violations={violations}",
        outcome.shard_hours, outcome.identifies_max_24h,
    );
    match outcome.violation {
        None => Ok(()),
        Some(violation) => Err(explain(setting, &violation)),
    }
}

/// Worlds of clusters, one after the other, until so many hours have passed.
fn simulate_clusters(whole: Setting) -> Result<(), String> {
    let start = Instant::now();
    let mut counts = ClusterCounts::default();
    let mut setting = whole;
    let mut left = whole.hours;
    let mut violation = None;
    while left >= 2.0 && violation.is_none() {
        setting.hours = left.min(CLUSTER_HOURS);
        let cycles = (0..).map_while(move |number| setting.cycle(number));
        let world = ClusterWorld::new(setting, Time::ZERO, cycles, clients_of(setting.profile));
        let outcome = world.run();
        counts.add(&outcome.counts);
        violation = outcome.violation.map(|violation| (setting, violation));
        left -= setting.hours;
        setting.seed += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let ClusterCounts { shard_hours, switched, .. } = counts;
    println!(
        "profile={} seed={} faults={} processes={} cutovers_resumed={} rolling_restarts={} connects={} resumed={} sessions_started={} identifies={} identifies_max_24h={} events={} delivered={} peak_heap_mb={:.0} seconds={seconds:.1} shard_hours_a_second={:.0}",
        whole.profile,
        whole.seed,
        counts.faults,
        counts.processes,
        counts.cutovers_resumed,
        counts.rolled,
        counts.connects,
        counts.resumed,
        counts.starts,
        counts.identifies,
        counts.identifies_max_24h,
        counts.events,
        counts.delivered,
        HEAP.peak_usage_as_mb(),
        shard_hours / seconds,
    );
    println!(
        "simulate: cluster shard_hours={shard_hours:.0} reshards={} finished={} aborted={} {switched} identifies={} duplicates={} violations={}",
        counts.reshards,
        counts.finished,
        counts.aborted,
        counts.identifies,
        counts.duplicates,
        u32::from(violation.is_some()),
    );
    violation.map_or(Ok(()), |(setting, violation)| Err(explain(setting, &violation)))
}

/// The kind of clients for this profile.
fn clients_of(profile: Profile) -> MakeClient {
    if profile == Profile::Hostile { every_third_over_bytes } else { over_messages }
}

/// Prints the progress of a world from time to time.
fn progress(setting: Setting) -> impl FnMut(Time) {
    let start = Instant::now();
    let mut said = start;
    move |time| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let rate = time.hours() * f64::from(setting.shards) / start.elapsed().as_secs_f64();
            eprintln!("{:.0} of {} hours, {rate:.0} shard-hours a second", time.hours(), setting.hours);
        }
    }
}

/// Reduces the faults to those that are necessary, and writes a transcript.
fn explain(setting: Setting, violation: &Violation) -> String {
    eprintln!("seed {}: {violation}", setting.seed);
    let Some(transcript) = Transcript::explain(setting, violation, clients_of(setting.profile), heap) else {
        return "the same world does not violate the invariant again".to_owned();
    };
    eprintln!("{} faults suffice:", transcript.case.faults());
    let faults = transcript.case.cycles.iter().flat_map(|cycle| &cycle.faults);
    for planned in faults.take(FAULTS_SHOWN) {
        eprintln!("  {} {:?} {:?}", planned.at, planned.shard, planned.fault);
    }
    if transcript.case.faults() > FAULTS_SHOWN {
        eprintln!("  … the file contains all");
    }
    let path = format!("simulate-{}-{}.jsonl", setting.profile, setting.seed);
    let violation = &transcript.violation;
    match File::create(&path).and_then(|file| transcript.write(BufWriter::new(file))) {
        Ok(()) => format!("{violation}\nstep by step: cargo xtask replay {path}"),
        Err(error) => format!("{violation}\n{path} could not be written: {error}"),
    }
}

/// Heap bytes in use.
fn heap() -> usize {
    HEAP.current_usage()
}

/// Replays a transcript, and prints whether the steps are the same.
fn replay(mut arguments: Parser) -> Result<(), String> {
    let path = arguments.value().map_err(|_| HELP.to_owned())?;
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let transcript = Transcript::read(BufReader::new(file)).map_err(|error| error.to_string())?;
    let replay = transcript.replay(clients_of(transcript.case.setting.profile), heap);
    for step in &replay.outcome.steps {
        println!("{step}");
    }
    let steps = replay.outcome.steps.len();
    match (replay.outcome.violation, replay.differs_from) {
        (Some(violation), None) => println!("replay: {steps} steps, as recorded: {violation}"),
        (Some(violation), Some(number)) => {
            println!("replay: differs from step {number} on: {violation}");
        }
        (None, _) => println!("replay: the invariant holds now: {}", transcript.violation),
    }
    Ok(())
}

fn setting(mut arguments: Parser) -> Result<Setting, lexopt::Error> {
    let mut setting =
        Setting { seed: 0, hours: 24.0, shards: 10, profile: Profile::Calm, user: User::Thorough };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("seed") => setting.seed = arguments.value()?.parse()?,
            Arg::Long("hours") => setting.hours = arguments.value()?.parse()?,
            Arg::Long("shards") => setting.shards = arguments.value()?.parse()?,
            Arg::Long("cluster") => setting.user = User::Cluster,
            Arg::Long("profile") => setting.profile = arguments.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(setting)
}
