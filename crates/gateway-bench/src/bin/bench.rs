//! Builds all contenders, runs them in turn, and writes the report. `cargo xtask bench`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use gateway_bench::program;
use gateway_bench::run::{self, Place, Settings, Sizes};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
bench [OPTIONS]

  --quick          a little traffic, one round: to see that everything works
  --instructions   instructions instead of time, of decoding alone; needs valgrind
  --only TEXT      only what has this in its name, JOB/MODE
  --rounds N       how often each contender has its turn
  --events N       how many small events
  --json FILE      the figures and the ratios
  --report         a page with plots, in the folder of the crate; --report=FOLDER puts it there
  --again FILE     measure nothing: the report of figures that were kept, with --report
";

fn main() -> ExitCode {
    if program::is_answered("bench", HELP) {
        return ExitCode::SUCCESS;
    }
    let result = settings(Parser::from_env())
        .and_then(|settings| run::run(&settings, &mut |text| eprintln!("{text}")));
    match result {
        Ok(results) => {
            for (key, ratio) in results.ratios() {
                println!("{key:<48} {ratio:>8.2}");
            }
            println!("bench: {} heats", results.heats.len());
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn settings(mut arguments: Parser) -> Result<Settings, String> {
    let place = Place::find()?;
    let (mut only, mut report, mut json, mut again) = (None, None, None, None);
    let (mut sizes, mut rounds, mut events) = (Sizes::FULL, None, None);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(argument) = arguments.next().map_err(text)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            other => return Err(format!("{}\n{HELP}", other.unexpected())),
        };
        if name == "report" {
            report = Some(arguments.optional_value().map_or_else(|| place.report(), PathBuf::from));
            continue;
        }
        let mut value = || arguments.value().map_err(text);
        match name.as_str() {
            "again" => again = Some(PathBuf::from(value()?)),
            "quick" => sizes = Sizes::QUICK,
            "instructions" => sizes = Sizes::INSTRUCTIONS,
            "only" => only = Some(value()?.string().map_err(text)?),
            "rounds" => rounds = Some(value()?.parse().map_err(text)?),
            "events" => events = Some(value()?.parse().map_err(text)?),
            "json" => json = Some(PathBuf::from(value()?)),
            _ => return Err(format!("there is no option --{name}\n{HELP}")),
        }
    }
    sizes.rounds = rounds.unwrap_or(sizes.rounds);
    sizes.events = events.unwrap_or(sizes.events);
    if again.is_none() {
        eprintln!("bench: building the contenders");
        place.build()?;
    }
    let (programs, folder, machine) = (place.programs(), place.frames(), place.machine());
    Ok(Settings { programs, folder, sizes, only, report, json, again, machine })
}
