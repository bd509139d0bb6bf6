//! Once the faults have stopped, every shard is READY within a stated time.

use gateway_proto::Phase;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

pub(super) struct Recovery;

impl Invariant for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn observe(&mut self, _: Time, _: usize, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Calm { phase: Some(Phase::Ready), .. } | Observation::Calm { refused: true, .. } => {
                Ok(())
            }
            // When the day's session starts are spent, there is nothing to do but to wait.
            Observation::Calm { phase: Some(Phase::AwaitingIdentify), starts_left: false, .. } => Ok(()),
            Observation::Calm { phase: Some(phase), .. } => {
                Err(format!("long after the last fault the shard is still {phase:?}"))
            }
            Observation::Calm { phase: None, .. } => {
                Err("long after the last fault the process does not run".to_owned())
            }
            _ => Ok(()),
        }
    }
}
