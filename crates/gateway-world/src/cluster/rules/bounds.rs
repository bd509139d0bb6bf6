//! What a reshard holds back and what waits for the application is bounded.

use super::Rule;
use crate::cluster::observation::ClusterObservation;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Bounds;

impl Rule for Bounds {
    const NAME: &'static str = "bounds";

    fn observe(&mut self, _: Time, what: &ClusterObservation<'_>) -> Result<(), String> {
        match what {
            ClusterObservation::Sizes { held, held_bound, .. } if held > held_bound => {
                Err(format!("a reshard holds {held} bytes back, of {held_bound}"))
            }
            ClusterObservation::Sizes { waiting, waiting_bound, .. } if waiting > waiting_bound => {
                Err(format!("{waiting} events wait for the application, of {waiting_bound}"))
            }
            _ => Ok(()),
        }
    }
}
