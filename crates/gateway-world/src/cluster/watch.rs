//! Everything that happens to a cluster and its shards, shown to the rules, and written down if it is to be.

use std::collections::BTreeMap;

use gateway_cluster::ShardKey;
use gateway_sim::ConnectionId;

use super::observation::ClusterObservation;
use super::rules::Rules;
use crate::engine::{ClientId, Observer};
use crate::invariants::Invariants;
use crate::observation::{Observation, Violation};
use crate::time::Time;

pub(super) struct ClusterWatch {
    /// The rules of each shard. A shard has a place there over all its processes.
    shards: Invariants,
    places: BTreeMap<ShardKey, usize>,
    clients: BTreeMap<ClientId, ShardKey>,
    free: Vec<usize>,
    rules: Rules,
    violation: Option<Violation>,
    /// `None` if nothing is written down.
    steps: Option<Vec<String>>,
}

impl ClusterWatch {
    pub(super) fn new(shards: Invariants) -> Self {
        Self {
            shards,
            places: BTreeMap::new(),
            clients: BTreeMap::new(),
            free: Vec::new(),
            rules: Rules::default(),
            violation: None,
            steps: None,
        }
    }

    pub(super) fn write_down(&mut self) {
        self.steps = Some(Vec::new());
    }

    /// A client of a shard begins. What the rules know of the shard goes on, and so do messages on their way to clients before.
    pub(super) fn enter(&mut self, key: ShardKey, client: ClientId) {
        let next = self.places.len();
        self.places.entry(key).or_insert_with(|| self.free.pop().unwrap_or(next));
        self.clients.insert(client, key);
    }

    /// Only these shards can begin again.
    pub(super) fn retain(&mut self, is_kept: impl Fn(ShardKey) -> bool) {
        let (places, free) = (&mut self.places, &mut self.free);
        places.retain(|key, place| {
            let is_kept = is_kept(*key);
            free.extend((!is_kept).then_some(*place));
            is_kept
        });
        self.clients.retain(|_, key| is_kept(*key));
    }

    pub(super) fn show_shard(&mut self, at: Time, client: ClientId, what: &Observation<'_>) {
        if self.violation.is_none()
            && let Some(place) = self.clients.get(&client).and_then(|key| self.places.get(key))
        {
            self.violation = self.shards.observe(at, *place, what).map(|violation| Violation {
                shard: client.shard().id(),
                sentence: format!("{client}: {}", violation.sentence),
                ..violation
            });
        }
    }

    pub(super) fn show(&mut self, at: Time, what: &ClusterObservation<'_>) {
        if !matches!(what, ClusterObservation::Sizes { .. }) {
            self.note(at, || format!("{what:?}"));
        }
        if self.violation.is_none() {
            self.violation = self.rules.observe(at, what);
        }
    }

    /// Writes down what is nothing to the rules.
    pub(super) fn note(&mut self, at: Time, sentence: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.push(format!("{at} {}", sentence()));
        }
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.rules.duplicates()
    }

    pub(super) fn identifies_max_24h(&self) -> usize {
        self.shards.identifies_max_24h()
    }

    pub(super) fn into_parts(self) -> (Option<Violation>, Vec<String>) {
        (self.violation, self.steps.unwrap_or_default())
    }
}

impl Observer for ClusterWatch {
    fn observe(&mut self, at: Time, client: ClientId, _: Option<ConnectionId>, what: &Observation<'_>) {
        self.show_shard(at, client, what);
    }
}
