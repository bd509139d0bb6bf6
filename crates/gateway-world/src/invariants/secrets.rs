//! Neither the token nor what a session is resumed with shows in what is printed of an event.

use gateway_proto::Output;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;
use crate::told::Secrets as Known;
use crate::world::TOKEN;

/// For each shard.
pub(super) struct Secrets(Vec<Known>);

impl Secrets {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Known::new(TOKEN)).collect())
    }
}

impl Invariant for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn observe(&mut self, _: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Output(Output::Event(event)) => self.0[shard].event(event),
            Observation::Output(output @ Output::Stopped(_)) => {
                self.0[shard].show_in(&format_args!("{output:?}"))
            }
            _ => Ok(()),
        }
    }
}
