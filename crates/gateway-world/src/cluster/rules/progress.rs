//! Once the faults have stopped, the cluster is whole within a stated time: every shard runs, a reshard has ended one way or the other,
//! and nothing that was given out or held back is forgotten.

use super::Rule;
use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Progress;

impl Rule for Progress {
    const NAME: &'static str = "progress";

    fn observe(&mut self, _: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Calm { runs: false, .. } => Err("no process runs".to_owned()),
            ClusterObservation::Calm { resharding: true, .. } => Err("a reshard does not end".to_owned()),
            ClusterObservation::Calm { missing: missing @ 1.., .. } => {
                Err(format!("{missing} shards do not run"))
            }
            ClusterObservation::Calm { outstanding: outstanding @ 1.., .. } => {
                Err(format!("{outstanding} dispatches are neither handled nor discarded"))
            }
            _ => Ok(()),
        }
    }
}
