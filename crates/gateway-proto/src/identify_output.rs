//! What the queue of Identifies gives out.

use crate::ShardId;
use crate::identify::{IdentifyRefused, IdentifySnapshot};

/// Names one request for a permit at one [`IdentifyQueue`](crate::identify::IdentifyQueue).
///
/// Sorts by shard, then by age: the order in which the requests of a key are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    shard: ShardId,
    number: u64,
}

impl Ticket {
    pub(crate) fn new(shard: ShardId, number: u64) -> Self {
        Self { shard, number }
    }

    /// The shard that requested the permit.
    pub fn shard(self) -> ShardId {
        self.shard
    }
}

/// What the owner of an [`IdentifyQueue`](crate::identify::IdentifyQueue) has to do next. Exhaustive, so that a new output breaks the
/// build of drivers that do not handle it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifyOutput {
    /// Persist this snapshot in place of the one before, then call
    /// [`handle_persisted`](crate::identify::IdentifyQueue::handle_persisted) with its number, also if the write failed. The permits
    /// that it contains are withheld until then.
    ///
    /// Numbers begin at 1 and grow by 1. The next snapshot comes after this one is answered, so that writes cannot overtake
    /// each other.
    Persist {
        /// Names the snapshot.
        number: u64,
        /// All session starts of the last 24 hours. Add the wall clock with
        /// [`with_wall_clock`](IdentifySnapshot::with_wall_clock), if there is one.
        snapshot: IdentifySnapshot,
    },
    /// The shard may identify now.
    Granted(Ticket),
    /// The request is over: no session may be started.
    Refused(Ticket, IdentifyRefused),
}
