//! The report of a run.

use serde::Serialize;

use super::course::Course;
use super::sample::{Memory, Sample};
use super::{ClientOptions, Job, Who};

/// One line of JSON. Sums are hexadecimal; null if a contender does not provide them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The contender.
    pub who: String,
    /// The job.
    pub job: String,
    /// The mode.
    pub mode: String,
    /// Whether over TLS.
    pub tls: bool,
    /// The number of shards.
    pub shards: u32,
    /// The number of GUILD_CREATEs of each shard.
    pub guilds: u64,
    /// Small events in the measured time.
    pub events: u64,
    /// A sum over names and sequence numbers in their order.
    pub order: Option<String>,
    /// A sum over names.
    pub names: Option<String>,
    /// A sum over the fields read of messages.
    pub fields: Option<String>,
    /// Processor time from the last READY or guild to the last small event, or in the idle time.
    pub cpu_seconds: f64,
    /// The same by the wall clock.
    pub wall_seconds: f64,
    /// Processor time of the process.
    pub process_cpu_seconds: f64,
    /// Anonymous memory before the first shard.
    pub before_bytes: u64,
    /// Anonymous memory when all shards had READY and their guilds.
    pub ready_bytes: u64,
    /// Anonymous memory at the end.
    pub after_bytes: u64,
    /// Peak resident memory, including files.
    pub peak_bytes: u64,
    /// The growth of anonymous memory from before the first shard to the end, for each shard.
    pub bytes_per_shard: f64,
}

impl Report {
    pub(super) fn new(options: &ClientOptions, course: &Course) -> Result<Self, String> {
        let measured = course.measured(options);
        let state = course.state();
        let missing = || "the contender has not reached the end".to_owned();
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
            // Serenity passes every event to its own task, without its number.
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
