//! A heartbeat leaves in every interval, whatever the user does (Discord Docs, Gateway > Sending Heartbeats).
//!
//! Only one thing comes before it: the limit of 120 messages in a minute, where the server has shortened the interval when
//! its places were taken already.

use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::{Event, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

const HEARTBEAT: u64 = 1;
const LIMIT: usize = 120;
/// A minute, and the second of margin that a shard may keep.
const WINDOW: Duration = Duration::from_secs(61);

#[derive(Default)]
pub(super) struct Heartbeats {
    /// While a connection is open and Hello has come.
    pulse: Option<Pulse>,
    /// When the connection sent something in the last minute.
    sent: VecDeque<Time>,
}

#[derive(Clone, Copy)]
struct Pulse {
    interval: Duration,
    due: Time,
}

impl Rule for Heartbeats {
    const NAME: &'static str = "heartbeats";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        let Self { pulse, sent } = self;
        if let Observation::Sent { .. } = what {
            sent.push_back(at);
        }
        while sent.front().is_some_and(|oldest| at.since(*oldest) >= WINDOW) {
            sent.pop_front();
        }
        match what {
            Observation::Output(Output::Event(Event::Hello { heartbeat_interval })) => {
                // Hello once more on the same connection makes nothing due later.
                let due = at + *heartbeat_interval;
                let due = pulse.map_or(due, |pulse| pulse.due.min(due));
                *pulse = Some(Pulse { interval: *heartbeat_interval, due });
            }
            Observation::Output(Output::Connect(_)) => sent.clear(),
            Observation::Output(Output::Close(_) | Output::Disconnect | Output::Stopped(_))
            | Observation::Output(Output::Event(Event::Disconnected(_)))
            | Observation::Died => *pulse = None,
            Observation::Sent { op: Some(HEARTBEAT), .. } => {
                if let Some(pulse) = pulse {
                    pulse.due = at + pulse.interval;
                }
            }
            // A suspended machine sends no heartbeat, and one that resumes sends one at once.
            Observation::Suspended => {
                if let Some(pulse) = pulse {
                    pulse.due = Time::NEVER;
                }
            }
            Observation::Woke => {
                if let Some(pulse) = pulse {
                    pulse.due = at + pulse.interval;
                }
            }
            Observation::Settled | Observation::Calm { .. } => {
                if let Some(Pulse { interval, due }) = pulse
                    && at > *due
                    && sent.len() < LIMIT
                {
                    return Err(format!("no heartbeat for more than the interval of {interval:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
