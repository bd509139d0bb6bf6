//! The process of the identify gate, and what it leaves to the next one when it is killed.

use std::time::Instant;

use gateway_proto::identify::{
    IdentifyBudget, IdentifyQueue, IdentifySnapshot, SessionStartLimit, WhenSpent,
};

use crate::time::Time;

/// The session starts of the last 24 hours, and when they were persisted.
pub(super) struct Kept {
    pub(super) starts: IdentifySnapshot,
    pub(super) at: Time,
}

/// A gate that knows nothing yet.
pub(super) fn gate(shards: u32, now: Instant) -> IdentifyQueue {
    let mut budget = IdentifyBudget::default();
    budget.shards = shards;
    budget.when_spent = WhenSpent::Hold;
    let gate = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), now);
    gate.expect("a world has fewer shards than session starts").with_persistence()
}

/// The gate that follows one that was killed.
pub(super) fn restored(shards: u32, kept: Option<&Kept>, at: Time, now: Instant) -> IdentifyQueue {
    let mut gate = gate(shards, now);
    if let Some(kept) = kept {
        gate.restore(&kept.starts, at.since(kept.at), now);
    }
    gate
}
