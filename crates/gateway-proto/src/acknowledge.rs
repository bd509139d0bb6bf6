//! Which dispatches the application has dealt with, where it says so.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

/// From where a session is resumed: what counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// A dispatch counts as done once the shard has given it out. A crash before it is handled loses it.
    #[default]
    Received,
    /// A dispatch counts as done once the application says so with [`Shard::ack`](crate::Shard::ack): **at least once**.
    ///
    /// Snapshots and every Resume carry the newest acknowledged number. What the application has not acknowledged is
    /// replayed to the process that resumes; within one process nothing is given out twice. The gateway keeps a bounded
    /// number of dispatches for a replay, so acknowledge soon: a session whose application is too far behind cannot be
    /// resumed.
    Acknowledged,
}

/// Sessions that are over, some of whose dispatches the application may still be dealing with. Oldest first.
#[derive(Default)]
pub(crate) struct EarlierSessions(VecDeque<Outstanding>);

/// What is outstanding of a session: the numbers above `acknowledged`, up to `delivered`.
struct Outstanding {
    acknowledged: u64,
    delivered: u64,
}

impl EarlierSessions {
    /// A session is over. `acknowledged` and `delivered` are its newest sequence numbers.
    pub(crate) fn push(&mut self, acknowledged: u64, delivered: u64) {
        if acknowledged < delivered {
            self.0.push_back(Outstanding { acknowledged, delivered });
        }
    }

    /// The application has acknowledged a dispatch of a later session, so all of these are done with.
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

    /// Takes an acknowledgement for the oldest session that it can belong to; those before it are done with. False: it
    /// belongs to none of them.
    ///
    /// Acknowledgements keep the order of delivery: a number below the newest one acknowledged is of a later session.
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

/// An acknowledgement that makes no sense. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The shard was not set up for acknowledgements.
    NotAwaited,
    /// The session has given out no dispatch with this number.
    NotDelivered {
        /// The number.
        sequence: u64,
        /// The newest number that was given out.
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
                "dispatch {sequence} was not delivered, the newest is {delivered}: acknowledge what `Dispatch::sequence` said"
            ),
        }
    }
}

impl std::error::Error for AckError {}
