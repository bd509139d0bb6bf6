//! Runs all contenders turn by turn and writes the report. `cargo xtask bench` builds what it needs and calls it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use gateway_bench::program;
use gateway_bench::run::{self, Node, Programs, Settings, Sizes};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
bench --programs FOLDER --scripts FOLDER --frames FOLDER [OPTIONS]

  --quick          a little traffic, one round: to see that everything works
  --instructions   instructions instead of time, of decoding alone; needs valgrind
  --only TEXT      only what has this in its name, JOB/MODE
  --rounds N       how often each contender has its turn
  --events N       how many small events
  --json FILE      the figures and the ratios
  --report FOLDER  a page with plots
  --machine TEXT   what is written over the report
  --again FILE     measure nothing: the report of figures that were kept, with --report
  --python FILE    a Python that has the contenders in Python
  --node FILE      a Node for the contenders in JavaScript, with --packages
  --packages FOLDER
                   where they are installed: its `node_modules` has them
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
    let (mut programs, mut scripts, mut folder) = (None, None, None);
    let (mut python, mut node, mut packages) = (None, None, None);
    let (mut only, mut report, mut json, mut again, mut machine) = (None, None, None, None, String::new());
    let (mut sizes, mut rounds, mut events) = (Sizes::FULL, None, None);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(argument) = arguments.next().map_err(text)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            other => return Err(format!("{}\n{HELP}", other.unexpected())),
        };
        let mut value = || arguments.value().map_err(text);
        match name.as_str() {
            "programs" => programs = Some(PathBuf::from(value()?)),
            "scripts" => scripts = Some(PathBuf::from(value()?)),
            "frames" => folder = Some(PathBuf::from(value()?)),
            "python" => python = Some(PathBuf::from(value()?)),
            "node" => node = Some(PathBuf::from(value()?)),
            "packages" => packages = Some(PathBuf::from(value()?)),
            "again" => again = Some(PathBuf::from(value()?)),
            "quick" => sizes = Sizes::QUICK,
            "instructions" => sizes = Sizes::INSTRUCTIONS,
            "only" => only = Some(value()?.string().map_err(text)?),
            "rounds" => rounds = Some(value()?.parse().map_err(text)?),
            "events" => events = Some(value()?.parse().map_err(text)?),
            "json" => json = Some(PathBuf::from(value()?)),
            "report" => report = Some(PathBuf::from(value()?)),
            "machine" => machine = value()?.string().map_err(text)?,
            _ => return Err(format!("there is no option --{name}\n{HELP}")),
        }
    }
    let (Some(programs), Some(scripts), Some(folder)) = (programs, scripts, folder) else {
        return Err(HELP.to_owned());
    };
    sizes.rounds = rounds.unwrap_or(sizes.rounds);
    sizes.events = events.unwrap_or(sizes.events);
    let node = match (node, packages) {
        (Some(program), Some(packages)) => Some(Node { program, packages }),
        (None, None) => None,
        _ => return Err("--node and --packages go together".to_owned()),
    };
    let programs = Programs { folder: programs, scripts, python, node };
    Ok(Settings { programs, folder, sizes, only, report, json, again, machine })
}
