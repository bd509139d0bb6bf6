//! The report of a run.

use serde::Serialize;

use super::course::Course;
use super::sample::{Memory, Sample};
use super::{ClientOptions, Job, Who};

/// One line of JSON. Sums are hexadecimal; null where a contender does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The contender.
    pub who: String,
    /// What it did.
    pub job: String,
    /// In which mode.
    pub mode: String,
    /// Whether over TLS.
    pub tls: bool,
    /// How many shards it had.
    pub shards: u32,
    /// How many GUILD_CREATEs each shard saw.
    pub guilds: u64,
    /// Small events in the time that was measured.
    pub events: u64,
    /// A sum over names and sequence numbers in their order.
    pub order: Option<String>,
    /// A sum over names.
    pub names: Option<String>,
    /// A sum over what was read of messages.
    pub fields: Option<String>,
    /// Processor time from the last READY or guild to the last small event, or while all was still.
    pub cpu_seconds: f64,
    /// The same on the wall.
    pub wall_seconds: f64,
    /// Processor time of the process.
    pub process_cpu_seconds: f64,
    /// Anonymous memory before the first shard.
    pub before_bytes: u64,
    /// When all shards had READY and their guilds.
    pub ready_bytes: u64,
    /// At the end.
    pub after_bytes: u64,
    /// The most that was ever resident, files included.
    pub peak_bytes: u64,
    /// What a shard takes at the end over what was there before the first.
    pub bytes_per_shard: f64,
}

impl Report {
    pub(super) fn new(options: &ClientOptions, course: &Course) -> Result<Self, String> {
        let measured = course.measured(options);
        let state = course.state();
        let missing = || "the contender has not come to the end".to_owned();
        let (start, end) = state.start.zip(state.end).ok_or_else(missing)?;
        let (before, ready, after) = match (state.before, state.ready, state.after) {
            (Some(before), Some(ready), Some(after)) => (before, ready, after),
            _ => return Err(missing()),
        };
        let events = options.job != Job::Idle;
        let hex = |sum: u64, told: bool| told.then(|| format!("{sum:016x}"));
        Ok(Self {
            who: options.who.to_string(),
            job: options.job.to_string(),
            mode: options.mode.to_string(),
            tls: options.is_tls(),
            shards: options.shards,
            guilds: options.guilds,
            events: if events { measured } else { 0 },
            // Serenity gives every event to a task of its own, without its number.
            order: hex(state.sums.order, events && options.check && options.who != Who::Serenity),
            names: hex(state.sums.names, events && options.check),
            fields: hex(state.sums.fields, matches!(options.job, Job::SmallBot | Job::Typed)),
            cpu_seconds: (end.cpu - start.cpu).as_secs_f64(),
            wall_seconds: (end.wall - start.wall).as_secs_f64(),
            process_cpu_seconds: Sample::now().cpu.as_secs_f64(),
            before_bytes: before.anonymous,
            ready_bytes: ready.anonymous,
            after_bytes: after.anonymous,
            peak_bytes: Memory::now()?.peak,
            bytes_per_shard: (after.anonymous as f64 - before.anonymous as f64) / f64::from(options.shards),
        })
    }
}
