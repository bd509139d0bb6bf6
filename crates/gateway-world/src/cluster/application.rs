//! The application of a cluster: workers that take what was delivered, each the events of its guilds, and deal with it in their time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use gateway_cluster::{ClusterPlan, ShardKey};
use gateway_proto::session::DispatchKey;

use crate::engine::ClientId;
use crate::time::Time;

/// How many workers there are.
pub(super) const WORKERS: usize = 3;
/// So many deliveries may wait before nothing more is read.
pub(super) const QUEUE: usize = 500;

/// What was delivered and is not dealt with.
pub(super) struct Application {
    /// How many deliveries there were.
    count: u64,
    lanes: [VecDeque<(u64, Item)>; WORKERS],
    outstanding: BTreeSet<u64>,
    /// How many of them were not held back before.
    fresh: usize,
    /// What is to happen once everything that was delivered before it is dealt with.
    marks: VecDeque<(u64, Mark)>,
    /// All workers are busy until then.
    pub(super) busy_until: Time,
    rng: Rng,
}

/// A dispatch that was delivered.
pub(super) struct Item {
    /// None: it has stopped since.
    pub(super) client: Option<ClientId>,
    pub(super) key: DispatchKey,
    /// The number and the guild of what happened, where it is an event of the gateway.
    pub(super) event: Option<(u64, u64)>,
    /// A reshard had held it back.
    pub(super) was_held: bool,
}

/// What waits for the application.
pub(super) enum Mark {
    /// The equal of a dispatch is dealt with, so this counts as dealt with too.
    Discarded(ShardKey, DispatchKey),
    /// A plan may be written.
    Plan(u64, ClusterPlan),
}

impl Application {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            count: 0,
            lanes: [const { VecDeque::new() }; WORKERS],
            outstanding: BTreeSet::new(),
            fresh: 0,
            marks: VecDeque::new(),
            busy_until: Time::ZERO,
            rng: Rng::with_seed(seed),
        }
    }

    /// Takes a delivery. Which worker has to begin, if it had nothing to do.
    pub(super) fn deliver(&mut self, item: Item) -> Option<usize> {
        self.count += 1;
        self.outstanding.insert(self.count);
        self.fresh += usize::from(!item.was_held);
        let lane = item.event.map_or(0, |(_, guild)| (guild >> 22) as usize % WORKERS);
        self.lanes[lane].push_back((self.count, item));
        (self.lanes[lane].len() == 1).then_some(lane)
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push_back((self.count, mark));
    }

    /// How long a worker takes for what comes next.
    pub(super) fn work(&mut self) -> Duration {
        // Short times as likely as long ones.
        Duration::from_secs_f64(0.0005 * 8000_f64.powf(self.rng.f64()))
    }

    /// What a worker has finished by then, the oldest first.
    pub(super) fn finish(&mut self, lane: usize) -> Vec<Item> {
        let lane = &mut self.lanes[lane];
        let count = self.rng.usize(1..=lane.len().max(1)).min(lane.len());
        let finished = lane.drain(..count);
        finished
            .map(|(number, item)| {
                self.outstanding.remove(&number);
                self.fresh -= usize::from(!item.was_held);
                item
            })
            .collect()
    }

    pub(super) fn has_work(&self, lane: usize) -> bool {
        !self.lanes[lane].is_empty()
    }

    /// What no longer waits for the application.
    pub(super) fn due(&mut self) -> Option<Mark> {
        let oldest = self.outstanding.first().copied().unwrap_or(u64::MAX);
        self.marks.front().filter(|(after, _)| *after < oldest)?;
        self.marks.pop_front().map(|(_, mark)| mark)
    }

    pub(super) fn waiting(&self) -> usize {
        self.outstanding.len()
    }

    /// How many of those that wait were not held back before.
    pub(super) fn waiting_fresh(&self) -> usize {
        self.fresh
    }

    /// Everything is dealt with, and nothing waits for that.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding.is_empty() && self.marks.is_empty()
    }
}
