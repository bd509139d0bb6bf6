//! Commands for a guild never go to a shard that is gone.

use super::Rule;
use crate::cluster::observation::{ClusterObservation, Standing};
use crate::time::Time;

#[derive(Default)]
pub(super) struct Senders;

impl Rule for Senders {
    const NAME: &'static str = "senders";

    fn observe(&mut self, _: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Sender { guild, key, standing: Standing::Dead } => {
                Err(format!("commands for guild {guild} go to shard {key}, which is gone"))
            }
            _ => Ok(()),
        }
    }
}
