//! After READY and after RESUMED the shard's counters say what has happened.

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Stats;
use gateway_proto::{Event, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

const HEARTBEAT: u64 = 1;
const IDENTIFY: u64 = 2;
const RESUME: u64 = 6;

#[derive(Clone, Default)]
pub(super) struct Counters {
    connect_attempts: u64,
    connects: u64,
    disconnects: u64,
    identifies: u64,
    resumes: u64,
    resumed: u64,
    zombies: u64,
    heartbeats: u64,
    acknowledgements: u64,
    commands: u64,
    dispatches: u64,
    /// The number of the newest dispatch.
    sequence: Option<u64>,
    /// Dispatches since Resume was sent.
    replayed: u64,
}

impl Rule for Counters {
    const NAME: &'static str = "counters";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Started { resumes_from } => {
                *self = Self { sequence: *resumes_from, ..Self::default() };
                Ok(())
            }
            Observation::Sent { op, .. } => {
                self.sent(*op);
                Ok(())
            }
            Observation::Output(Output::Connect(_)) => {
                self.connect_attempts += 1;
                Ok(())
            }
            Observation::Output(Output::Event(event)) => self.said(event),
            Observation::Standing { stats, sequence } => self.compare(stats, *sequence),
            _ => Ok(()),
        }
    }
}

impl Counters {
    fn sent(&mut self, op: Option<u64>) {
        match op {
            Some(HEARTBEAT) => self.heartbeats += 1,
            Some(IDENTIFY) => self.identifies += 1,
            Some(RESUME) => {
                self.resumes += 1;
                self.replayed = 0;
            }
            _ => self.commands += 1,
        }
    }

    fn said(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Connected => self.connects += 1,
            Event::Dispatch(dispatch) => {
                self.dispatches += 1;
                self.replayed += 1;
                if dispatch.name() == "READY" {
                    self.sequence = dispatch.sequence();
                } else {
                    self.sequence = self.sequence.max(dispatch.sequence());
                }
            }
            Event::HeartbeatAcknowledged { .. } => self.acknowledgements += 1,
            Event::Disconnected(end) => {
                self.disconnects += 1;
                self.zombies += u64::from(end.reason == DisconnectReason::Zombie);
            }
            Event::Resumed { replayed } => {
                self.resumed += 1;
                // RESUMED itself is none of them.
                let seen = self.replayed - 1;
                if *replayed != seen {
                    return Err(format!("{replayed} are said to be replayed, and {seen} came"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compare(&self, stats: &Stats, sequence: Option<u64>) -> Result<(), String> {
        let pairs = [
            ("connect_attempts", stats.connect_attempts, self.connect_attempts),
            ("connects", stats.connects, self.connects),
            ("disconnects", stats.disconnects, self.disconnects),
            ("identifies", stats.identifies, self.identifies),
            ("resumes", stats.resumes, self.resumes),
            ("resumed", stats.resumed, self.resumed),
            ("zombies", stats.zombies, self.zombies),
            ("heartbeats", stats.heartbeats, self.heartbeats),
            ("acknowledgements", stats.acknowledgements, self.acknowledgements),
            ("commands", stats.commands, self.commands),
            ("dispatches", stats.dispatches, self.dispatches),
        ];
        if let Some((name, said, counted)) = pairs.into_iter().find(|(_, said, counted)| said != counted) {
            return Err(format!("{name} is said to be {said}, and is {counted}"));
        }
        if sequence.is_some() && sequence != self.sequence {
            return Err(format!("the session is said to be at {sequence:?}, and is at {:?}", self.sequence));
        }
        Ok(())
    }
}
