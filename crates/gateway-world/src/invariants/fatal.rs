//! After a close code that is final, the shard does not connect (Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes).

use gateway_proto::{Closed, Input, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

/// The final code that this process has seen.
#[derive(Default)]
pub(super) struct Fatal(Option<u16>);

impl Rule for Fatal {
    const NAME: &'static str = "final close";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        let Self(seen) = self;
        match what {
            Observation::Input(Input::Closed(Closed::Frame { code: Some(code), .. }), _)
                if matches!(code, 4004 | 4010..=4014) =>
            {
                *seen = Some(*code);
            }
            Observation::Started { .. } => *seen = None,
            Observation::Output(Output::Connect(_)) => {
                if let Some(code) = seen {
                    return Err(format!("a connect after close code {code}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
