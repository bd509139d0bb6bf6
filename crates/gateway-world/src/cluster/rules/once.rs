//! Within a process everything reaches the application once, except in a guild of which it was told that its sessions did not meet,
//! while a cutover goes on that an earlier process has begun, and from a shard that was adopted or started again: it has what was not
//! acknowledged when it stopped.

use std::collections::{BTreeMap, BTreeSet};

use gateway_cluster::{ClusterEvent, ReshardEvent, ShardKey, Switch};

use super::Rule;
use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

/// So many of the newest events are remembered.
const REMEMBERED: u64 = 100_000;

#[derive(Default)]
pub(super) struct Once {
    /// What this process has given out, and what any process has.
    delivered: BTreeSet<u64>,
    ever: BTreeSet<u64>,
    /// Guilds in which something may come twice.
    unmatched: BTreeSet<u64>,
    /// The newest event, and what was the newest when a shard began that resumes a session.
    newest: u64,
    began_after: BTreeMap<ShardKey, u64>,
    /// The process has begun within a cutover.
    resumed: bool,
    duplicates: u64,
}

impl Once {
    pub(super) fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

impl Rule for Once {
    const NAME: &'static str = "once";

    fn observe(&mut self, _: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Began { cutting_over } => {
                self.resumed = *cutting_over;
                self.delivered.clear();
                self.began_after.clear();
            }
            ClusterObservation::Happened { event, .. } => self.newest = *event,
            ClusterObservation::Started { key, resuming: true, .. } => {
                self.began_after.insert(*key, self.newest);
            }
            ClusterObservation::Told(ClusterEvent::Reshard(ReshardEvent::Preparing { .. })) => {
                self.unmatched.clear();
                self.resumed = false;
            }
            ClusterObservation::Told(ClusterEvent::Reshard(ReshardEvent::GuildSwitched {
                guild,
                how: Switch::Unmatched { .. },
                ..
            })) => {
                self.unmatched.insert(guild.map_or(0, |guild| guild.0));
            }
            ClusterObservation::Delivered { event, guild, by } => {
                self.duplicates += u64::from(!self.ever.insert(*event));
                let is_new = self.delivered.insert(*event);
                let is_replay = self.began_after.get(by).is_some_and(|newest| event <= newest);
                if !is_new && !is_replay && !self.resumed && !self.unmatched.contains(guild) {
                    return Err(format!("event {event} of guild {guild} came again, from shard {by}"));
                }
                for remembered in [&mut self.ever, &mut self.delivered] {
                    while remembered.first().is_some_and(|oldest| oldest + REMEMBERED < *event) {
                        remembered.pop_first();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
