//! Measures the time per message of one contender at one job in this process.

use std::process::ExitCode;
use std::time::Duration;

use gateway_bench::decode::{self, Settings, Tally};
use gateway_bench::frames::Frames;
use gateway_bench::program;
use lexopt::Parser;

fn main() -> ExitCode {
    if program::is_answered("decode", &format!("decode {}", Settings::USAGE)) {
        return ExitCode::SUCCESS;
    }
    program::end(run(Parser::from_env()))
}

fn run(arguments: Parser) -> Result<serde_json::Value, String> {
    let settings = Settings::read(arguments, "decode")?;
    let frames = Frames::read(&settings.frames).map_err(|error| error.to_string())?;
    let (time, tally) = quickest(&settings, &frames)?;
    Ok(serde_json::json!({
        "messages": tally.messages,
        "found": tally.found,
        "ns": time.as_secs_f64() * 1e9 / tally.messages as f64,
    }))
}

/// The fastest of several passes: interference only makes a pass slower.
fn quickest(settings: &Settings, frames: &Frames) -> Result<(Duration, Tally), String> {
    let mut best: Option<(Duration, Tally)> = None;
    for _ in 0..settings.passes.max(1) {
        let mut contenders =
            (0..settings.streams.max(1)).map(|_| settings.contender()).collect::<Result<Vec<_>, _>>()?;
        let (tally, time) = decode::run(&mut contenders, frames)?;
        best = Some(best.map_or((time, tally), |(least, _)| (least.min(time), tally)));
    }
    best.ok_or_else(|| "no pass".to_owned())
}
