//! After a close code that is final, the shard does not connect (Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes).

use gateway_proto::{Closed, Input, Output};

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

/// For each shard, the final code that this process has seen.
pub(super) struct Fatal(Vec<Option<u16>>);

impl Fatal {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![None; shards])
    }
}

impl Invariant for Fatal {
    fn name(&self) -> &'static str {
        "final close"
    }

    fn observe(&mut self, _: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let seen = &mut self.0[shard];
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
