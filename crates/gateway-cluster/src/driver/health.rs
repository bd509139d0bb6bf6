//! How all shards of a cluster are doing.

use std::fmt;
use std::time::{Duration, Instant};

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::health::{Condition, Health};
use gateway_driver::proto::session::DispatchKey;

use crate::ShardKey;

/// How all shards of a cluster are doing, at a moment. `Display` writes a line for each shard.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterHealth {
    /// Each shard, those of a generation that is being started or retired among them, in the order of generations and ids.
    pub shards: Vec<ShardHealth>,
    /// When this was taken.
    pub at: Instant,
}

/// How a shard of a cluster is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShardHealth {
    /// The shard.
    pub key: ShardKey,
    /// How it is. `None`: it waits to be started.
    pub health: Option<Health>,
    /// Items that the application has not taken, or not dropped.
    pub items: usize,
    /// Dispatches that are not acknowledged, if they have to be.
    pub unacknowledged: usize,
    /// The oldest of them, which keeps the others from being acknowledged.
    pub oldest_unacknowledged: Option<DispatchKey>,
}

impl ClusterHealth {
    /// How many shards are READY or RESUMED, with their heartbeats acknowledged.
    pub fn healthy(&self) -> usize {
        let healthy = |health: &Health| health.condition == Condition::Healthy;
        self.shards.iter().filter(|shard| shard.health.as_ref().is_some_and(healthy)).count()
    }
}

impl fmt::Display for ClusterHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shards.iter().try_for_each(|shard| {
            write!(f, "{:<12}", shard.key.to_string())?;
            match &shard.health {
                None => f.write_str("waits to be started")?,
                Some(health) => write_health(f, health, self.at)?,
            }
            if shard.items > 0 {
                write!(f, ", {} events wait", shard.items)?;
            }
            if shard.unacknowledged > 0 {
                write!(f, ", {} not acknowledged", shard.unacknowledged)?;
            }
            f.write_str("\n")
        })
    }
}

fn write_health(f: &mut fmt::Formatter<'_>, health: &Health, now: Instant) -> fmt::Result {
    match &health.condition {
        Condition::Starting => f.write_str("starting")?,
        Condition::Healthy => f.write_str("healthy")?,
        Condition::Degraded { missed_heartbeats } => write!(f, "{missed_heartbeats} heartbeats missed")?,
        Condition::Reconnecting { attempt, next_at, reason } => {
            write_reconnecting(f, *attempt, *next_at, reason, now)?;
        }
        Condition::Stopped(reason) => write!(f, "stopped: {reason}")?,
        // A condition of a newer version.
        _ => f.write_str("unknown")?,
    }
    let ages = health.ages(now);
    let mut write_age = |name: &str, age: Option<Duration>| match age {
        Some(age) => write!(f, ", {name} {:.1} s ago", age.as_secs_f64()),
        None => Ok(()),
    };
    write_age("heard", ages.received)?;
    write_age("event", ages.dispatch)?;
    if let Some(latency) = health.latency {
        write!(f, ", latency {} ms", latency.as_millis())?;
    }
    match health.queued_commands {
        0 => Ok(()),
        commands => write!(f, ", {commands} commands wait"),
    }
}

fn write_reconnecting(
    f: &mut fmt::Formatter<'_>,
    attempt: u32,
    next_at: Option<Instant>,
    reason: &DisconnectReason,
    now: Instant,
) -> fmt::Result {
    write!(f, "reconnecting, attempt {attempt}")?;
    if let Some(next_at) = next_at {
        write!(f, " in {:.1} s", next_at.saturating_duration_since(now).as_secs_f64())?;
    }
    write!(f, " ({reason})")
}
