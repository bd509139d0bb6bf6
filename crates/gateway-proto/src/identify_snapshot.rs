//! The session starts of a day, as one process leaves them to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ShardId;

/// The session starts of the last 24 hours, for the next process: from
/// [`IdentifyOutput::Persist`](crate::identify::IdentifyOutput::Persist) or
/// [`IdentifyQueue::snapshot`](crate::identify::IdentifyQueue::snapshot) to [`IdentifyQueue::restore`](crate::identify::IdentifyQueue::restore).
///
/// Serializes with serde, and contains no secret. The starts are stored as durations, so that they can be restored without
/// any clock; the optional wall clock tells how much time has passed since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifySnapshot {
    /// The shard, and the milliseconds until its start is 24 hours old.
    pub(crate) starts: Vec<(ShardId, u64)>,
    /// Milliseconds since the beginning of 1970.
    #[serde(rename = "written_at", default, skip_serializing_if = "Option::is_none")]
    taken_at: Option<u64>,
}

impl IdentifySnapshot {
    pub(crate) fn new(starts: Vec<(ShardId, u64)>) -> Self {
        Self { starts, taken_at: None }
    }

    /// The snapshot with the wall clock at the time at which it was taken, as the time since the beginning of 1970. None:
    /// there is no clock, or none that can be trusted.
    #[must_use]
    pub fn with_wall_clock(mut self, since_1970: Option<Duration>) -> Self {
        self.taken_at = since_1970.and_then(|clock| u64::try_from(clock.as_millis()).ok());
        self
    }

    /// How much time has passed since the snapshot was taken, for [`IdentifyQueue::restore`](crate::identify::IdentifyQueue::restore).
    /// Zero if there was no clock then, if there is none now, or if it was set back: the starts then count for longer than
    /// they have to.
    ///
    /// A clock that was set forward in between makes them count for less time than they should. A machine that may start with
    /// a wrong clock should pass none.
    pub fn elapsed(&self, since_1970: Option<Duration>) -> Duration {
        match (self.taken_at, since_1970) {
            (Some(taken_at), Some(clock)) => clock.saturating_sub(Duration::from_millis(taken_at)),
            _ => Duration::ZERO,
        }
    }
}
