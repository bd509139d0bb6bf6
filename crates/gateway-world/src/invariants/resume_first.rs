//! No Identify while the session may still be resumed: a new session costs events, and a start of the daily limit. A session
//! that the gateway still holds is abandoned only where the gateway says so, where the user asks for it, where Resumes have
//! failed for long, or where a message of the replay cannot be read twice or is too large.

use std::time::Duration;

use gateway_proto::disconnect::{DisconnectReason, Disconnected};
use gateway_proto::{Closed, Event, Input, Notice, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

/// Resumes must have failed for so long before a session is given up.
const LASTING: Duration = Duration::from_secs(180);
/// So many of them.
const ATTEMPTS: u32 = 5;
const RESUME: u64 = 6;
/// The reasons of the shard's own close frames over messages that it cannot take.
const UNDECODABLE: &str = "undecodable message";
const TOO_LARGE: &str = "message too large";

#[derive(Clone, Default)]
pub(super) struct ResumeFirst {
    /// It has reason to believe that the session is lost.
    lost: bool,
    /// Resumes in a row that failed: when the first had failed, and how many.
    failed: Option<(Time, u32)>,
    /// Where a message last could not be read, since the session began or was resumed.
    unreadable: Option<u64>,
    connection: Connection,
}

/// What is true of one connection.
#[derive(Clone, Copy, Default)]
struct Connection {
    /// Resume was sent and not answered yet.
    unanswered: bool,
    /// The number that Resume was sent with. What has no greater one was not asked for.
    from: Option<u64>,
    /// The newest number of the session that was read. None: no session goes on yet.
    place: Option<u64>,
    /// The number of the message that is being read.
    reading: Option<u64>,
    /// The close frame was sent.
    closing: bool,
    /// It was said that a message of the replay is why the session was given up, and not yet which.
    replay_given_up: bool,
}

impl Rule for ResumeFirst {
    const NAME: &'static str = "resume first";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Started { resumes_from } => {
                *self = Self { lost: resumes_from.is_none(), ..Self::default() };
            }
            Observation::UserAsked { gives_up_session: true } => self.lost = true,
            Observation::Input(input, about) => {
                self.has_read();
                if !self.connection.closing {
                    self.connection.reading = about.and_then(|about| about.sequence);
                }
                self.lost |= about.is_some_and(|about| about.resumable == Some(false));
                self.lost |= matches!(input, Input::Closed(closed) if ends_session(closed));
            }
            Observation::Sent { op: Some(RESUME), .. } => self.connection.unanswered = true,
            Observation::Output(Output::Close(frame)) => return self.close(&frame.reason),
            Observation::Output(Output::Event(event)) => return self.said(event, at),
            Observation::Sent { session_lives: true, .. } if !self.lost => {
                return Err("Identify was sent, but the session could have been resumed".to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

impl ResumeFirst {
    fn said(&mut self, event: &Event, at: Time) -> Result<(), String> {
        match event {
            Event::Resuming { sequence } => {
                (self.connection.from, self.connection.place) = (Some(*sequence), Some(*sequence));
            }
            Event::Dispatch(dispatch) => {
                self.answered_by(dispatch.sequence());
                if dispatch.name() == "READY" {
                    self.connection.place = dispatch.sequence();
                }
            }
            Event::Ready => *self = Self { connection: self.connection, ..Self::default() },
            Event::Resumed { .. } => {
                self.answered();
                self.unreadable = None;
            }
            Event::Notice(Notice::ReplayGivenUp { .. }) => {
                (self.lost, self.connection.replay_given_up) = (true, true);
            }
            Event::Notice(Notice::ResumeGivenUp { .. }) => {
                let (first, before) = self.failed.unwrap_or((at, 0));
                let (lasting, attempts) = (at.since(first), before + u32::from(self.connection.unanswered));
                if lasting < LASTING || attempts < ATTEMPTS {
                    return Err(format!("given up after {attempts} failed Resumes within {lasting:?}"));
                }
                self.lost = true;
            }
            Event::Disconnected(end) => return self.disconnected(end, at),
            _ => {}
        }
        Ok(())
    }

    /// Its own close frame tells which message it cannot take.
    fn close(&mut self, reason: &str) -> Result<(), String> {
        self.connection.closing = true;
        let given_up = std::mem::take(&mut self.connection.replay_given_up);
        let place = self.connection.place;
        let seen_before = place.is_some() && self.unreadable == place;
        match (reason, given_up) {
            (UNDECODABLE, true) if !seen_before => {
                return Err(format!("given up after one message that could not be read, behind {place:?}"));
            }
            (UNDECODABLE, _) if place.is_some() => self.unreadable = place,
            (TOO_LARGE | UNDECODABLE, _) | (_, false) => {}
            (_, true) => {
                return Err(format!("given up over a message, but closed for another reason: {reason}"));
            }
        }
        Ok(())
    }

    fn disconnected(&mut self, end: &Disconnected, at: Time) -> Result<(), String> {
        self.has_read();
        let Connection { unanswered, replay_given_up, .. } = std::mem::take(&mut self.connection);
        if replay_given_up && end.reason != DisconnectReason::MessageTooLarge {
            return Err(format!(
                "given up over a message, but the connection ended otherwise: {}",
                end.reason
            ));
        }
        if unanswered && end.reason != DisconnectReason::Requested {
            self.failed.get_or_insert((at, 0)).1 += 1;
        }
        Ok(())
    }

    /// What was being read has been read.
    fn has_read(&mut self) {
        if let Some(sequence) = self.connection.reading.take()
            && !self.connection.closing
        {
            self.answered_by(Some(sequence));
            self.connection.place = self.connection.place.map(|place| place.max(sequence));
        }
    }

    /// An event with this number is an answer if it was asked for.
    fn answered_by(&mut self, sequence: Option<u64>) {
        if sequence > self.connection.from {
            self.answered();
        }
    }

    /// An answer to Resume ends the row of those that failed.
    fn answered(&mut self) {
        if std::mem::take(&mut self.connection.unanswered) {
            self.failed = None;
        }
    }
}

/// "Session invalid", "Invalid seq", "Session timed out"
/// (Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes).
fn ends_session(closed: &Closed) -> bool {
    matches!(closed, Closed::Frame { code: Some(4006 | 4007 | 4009), .. })
}
