//! Which dispatches the application has acknowledged.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

/// When a dispatch counts as handled, and so from which number a session is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// A dispatch counts as handled once `poll_output` returns it. A crash before the application handles it loses it.
    #[default]
    Received,
    /// A dispatch counts as handled once the application calls [`Shard::ack`](crate::Shard::ack): **at least once**.
    ///
    /// Snapshots and every Resume contain the newest acknowledged number. Unacknowledged dispatches are replayed to the
    /// process that resumes; within one process no dispatch is delivered twice. The gateway keeps a bounded number of
    /// dispatches for a replay, so acknowledge soon: a session whose application is too far behind cannot be resumed.
    Acknowledged,
}

/// Ended sessions with dispatches that the application may still acknowledge. Oldest first.
#[derive(Default)]
pub(crate) struct EarlierSessions(VecDeque<Outstanding>);

/// The outstanding numbers of a session: above `acknowledged`, up to `delivered`.
struct Outstanding {
    acknowledged: u64,
    delivered: u64,
}

impl EarlierSessions {
    /// Adds an ended session. `acknowledged` and `delivered` are its newest sequence numbers.
    pub(crate) fn push(&mut self, acknowledged: u64, delivered: u64) {
        if acknowledged < delivered {
            self.0.push_back(Outstanding { acknowledged, delivered });
        }
    }

    /// Removes all sessions, since the application has acknowledged a dispatch of a later one.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether an acknowledgement belongs to one of these sessions.
    pub(crate) fn covers(&self, sequence: u64) -> bool {
        self.position_of(sequence).is_some()
    }

    fn position_of(&self, sequence: u64) -> Option<usize> {
        self.0.iter().position(|session| session.acknowledged < sequence && sequence <= session.delivered)
    }

    /// Takes an acknowledgement for the oldest session that it can belong to, and removes the sessions before it. Returns
    /// false if it belongs to none of them.
    ///
    /// Acknowledgements come in the order of delivery: a number below the newest acknowledged one is of a later session.
    pub(crate) fn acknowledge(&mut self, sequence: u64) -> bool {
        let Some(position) = self.position_of(sequence) else { return false };
        self.0.drain(..position);
        match self.0.front_mut() {
            Some(session) if sequence < session.delivered => session.acknowledged = sequence,
            _ => drop(self.0.pop_front()),
        }
        true
    }
}

/// An acknowledgement that the shard does not expect. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The shard was not set up for acknowledgements.
    NotAwaited,
    /// The session has delivered no dispatch with this number.
    NotDelivered {
        /// The number.
        sequence: u64,
        /// The newest number that was delivered.
        delivered: u64,
    },
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAwaited => f.write_str(
                "this shard awaits no acknowledgements: set `ShardConfig::delivery` to `Delivery::Acknowledged`",
            ),
            Self::NotDelivered { sequence, delivered } => write!(
                f,
                "dispatch {sequence} was not delivered, the newest is {delivered}: acknowledge a number from `Dispatch::sequence`"
            ),
        }
    }
}

impl std::error::Error for AckError {}
