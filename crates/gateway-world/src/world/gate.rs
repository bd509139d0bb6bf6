//! The process of the identify gate, and what it leaves to the next one when it is killed.

use std::time::Instant;

use gateway_proto::Input;
use gateway_proto::identify::{
    IdentifyBudget, IdentifyOutput, IdentifyQueue, IdentifySnapshot, SessionStartLimit, WhenSpent,
};

use super::World;
use crate::machine::Machine;
use crate::time::Time;

/// The session starts of the last 24 hours, and when they were persisted.
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
    gate.expect("a world has fewer shards than session starts").with_persistence()
}

impl<M: Machine> World<M> {
    /// The gate grants what is due. Its snapshots are persisted at once.
    pub(super) fn grant_permits(&mut self) {
        let now = self.client_clock.instant(self.now);
        self.permit_at = None;
        while let Some(output) = self.gate.poll_output(now) {
            match output {
                IdentifyOutput::Persist { number, snapshot } => {
                    self.kept = Some(Kept { starts: snapshot, at: self.now });
                    self.gate.handle_persisted(number, true, now);
                }
                IdentifyOutput::Granted(ticket) => {
                    if let Some(shard) = self.tickets.remove(&ticket) {
                        self.clients[shard].ticket = None;
                        self.give(shard, Input::IdentifyGranted, None);
                    }
                }
                IdentifyOutput::Refused(..) => unreachable!("the gate of a world holds what it cannot grant"),
            }
        }
    }

    /// The gate is killed. The next one begins with the persisted snapshot; the shards that wait ask it again.
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
