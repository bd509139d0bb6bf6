//! Shards are started and shut down as the plan says, each once, and no session is started where one can be resumed: so there are no
//! more Identifies than the plan has new shards, but for sessions that are lost. That no shard gives one up without need is for the
//! rule "resume first".

use super::Rule;
use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Starts;

impl Rule for Starts {
    const NAME: &'static str = "starts";

    fn observe(&mut self, _: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Started { key, runs: true, .. } => {
                Err(format!("shard {key} is started twice"))
            }
            ClusterObservation::Started { key, planned: false, .. } => {
                Err(format!("shard {key} is started, which is not in the plan"))
            }
            ClusterObservation::Started { key, resuming: false, could_resume: true, .. } => {
                Err(format!("shard {key} starts a session, although it could resume one"))
            }
            ClusterObservation::ShutDown { key, runs: false } => {
                Err(format!("shard {key} is shut down, but does not run"))
            }
            _ => Ok(()),
        }
    }
}
