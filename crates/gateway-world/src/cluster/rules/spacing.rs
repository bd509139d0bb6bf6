//! One Identify in 5 seconds for each rate limit key, over all generations and processes.

use super::Rule;
use crate::cluster::observation::ClusterObservation;
use crate::invariants::Spaced;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Spacing(Spaced);

impl Rule for Spacing {
    const NAME: &'static str = "identify spacing";

    fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Identified { key, max_concurrency } => {
                self.0.identify(at, key.shard.id() % max_concurrency)
            }
            _ => Ok(()),
        }
    }
}
