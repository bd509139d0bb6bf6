//! One connection: its parameters, its state, and the faults set on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::parameters::Parameters;
use crate::wire::Encoder;

pub(crate) struct Connection {
    pub(crate) parameters: Parameters,
    pub(crate) encoder: Encoder,
    pub(crate) stage: Stage,
    /// It requested an encoding or a compression that does not exist.
    pub(crate) unservable: bool,
    /// The shard id of its last Identify or Resume.
    pub(crate) shard: Option<u32>,
    /// The number of its session.
    pub(crate) session: Option<u64>,
    /// The time of the last heartbeat, or of Hello.
    pub(crate) last_heartbeat: Instant,
    pub(crate) heartbeat_interval: Duration,
    /// Whether ACKs are suppressed.
    pub(crate) muted: bool,
    /// Whether nothing is sent.
    pub(crate) silent: bool,
    /// Whether part of a replay is outstanding: events wait until it is complete.
    pub(crate) replaying: bool,
    /// The times of the client's messages within the window of the send limit.
    sends: VecDeque<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upgrade has not been accepted.
    Upgrading,
    /// WebSocket messages flow.
    Open,
    /// A close frame was sent; waiting for its echo.
    Closing,
    /// A close frame was received; it is being answered, or never will be.
    Closed,
}

impl Connection {
    pub(crate) fn new(parameters: Parameters, encoder: Encoder, now: Instant) -> Self {
        Self {
            parameters,
            encoder,
            stage: Stage::Upgrading,
            unservable: false,
            shard: None,
            session: None,
            last_heartbeat: now,
            heartbeat_interval: Duration::ZERO,
            muted: false,
            silent: false,
            replaying: false,
            sends: VecDeque::new(),
        }
    }

    /// Counts a message of the client. Returns whether it is within the limit.
    pub(crate) fn count_send(&mut self, limit: usize, window: Duration, now: Instant) -> bool {
        while self.sends.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
            self.sends.pop_front();
        }
        if self.sends.len() >= limit {
            return false;
        }
        self.sends.push_back(now);
        true
    }
}
