//! The process of the identify gate, and what it leaves to the next one when it is killed.

use std::time::Instant;

use gateway_proto::identify::{
    IdentifyBudget, IdentifyQueue, IdentifySnapshot, SessionStartLimit, WhenSpent,
};

use crate::time::Time;

/// The session starts of the last 24 hours, and when they were persisted.
pub(crate) struct Kept {
    pub(crate) starts: IdentifySnapshot,
    pub(crate) at: Time,
}

/// A gate that knows nothing yet.
pub(crate) fn gate(shards: u32, limit: &SessionStartLimit, now: Instant) -> IdentifyQueue {
    let mut budget = IdentifyBudget::default();
    budget.shards = shards;
    budget.when_spent = WhenSpent::Hold;
    let gate = IdentifyQueue::with_budget(budget, limit, now);
    gate.expect("a world has fewer shards than session starts").with_persistence()
}

/// The gate that follows one that was killed.
pub(crate) fn restored(
    shards: u32,
    limit: &SessionStartLimit,
    kept: Option<&Kept>,
    at: Time,
    now: Instant,
) -> IdentifyQueue {
    let mut gate = gate(shards, limit, now);
    if let Some(kept) = kept {
        gate.restore(&kept.starts, at.since(kept.at), now);
    }
    gate
}
