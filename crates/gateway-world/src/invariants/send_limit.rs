//! "120 events per connection every 60 seconds" (Discord Docs, Gateway > Rate Limiting), measured where they arrive.
//!
//! No shard can see a network that holds messages back and delivers them all at once: what was under way for longer
//! than a second is taken to have arrived after one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

const LIMIT: usize = 120;
const WINDOW: Duration = Duration::from_secs(60);
const LONGEST_WAY: Duration = Duration::from_secs(1);

/// When messages arrived in the last minute, by the number of the connection.
#[derive(Default)]
pub(super) struct SendLimit(BTreeMap<u64, VecDeque<Time>>);

impl Rule for SendLimit {
    const NAME: &'static str = "send limit";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        let Observation::AtServer { connection, sent } = what else { return Ok(()) };
        let at = at.min(*sent + LONGEST_WAY);
        let Self(connections) = self;
        if !connections.contains_key(connection) {
            // An old connection on which messages are still on their way is kept.
            connections.retain(|_, arrived| arrived.back().is_some_and(|newest| at.since(*newest) < WINDOW));
        }
        let arrived = connections.entry(*connection).or_default();
        while arrived.front().is_some_and(|oldest| at.since(*oldest) >= WINDOW) {
            arrived.pop_front();
        }
        arrived.push_back(at);
        match arrived.len() {
            0..=LIMIT => Ok(()),
            sends => Err(format!("{sends} messages arrived within a minute on connection {connection}")),
        }
    }
}
