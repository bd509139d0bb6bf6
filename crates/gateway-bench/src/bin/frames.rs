//! Writes the traffic of a seed, once for each mode, into a folder.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use gateway_bench::corpus::Traffic;
use gateway_bench::frames::{Frames, Mode};
use lexopt::{Arg, Parser, ValueExt};

fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut traffic, mut folder) = (Traffic::default(), None);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(argument) = arguments.next().map_err(text)? {
        match argument {
            Arg::Long("seed") => traffic.seed = arguments.value().and_then(|v| v.parse()).map_err(text)?,
            Arg::Long("events") => traffic.events = arguments.value().and_then(|v| v.parse()).map_err(text)?,
            Arg::Long("guilds") => traffic.guilds = arguments.value().and_then(|v| v.parse()).map_err(text)?,
            Arg::Long("folder") => folder = Some(PathBuf::from(arguments.value().map_err(text)?)),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let folder = folder.ok_or("frames --folder FOLDER [--seed N] [--events N] [--guilds N]")?;
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for mode in Mode::ALL {
        let frames = Frames::encode(traffic.clone().payloads(), mode);
        let file = folder.join(format!("{mode}.frames"));
        frames.write(&file).map_err(|error| error.to_string())?;
        println!("{mode}: {} messages, {} bytes", frames.len(), frames.bytes());
    }
    Ok(())
}
