//! How a shard is doing.

use std::time::{Duration, Instant};

use crate::StopReason;
use crate::disconnect::DisconnectReason;

/// A shard's condition at the time of the last input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// The condition in a word.
    pub condition: Condition,
    /// Where in its life the shard is.
    pub phase: Phase,
    /// The newest heartbeat latency of this connection.
    pub latency: Option<Duration>,
    /// When this connection last received anything.
    pub last_received: Option<Instant>,
    /// When this connection last received an acknowledgement.
    pub last_acknowledged: Option<Instant>,
    /// When the shard last received a dispatch, on this connection or an earlier one.
    pub last_dispatch: Option<Instant>,
    /// Commands that wait to be sent.
    pub queued_commands: usize,
}

/// How long ago things were last heard: what a watchdog looks at. None: there is no such thing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ages {
    /// Since this connection last received anything.
    pub received: Option<Duration>,
    /// Since this connection last received an acknowledgement of a heartbeat.
    pub acknowledged: Option<Duration>,
    /// Since the shard last received a dispatch, on this connection or an earlier one.
    pub dispatch: Option<Duration>,
}

impl Health {
    /// How long ago things were last heard.
    pub fn ages(&self, now: Instant) -> Ages {
        let age = |last: Option<Instant>| last.map(|last| now.saturating_duration_since(last));
        Ages {
            received: age(self.last_received),
            acknowledged: age(self.last_acknowledged),
            dispatch: age(self.last_dispatch),
        }
    }
}

/// A shard's condition in a word.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// It has not been READY yet, and nothing has gone wrong.
    Starting,
    /// READY or RESUMED, and heartbeats are answered.
    Healthy,
    /// READY or RESUMED, but heartbeats are not answered.
    Degraded {
        /// How many scheduled heartbeats are unanswered.
        missed_heartbeats: u32,
    },
    /// The connection is lost; another is being made.
    Reconnecting {
        /// How many connections in a row have failed.
        attempt: u32,
        /// When the next attempt begins; None if it has begun.
        next_at: Option<Instant>,
        /// Why the last connection ended.
        reason: DisconnectReason,
    },
    /// It has stopped for good.
    Stopped(StopReason),
}

/// Where in its life a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// It waits before the next connection.
    BackingOff,
    /// A connection is being opened.
    Connecting,
    /// The connection is open; Hello has not come.
    AwaitingHello,
    /// It waits for its turn to identify.
    AwaitingIdentify,
    /// Identify is sent; READY has not come.
    AwaitingReady,
    /// Resume is sent; RESUMED has not come.
    Resuming,
    /// READY or RESUMED.
    Ready,
    /// A close frame is sent; the server's has not come.
    Closing,
    /// It has stopped.
    Stopped,
}
