//! The process that says who may identify when, and what it leaves to the next one when it is killed.

use std::time::Instant;

use gateway_proto::{IdentifyBudget, IdentifyQueue, IdentifySnapshot, SessionStartLimit, WhenSpent};

use super::World;
use crate::machine::Machine;
use crate::time::Time;

/// The session starts of the last 24 hours, and when they were written down.
pub(super) struct Kept {
    starts: IdentifySnapshot,
    at: Time,
}

/// A gate that knows nothing yet.
pub(super) fn gate(shards: u32, now: Instant) -> IdentifyQueue {
    let mut budget = IdentifyBudget::default();
    budget.shards = shards;
    budget.when_spent = WhenSpent::Hold;
    let gate = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), now);
    gate.expect("a world has fewer shards than session starts")
}

impl<M: Machine> World<M> {
    /// Writes down what the gate has granted, before anybody identifies.
    pub(super) fn keep_gate(&mut self) {
        let starts = self.gate.snapshot(self.client_clock.instant(self.now));
        self.kept = Some(Kept { starts, at: self.now });
    }

    /// The gate is killed. The next one has what was kept; whoever waits asks it again.
    pub(super) fn crash_gate(&mut self) {
        let now = self.client_clock.instant(self.now);
        self.gate = gate(self.setting.shards, now);
        if let Some(kept) = &self.kept {
            self.gate.restore(&kept.starts, self.now.since(kept.at), now);
        }
        self.permit_at = None;
        for (_, shard) in std::mem::take(&mut self.tickets) {
            let ticket = self.gate.request(self.clients[shard].id);
            self.clients[shard].ticket = Some(ticket);
            self.tickets.insert(ticket, shard);
        }
    }
}
