//! One contender at one job in this process: how often it asks for memory, and for how much.
//!
//! A program of its own, so that counting takes no time from those that are timed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::alloc::System;
use std::process::ExitCode;

use gateway_bench::decode::{self, Settings};
use gateway_bench::frames::Frames;
use lexopt::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Parser) -> Result<serde_json::Value, String> {
    let settings = Settings::read(arguments, "allocations")?;
    let frames = Frames::read(&settings.frames).map_err(|error| error.to_string())?;
    let region = Region::new(HEAP);
    let tally = decode::run(settings.job, settings.who, settings.mode, &frames).ok_or("not done")??;
    let heap = region.change();
    let messages = tally.messages as f64;
    Ok(serde_json::json!({
        // A buffer that grows asks anew.
        "allocations": (heap.allocations + heap.reallocations) as f64 / messages,
        "bytes": heap.bytes_allocated as f64 / messages,
    }))
}
