//! Every live state has a deadline that comes, and meeting it leads somewhere.

use std::time::Duration;

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

/// The longest wait there is: the longest `Retry-After` that is obeyed.
const LONGEST: Duration = Duration::from_secs(3600);
/// So often a deadline may lie in the past without anything else happening.
const PATIENCE: u32 = 1000;

/// Deadlines in the past in a row.
#[derive(Default)]
pub(super) struct Deadlines(u32);

impl Rule for Deadlines {
    const NAME: &'static str = "deadlines";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        let Self(past) = self;
        match what {
            Observation::Deadline(deadline) if *deadline <= at => {
                *past += 1;
                if *past > PATIENCE {
                    return Err("the deadline stays in the past: the shard spins".to_owned());
                }
            }
            Observation::Deadline(deadline) => {
                *past = 0;
                if deadline.since(at) > LONGEST {
                    return Err(format!("nothing is to happen for {:?}", deadline.since(at)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
