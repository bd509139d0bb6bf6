//! What survives the process of a cluster: its plan and its sessions, each written some time after it was handed over.

use std::collections::{BTreeMap, VecDeque};

use gateway_cluster::{ClusterPlan, Generation, ShardKey};
use gateway_proto::session::SessionSnapshot;

use crate::time::Time;

/// What the storage holds, and what is on its way there.
pub(super) struct Storage {
    plan: ClusterPlan,
    sessions: BTreeMap<ShardKey, SessionSnapshot>,
    pending: VecDeque<(u64, Write)>,
    count: u64,
    /// When the newest write ends: they keep their order.
    newest: Time,
    /// Writes fail until then.
    pub(super) fails_until: Time,
}

/// Something that is written.
pub(super) enum Write {
    /// The plan, with the number under which the cluster is answered.
    Plan(u64, ClusterPlan),
    /// The session of a shard. None: there is none any more.
    Session(ShardKey, Option<SessionSnapshot>),
}

impl Storage {
    pub(super) fn new(plan: ClusterPlan) -> Self {
        Self {
            plan,
            sessions: BTreeMap::new(),
            pending: VecDeque::new(),
            count: 0,
            newest: Time::ZERO,
            fails_until: Time::ZERO,
        }
    }

    /// The plan that the next process finds.
    pub(super) fn plan(&self) -> &ClusterPlan {
        &self.plan
    }

    /// The session of a shard that the next process finds.
    pub(super) fn session(&self, key: ShardKey) -> Option<&SessionSnapshot> {
        self.sessions.get(&key)
    }

    /// The sessions of the plan's generations that the next process finds. Others were left by a process that died before it could
    /// remove them.
    pub(super) fn take_sessions(&mut self) -> BTreeMap<ShardKey, SessionSnapshot> {
        let plan = &self.plan;
        let is_planned = |key: &ShardKey| is_planned(plan, *key);
        self.sessions.retain(|key, _| is_planned(key));
        self.sessions.clone()
    }

    /// Begins a write that ends at the earliest then. Its number and its end.
    pub(super) fn begin(&mut self, write: Write, at: Time) -> (u64, Time) {
        self.count += 1;
        self.newest = self.newest.max(at);
        self.pending.push_back((self.count, write));
        (self.count, self.newest)
    }

    /// A write ends. None: the process that began it has died before. Otherwise what was written, and whether it succeeded.
    pub(super) fn end(&mut self, number: u64, now: Time) -> Option<(Write, bool)> {
        if self.pending.front().is_none_or(|(first, _)| *first != number) {
            return None;
        }
        let (_, write) = self.pending.pop_front()?;
        let succeeds = now >= self.fails_until;
        if succeeds {
            match &write {
                Write::Plan(_, plan) => self.plan = plan.clone(),
                Write::Session(key, Some(session)) => _ = self.sessions.insert(*key, session.clone()),
                Write::Session(key, None) => _ = self.sessions.remove(key),
            }
        }
        Some((write, succeeds))
    }

    /// When all that was begun has ended.
    pub(super) fn idle_at(&self) -> Time {
        if self.pending.is_empty() { Time::ZERO } else { self.newest }
    }

    /// The process dies: what it has not written is lost.
    pub(super) fn crash(&mut self) {
        self.pending.clear();
    }
}

/// Whether a plan has such a shard.
pub(super) fn is_planned(plan: &ClusterPlan, key: ShardKey) -> bool {
    let of =
        |generation: Generation, shards: u32| key.generation == generation && key.shard.count() == shards;
    of(plan.generation, plan.shards)
        || plan.reshard.is_some_and(|reshard| of(plan.generation.next(), reshard.shards))
}
