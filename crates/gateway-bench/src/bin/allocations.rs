//! Counts the allocations of one contender at one job in this process.
//!
//! A separate program, so that counting does not affect the timed programs.

use std::alloc::System;
use std::process::ExitCode;

use gateway_bench::decode::{Settings, Tally};
use gateway_bench::frames::Frames;
use gateway_bench::program;
use lexopt::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    if program::is_answered("allocations", &format!("allocations {}", Settings::USAGE)) {
        return ExitCode::SUCCESS;
    }
    program::end(run(Parser::from_env()))
}

fn run(arguments: Parser) -> Result<serde_json::Value, String> {
    let settings = Settings::read(arguments, "allocations")?;
    let frames = Frames::read(&settings.frames).map_err(|error| error.to_string())?;
    let mut contender = settings.contender()?;
    let (mut tally, mut count, mut bytes) = (Tally::default(), 0, 0);
    for frame in frames.iter() {
        let region = Region::new(HEAP);
        contender.take(frame, &mut tally)?;
        let heap = region.change();
        // A buffer that grows is a new allocation.
        count += heap.allocations + heap.reallocations;
        bytes += heap.bytes_allocated;
    }
    let messages = tally.messages as f64;
    Ok(serde_json::json!({"allocations": count as f64 / messages, "bytes": bytes as f64 / messages}))
}
