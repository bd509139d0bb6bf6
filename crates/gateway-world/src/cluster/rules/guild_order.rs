//! What happens in a guild reaches the application in the order in which it happened, and nothing is left out on the way.

use std::collections::BTreeSet;

use super::Rule;
use super::owed::Owed;
use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

#[derive(Default)]
pub(super) struct GuildOrder {
    owed: Owed,
    /// What this process has given to the application and it has not dealt with.
    delivered: BTreeSet<u64>,
}

impl Rule for GuildOrder {
    const NAME: &'static str = "guild order";

    fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        self.owed.observe(at, what);
        match what {
            // What the application has not dealt with is given to the next process again.
            ClusterObservation::Began { .. } => self.delivered.clear(),
            ClusterObservation::Delivered { event, guild, by } => {
                let mut earlier = self.owed.before(*guild, *event);
                if let Some((missing, _)) = earlier.find(|(earlier, _)| !self.delivered.contains(earlier)) {
                    return Err(format!(
                        "event {event} of guild {guild} came from shard {by} before {missing}"
                    ));
                }
                self.delivered.insert(*event);
            }
            ClusterObservation::Handled { event, .. } => _ = self.delivered.remove(event),
            _ => {}
        }
        Ok(())
    }
}
