//! Neither the token nor what a session is resumed with shows in what is printed of an event.

use gateway_proto::Output;

use super::Rule;
use crate::observation::Observation;
use crate::plan::TOKEN;
use crate::time::Time;
use crate::told::Secrets as Known;

pub(super) struct Secrets(Known);

impl Default for Secrets {
    fn default() -> Self {
        Self(Known::new(TOKEN))
    }
}

impl Rule for Secrets {
    const NAME: &'static str = "secrets";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Output(Output::Event(event)) => self.0.event(event),
            Observation::Output(output @ Output::Stopped(_)) => self.0.show_in(&format_args!("{output:?}")),
            _ => Ok(()),
        }
    }
}
