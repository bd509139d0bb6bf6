//! Connects follow the back-off: each as late as was announced, and no wait longer or shorter than the outage allows.

use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::disconnect::{DisconnectReason, Disconnected};
use gateway_proto::{Closed, ConnectError, Event, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

/// A connection that was READY for so long ends the outage.
const STABLE: Duration = Duration::from_secs(60);
/// The most that a wait adds to an outage, as a share of it.
const SHARE: f64 = 0.6;
/// So long a wait may be, however short the outage is.
const LEAST: Duration = Duration::from_millis(700);
/// So long a wait may be, however long the outage is.
const MOST: Duration = Duration::from_secs(60);
/// What is added after opcode 9 and after close code 4008.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest wait before an Identify.
const IDENTIFY_MOST: Duration = Duration::from_secs(600);
/// Within an outage, so many connects in any time so long.
const WINDOWS: [(Duration, usize); 2] = [(Duration::from_secs(30), 14), (Duration::from_secs(600), 28)];

#[derive(Clone, Default)]
pub(super) struct Connects {
    not_before: Time,
    /// An attempt is under way, or its connection.
    trying: bool,
    /// When the last stable connection ended, or the process began.
    outage_since: Time,
    /// The same, but a machine that slept meanwhile, and whose clock may have stood still, has held no connection.
    longest_outage_since: Time,
    /// Since when the connection is READY, if it is.
    ready_since: Option<Time>,
    /// The machine has slept since.
    slept: bool,
    /// Connects since the outage began.
    connects: VecDeque<Time>,
    /// Acts of the user that may each lead to a connect.
    wishes: VecDeque<Time>,
    /// The immediate redial of this outage was announced.
    redialed: bool,
    /// Identifies of this process.
    identifies: u32,
}

impl Rule for Connects {
    const NAME: &'static str = "connects";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Started { .. } => {
                *self = Self {
                    outage_since: at,
                    longest_outage_since: at,
                    wishes: VecDeque::from([at]),
                    ..Self::default()
                };
            }
            Observation::UserAsked { .. } => {
                self.wishes.push_back(at);
                self.not_before = Time::ZERO;
            }
            Observation::Suspended | Observation::Woke => self.slept = true,
            Observation::Output(Output::Event(Event::Identifying)) => self.identifies += 1,
            Observation::Output(Output::Event(Event::Ready | Event::Resumed { .. }))
                if self.ready_since.is_none() =>
            {
                (self.ready_since, self.slept) = (Some(at), false);
            }
            Observation::Output(Output::Event(Event::Disconnected(end))) => return self.end(end, at),
            Observation::Output(Output::Connect(_)) => return self.connect(at),
            _ => {}
        }
        Ok(())
    }
}

impl Connects {
    fn end(&mut self, end: &Disconnected, at: Time) -> Result<(), String> {
        if !std::mem::take(&mut self.trying) {
            // It is reported twice, which is for another rule.
            return Ok(());
        }
        let was_ready = self.ready_since.take();
        let stable = was_ready.is_some_and(|since| at.since(since) >= STABLE);
        if stable {
            (self.outage_since, self.redialed) = (at, false);
            self.connects.clear();
            if !self.slept {
                self.longest_outage_since = at;
            }
        }
        let Some(wait) = end.retry_in else { return Ok(()) };
        if end.reason == DisconnectReason::Requested {
            // What was asked for is not made to wait.
            self.not_before = Time::ZERO;
            return Ok(());
        }
        let asked = self.wishes.back().is_some_and(|wish| *wish == at);
        self.not_before = if asked { Time::ZERO } else { at + wait };
        if wait.is_zero() && (was_ready.is_none() || std::mem::replace(&mut self.redialed, true)) {
            return Err("a redial is immediate that is not the first after a session".to_owned());
        }
        let pause = pause(&end.reason);
        if stable && !self.slept && end.resumable && pause.is_zero() && !wait.is_zero() {
            return Err(format!("a wait of {wait:?} before the first redial"));
        }
        let longest = self.longest(end, at);
        if wait > longest {
            let outage = at.since(self.longest_outage_since);
            return Err(format!(
                "a wait of {wait:?} after an outage of {outage:?}, where {longest:?} is enough"
            ));
        }
        Ok(())
    }

    /// How long the wait may be.
    fn longest(&self, end: &Disconnected, at: Time) -> Duration {
        let outage = at.since(self.longest_outage_since);
        let share = outage.mul_f64(SHARE).clamp(LEAST, MOST);
        let identify = match self.identifies {
            0 => Duration::ZERO,
            _ if end.resumable => Duration::ZERO,
            sent => Duration::from_secs(1 << sent.min(10)).min(IDENTIFY_MOST),
        };
        let asked = match &end.reason {
            DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => {
                refused.retry_after.unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        (pause(&end.reason) + share.max(identify)).max(asked)
    }

    fn connect(&mut self, at: Time) -> Result<(), String> {
        if at < self.not_before {
            let early = self.not_before.since(at);
            return Err(format!("a connect {early:?} before the announced time"));
        }
        for times in [&mut self.connects, &mut self.wishes] {
            while times.front().is_some_and(|oldest| at.since(*oldest) > WINDOWS[1].0) {
                times.pop_front();
            }
        }
        self.trying = true;
        self.connects.push_back(at);
        for (window, allowed) in WINDOWS {
            let within =
                |times: &VecDeque<Time>| times.iter().filter(|time| at.since(**time) <= window).count();
            let (connects, wishes) = (within(&self.connects), within(&self.wishes));
            if connects > allowed + wishes {
                let outage = at.since(self.outage_since);
                return Err(format!("{connects} connects within {window:?} of an outage of {outage:?}"));
            }
        }
        Ok(())
    }
}

/// The server's wish for a pause.
fn pause(reason: &DisconnectReason) -> Duration {
    match reason {
        DisconnectReason::InvalidSession { .. }
        | DisconnectReason::Closed(Closed::Frame { code: Some(4008), .. }) => PAUSE,
        _ => Duration::ZERO,
    }
}
