//! Everything that the gateway dispatched to a session that was in charge of its guild is dealt with by the application in the end,
//! over restarts, crashes and reshards, unless that session was lost.

use super::Rule;
use super::owed::Owed;
use crate::cluster::observation::ClusterObservation;
use crate::plan::RECOVERY;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Reached(Owed);

impl Rule for Reached {
    const NAME: &'static str = "reached";

    fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        self.0.observe(at, what);
        let ClusterObservation::Calm { runs: true, .. } = what else { return Ok(()) };
        match self.0.iter().find(|(_, _, debt)| at.since(debt.since) >= RECOVERY) {
            Some((guild, event, debt)) => Err(format!(
                "event {event} of guild {guild}, dispatched at {}, never reached the application",
                debt.since
            )),
            None => Ok(()),
        }
    }
}
