//! Connects follow the back-off's curve: each as late as was announced, and so many in an hour at most.

use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::{Event, Output};

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

const HOUR: Duration = Duration::from_secs(3600);
/// The curve: waits are uniform below 1, 2, 4, … 60 s. In an hour of failures that makes about 125 connects. If each
/// connection fails just after it was stable, the curve begins anew each minute: about four connects for each.
const IN_AN_HOUR: usize = 240;

/// For each shard.
pub(super) struct Connects(Vec<History>);

#[derive(Clone, Default)]
struct History {
    connects: VecDeque<Time>,
    /// Acts of the user that may each lead to a connect.
    wishes: VecDeque<Time>,
    not_before: Time,
}

impl Connects {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![History::default(); shards])
    }
}

impl Invariant for Connects {
    fn name(&self) -> &'static str {
        "connects"
    }

    fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let history = &mut self.0[shard];
        match what {
            Observation::Started { .. } | Observation::UserAsked { .. } => {
                history.wishes.push_back(at);
                history.not_before = Time::ZERO;
            }
            Observation::Output(Output::Event(Event::Disconnected(end))) => {
                // What was asked for is not made to wait.
                let asked = history.wishes.back().is_some_and(|wish| *wish == at);
                let wait = end.retry_in.unwrap_or_default();
                history.not_before = if asked { Time::ZERO } else { at + wait };
            }
            Observation::Output(Output::Connect(_)) => return history.connect(at),
            _ => {}
        }
        Ok(())
    }
}

impl History {
    fn connect(&mut self, at: Time) -> Result<(), String> {
        if at < self.not_before {
            let early = self.not_before.since(at);
            return Err(format!("a connect {early:?} before the announced time"));
        }
        for times in [&mut self.connects, &mut self.wishes] {
            while times.front().is_some_and(|oldest| at.since(*oldest) >= HOUR) {
                times.pop_front();
            }
        }
        self.connects.push_back(at);
        match self.connects.len() {
            connects if connects > IN_AN_HOUR + self.wishes.len() => {
                Err(format!("{connects} connects within an hour"))
            }
            _ => Ok(()),
        }
    }
}
