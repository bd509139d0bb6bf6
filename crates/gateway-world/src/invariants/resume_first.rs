//! No Identify while the session may still be resumed: a new session costs events, and a start of the daily limit.

use gateway_proto::{Closed, DisconnectReason, Event, Input, Notice, Output};

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

/// What each shard knows of its session.
pub(super) struct ResumeFirst(Vec<Knowledge>);

#[derive(Clone, Copy, Default)]
struct Knowledge {
    /// It has reason to believe that the session is lost.
    lost: bool,
    /// How often something could not be read since the session began or was resumed.
    unreadable: u32,
}

impl ResumeFirst {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![Knowledge::default(); shards])
    }
}

impl Invariant for ResumeFirst {
    fn name(&self) -> &'static str {
        "resume first"
    }

    fn observe(&mut self, _: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let knowledge = &mut self.0[shard];
        match what {
            Observation::Started { resumes_from } => {
                *knowledge = Knowledge { lost: resumes_from.is_none(), unreadable: 0 };
            }
            Observation::UserAsked { gives_up_session: true } => knowledge.lost = true,
            Observation::Input(_, Some(about)) if about.resumable == Some(false) => knowledge.lost = true,
            Observation::Input(Input::Closed(closed), _) => knowledge.lost |= ends_session(closed),
            Observation::Output(Output::Event(event)) => match event {
                Event::Ready => *knowledge = Knowledge::default(),
                Event::Resumed { .. } => knowledge.unreadable = 0,
                Event::Notice(Notice::ResumeGivenUp { .. }) => knowledge.lost = true,
                Event::Disconnected(end) => match end.reason {
                    DisconnectReason::MessageTooLarge => knowledge.lost = true,
                    // Where a replay cannot be read twice, only a new session gets past it.
                    DisconnectReason::Undecodable(_) => {
                        knowledge.unreadable += 1;
                        knowledge.lost |= knowledge.unreadable >= 2;
                    }
                    _ => {}
                },
                _ => {}
            },
            Observation::Sent { session_lives: true, .. } if !knowledge.lost => {
                return Err("Identify was sent, but the session could have been resumed".to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

/// "Not authenticated", "Session invalid", "Invalid seq", "Session timed out"
/// (Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes).
fn ends_session(closed: &Closed) -> bool {
    matches!(closed, Closed::Frame { code: Some(4003 | 4006 | 4007 | 4009), .. } | Closed::MessageTooLarge)
}
