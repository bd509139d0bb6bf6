//! What sessions owe to the application and it has not dealt with.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

/// Events that are owed, by guild and number.
#[derive(Default)]
pub(super) struct Owed(BTreeMap<u64, BTreeMap<u64, Debt>>);

/// An event that is owed.
pub(super) struct Debt {
    /// By these sessions. If any of them is lost, so may the event be.
    sessions: Vec<u64>,
    /// When it happened.
    pub(super) since: Time,
}

impl Owed {
    /// Keeps account of what happens, what is dealt with, and what can no longer be had.
    pub(super) fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) {
        match what {
            ClusterObservation::Happened { event, guild, owed_by } if !owed_by.is_empty() => {
                let debt = Debt { sessions: owed_by.to_vec(), since: at };
                self.0.entry(*guild).or_default().insert(*event, debt);
            }
            ClusterObservation::Handled { event, guild } => {
                self.0.get_mut(guild).and_then(|events| events.remove(event));
            }
            ClusterObservation::SessionLost { session } => {
                for events in self.0.values_mut() {
                    events.retain(|_, debt| !debt.sessions.contains(session));
                }
            }
            _ => {}
        }
    }

    /// What happened in a guild before an event.
    pub(super) fn before(&self, guild: u64, event: u64) -> Range<'_, u64, Debt> {
        static NONE: BTreeMap<u64, Debt> = BTreeMap::new();
        self.0.get(&guild).unwrap_or(&NONE).range(..event)
    }

    /// All of it: the guild, the number and the debt.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64, &Debt)> {
        self.0.iter().flat_map(|(guild, events)| events.iter().map(|(event, debt)| (*guild, *event, debt)))
    }
}
