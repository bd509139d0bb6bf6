//! Dispatches reach the application in order and, within a session, each of them once.

use std::collections::BTreeSet;

use gateway_proto::{Event, Output};
use gateway_sim::About;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

/// For each shard.
pub(super) struct Order(Vec<Reader>);

#[derive(Clone, Default)]
struct Reader {
    /// The number of the newest dispatch that the application has seen.
    newest: u64,
    /// RESUMED has a number, but belongs to its connection: one that was lost is not replayed.
    resumed: BTreeSet<u64>,
    /// What the gateway put into the message that was handed in last.
    read: Option<(Option<u64>, Option<String>)>,
}

impl Order {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![Reader::default(); shards])
    }
}

impl Invariant for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn observe(&mut self, _: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let reader = &mut self.0[shard];
        match what {
            Observation::Started { resumes_from } => reader.newest = resumes_from.unwrap_or(0),
            Observation::FromServer(about) => reader.sent(about),
            Observation::Input(_, about) => {
                reader.read = about.map(|about| (about.sequence, about.name.clone()));
            }
            Observation::Output(Output::Event(Event::Dispatch(dispatch))) => {
                let (name, sequence) = (dispatch.name(), dispatch.sequence());
                match reader.read.take() {
                    // What the gateway was made to send raw is described by nobody.
                    Some((None, None)) => return Ok(()),
                    Some((number, Some(written))) if number == sequence && written == name => {}
                    _ => return Err(format!("{name} {sequence:?} is not what arrived just now")),
                }
                return reader.handle(name, sequence.unwrap_or(0));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Reader {
    fn sent(&mut self, about: &About) {
        match (about.name.as_deref(), about.sequence) {
            (Some("READY"), _) => self.resumed.clear(),
            (Some("RESUMED"), Some(sequence)) => {
                self.resumed.insert(sequence);
            }
            _ => {}
        }
    }

    fn handle(&mut self, name: &str, sequence: u64) -> Result<(), String> {
        if name == "READY" {
            self.newest = sequence;
            return Ok(());
        }
        if sequence <= self.newest {
            return Err(format!("{name} {sequence} came after {}", self.newest));
        }
        let missed = (self.newest + 1..sequence).find(|missed| !self.resumed.contains(missed));
        if let Some(missed) = missed {
            return Err(format!("{name} {sequence} came after {}: {missed} is lost", self.newest));
        }
        self.newest = sequence;
        self.resumed = self.resumed.split_off(&sequence);
        Ok(())
    }
}
