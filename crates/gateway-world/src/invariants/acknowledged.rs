//! At least once: a snapshot never resumes behind something that the application has not dealt with. What it was given and
//! did not deal with before a crash is then given to the next process: the rule "order" sees to that.

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

#[derive(Default)]
pub(super) struct Acknowledged;

impl Rule for Acknowledged {
    const NAME: &'static str = "acknowledged";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Stored { sequence, handled, .. } if sequence > handled => {
                Err(format!("a snapshot says {sequence}, but the application has dealt with {handled} only"))
            }
            Observation::Stored { sequence, handled, exact: true } if sequence < handled => {
                Err(format!("a snapshot says {sequence}, though the application has dealt with {handled}"))
            }
            Observation::AcknowledgementRefused { error } => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}
