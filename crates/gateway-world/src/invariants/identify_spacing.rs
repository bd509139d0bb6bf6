//! One Identify in 5 seconds for each rate limit key (Discord Docs, Gateway > Sharding > Max Concurrency).
//!
//! Measured at the sender: the latency of the link is not the shard's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

const IDENTIFY: u64 = 2;
const SPACING: Duration = Duration::from_secs(5);

/// When each rate limit key last identified.
#[derive(Default)]
pub(crate) struct Spaced(BTreeMap<u32, Time>);

impl Spaced {
    /// A shard of this key sends Identify.
    pub(crate) fn identify(&mut self, at: Time, key: u32) -> Result<(), String> {
        match self.0.insert(key, at) {
            Some(before) if at.since(before) < SPACING => {
                Err(format!("Identify {:?} after another of key {key}", at.since(before)))
            }
            _ => Ok(()),
        }
    }
}

pub(super) struct IdentifySpacing {
    max_concurrency: u32,
    spaced: Spaced,
}

impl IdentifySpacing {
    pub(super) fn new(max_concurrency: u32) -> Self {
        Self { max_concurrency: max_concurrency.max(1), spaced: Spaced::default() }
    }
}

impl Invariant for IdentifySpacing {
    fn name(&self) -> &'static str {
        "identify spacing"
    }

    fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let Observation::Sent { op: Some(IDENTIFY), .. } = what else { return Ok(()) };
        let shard = u32::try_from(shard).unwrap_or(u32::MAX);
        self.spaced.identify(at, shard % self.max_concurrency)
    }
}
