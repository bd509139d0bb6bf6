//! Limits session starts: the spacing of Identifies, and the starts of a day. See
//! [Discord Docs, Gateway > Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::Config;

/// The window of `session_start_limit`.
const START_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// The time of the last Identify of each bucket, and the remaining session starts.
pub(crate) struct IdentifyGate {
    last: BTreeMap<u32, Instant>,
    remaining: u32,
    window_ends: Option<Instant>,
}

/// Whether a session may be started.
pub(crate) enum Start {
    Granted,
    /// The last Identify of the bucket is too recent.
    TooSoon,
    /// No session start is left.
    Exhausted,
}

impl IdentifyGate {
    pub(crate) fn new(remaining: u32) -> Self {
        Self { last: BTreeMap::new(), remaining, window_ends: None }
    }

    /// The remaining session starts, and the time until the limit is reset.
    pub(crate) fn remaining(&self, config: &Config, now: Instant) -> (u32, Duration) {
        match self.window_ends {
            Some(end) if end > now => (self.remaining, end - now),
            _ => (config.session_starts, Duration::ZERO),
        }
    }

    /// Requests a session start, and counts it if it is granted.
    pub(crate) fn start(&mut self, shard_id: u32, config: &Config, now: Instant) -> Start {
        let key = shard_id % config.max_concurrency.max(1);
        let too_soon = |last: &Instant| now.saturating_duration_since(*last) < config.identify_interval;
        if self.last.get(&key).is_some_and(too_soon) {
            return Start::TooSoon;
        }
        if self.window_ends.is_none_or(|end| end <= now) {
            self.window_ends = Some(now + START_WINDOW);
            self.remaining = config.session_starts;
        }
        let Some(remaining) = self.remaining.checked_sub(1) else {
            return Start::Exhausted;
        };
        self.remaining = remaining;
        self.last.insert(key, now);
        Start::Granted
    }
}
