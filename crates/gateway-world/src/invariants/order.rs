//! Dispatches reach the application in order and, within a session, each of them once.

use std::collections::BTreeSet;

use gateway_proto::{Dispatch, Event, Output};
use gateway_sim::About;
use serde_json::Value;

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;
use crate::told::Sequence;

#[derive(Clone, Default)]
pub(super) struct Order {
    sequence: Sequence,
    /// The `session_id` that they are of.
    session: Option<String>,
    /// RESUMED has a number, but belongs to its connection: one that was lost is not replayed.
    resumed: BTreeSet<u64>,
    /// What the gateway put into the message that was handed in last.
    read: Option<(Option<u64>, Option<String>)>,
}

impl Rule for Order {
    const NAME: &'static str = "order";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Started { resumes_from } => self.sequence.newest = resumes_from.unwrap_or(0),
            Observation::FromServer(about) => self.sent(about),
            Observation::Input(_, about) => {
                self.read = about.map(|about| (about.sequence, about.name.clone()));
            }
            Observation::Output(Output::Event(Event::Dispatch(dispatch))) => {
                let (name, sequence) = (dispatch.name(), dispatch.sequence());
                match self.read.take() {
                    // The ledger does not describe raw messages.
                    Some((None, None)) => return Ok(()),
                    Some((number, Some(written))) if number == sequence && written == name => {}
                    _ => return Err(format!("{name} {sequence:?} is not what arrived just now")),
                }
                if name == "READY" {
                    return self.begin(dispatch);
                }
                return self.handle(name, sequence.unwrap_or(0));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Order {
    fn sent(&mut self, about: &About) {
        if let (Some("RESUMED"), Some(sequence)) = (about.name.as_deref(), about.sequence) {
            self.resumed.insert(sequence);
        }
    }

    /// READY: of a new session, or once more of one of which nothing else was acknowledged.
    fn begin(&mut self, ready: &Dispatch) -> Result<(), String> {
        let session =
            ready.decode::<Value>().ok().and_then(|ready| Some(ready["session_id"].as_str()?.to_owned()));
        if session != self.session {
            self.session = session;
            self.resumed.clear();
        }
        self.sequence.advance(ready.name(), ready.sequence().unwrap_or(0))
    }

    fn handle(&mut self, name: &str, sequence: u64) -> Result<(), String> {
        let newest = self.sequence.newest;
        self.sequence.advance(name, sequence)?;
        let missed = (newest + 1..sequence).find(|missed| !self.resumed.contains(missed));
        if let Some(missed) = missed {
            return Err(format!("{name} {sequence} came after {newest}: {missed} is lost"));
        }
        Ok(())
    }
}
