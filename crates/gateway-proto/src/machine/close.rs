//! The end of a connection that the shard closes, and the messages that still arrive on it.

use std::ops::ControlFlow::Break;
use std::time::Instant;

use super::context::Context;
use crate::connection::{OpenConnection, OpenStage};
use crate::disconnect::{DisconnectReason, Reaction};
use crate::payload::{Inbound, InboundPayload, ReadMessage, Reading};
use crate::{CloseFrame, Closed, Notice, StopReason};

/// The shard closes a connection.
pub(super) struct Close {
    pub(super) frame: CloseFrame,
    pub(super) reason: DisconnectReason,
    /// None: connect again.
    pub(super) stop: Option<StopReason>,
    /// Whether dispatches that still arrive are delivered: the stream is intact and the session continues.
    pub(super) deliver: bool,
    /// Whether to drop the socket without waiting for the server's close frame.
    pub(super) at_once: bool,
}

impl Close {
    /// Closes without delivering dispatches that still arrive.
    pub(super) fn new(frame: CloseFrame, reason: DisconnectReason) -> Self {
        Self { frame, reason, stop: None, deliver: false, at_once: false }
    }

    /// As [`Close::new`], with a close code that keeps the session.
    pub(super) fn resumable(text: &'static str, reason: DisconnectReason) -> Self {
        Self::new(CloseFrame::resumable(text), reason)
    }
}

/// A connection on which our close frame was sent, and the server's was not received.
pub(super) struct Closing {
    pub(super) connection: Box<OpenConnection>,
    pub(super) deadline: Instant,
    pub(super) reason: DisconnectReason,
    /// As in [`Close`].
    pub(super) stop: Option<StopReason>,
    /// As in [`Close`].
    pub(super) deliver: bool,
}

impl Closing {
    /// Events in flight at the close are delivered and counted, so that the replay is short and nothing is delivered twice.
    /// Opcode 9 counts too.
    pub(super) fn message(&mut self, message: ReadMessage, cx: &mut Context, now: Instant) {
        if !self.deliver {
            return;
        }
        cx.stats.messages += 1;
        cx.stats.message_bytes += message.bytes as u64;
        match message.reading {
            Reading::Part => {}
            Reading::Payload(payload) => self.payload(payload, cx, now),
            // A message is lost, so later ones must not count: the replay brings them.
            Reading::TooLarge | Reading::Undecodable { .. } => self.deliver = false,
        }
    }

    fn payload(&mut self, payload: InboundPayload, cx: &mut Context, now: Instant) {
        cx.stats.payloads += 1;
        cx.stats.payload_bytes += payload.bytes as u64;
        match payload.content {
            Inbound::Dispatch(dispatch) => {
                // A gap is a reason to close an open connection. This one is being closed, and a Resume follows.
                if let Break(_) = self.connection.dispatch(dispatch, cx, now) {
                    self.deliver = false;
                }
            }
            Inbound::InvalidSession { resumable } => {
                self.reason = DisconnectReason::InvalidSession { resumable };
                self.deliver = false;
                cx.stats.invalid_sessions += 1;
                if !resumable {
                    cx.sessions.end();
                }
            }
            // Nothing more is sent on this connection, and it ends in any case.
            Inbound::HeartbeatRequest
            | Inbound::Reconnect
            | Inbound::Hello { .. }
            | Inbound::HeartbeatAck
            | Inbound::Unknown(_) => {}
        }
    }

    /// Handles the server's close frame, or the end of the stream, after our close frame. A code other than ours is not an echo:
    /// the two close frames have crossed, and the server's counts.
    pub(super) fn closed(&mut self, mut closed: Closed, cx: &mut Context) {
        if self.stop.is_some() {
            return;
        }
        cx.secrets().clean_closed(&mut closed);
        let reason = DisconnectReason::Closed(closed);
        match reaction(&reason) {
            Reaction::Resume => return,
            Reaction::ResumeLater => {}
            Reaction::Identify => cx.sessions.end(),
            Reaction::Stop(rejection) => {
                self.stop = Some(StopReason::Rejected(rejection));
                cx.sessions.end();
            }
        }
        self.reason = reason;
    }
}

impl OpenConnection {
    /// Records what the end of a connection means for the session and for its URL.
    pub(super) fn record_failure(&self, reason: &DisconnectReason, cx: &mut Context, now: Instant) {
        use DisconnectReason::{InvalidSession, ReconnectRequested, Requested};
        if cx.sessions.current.is_none() {
            return;
        }
        match (&self.stage, reason) {
            // A reconnect of the application is not a failure.
            (_, Requested) => {}
            // The server has answered, though without Hello.
            (OpenStage::AwaitingHello { .. }, ReconnectRequested | InvalidSession { .. }) => {}
            (OpenStage::AwaitingHello { .. }, _) if self.at_resume_url => cx.sessions.resume_url_failed(),
            // The replay had begun, and continues after the newest event.
            (OpenStage::Resuming { reached: Some(_), .. }, _) => {}
            (OpenStage::Resuming { .. }, _) => {
                if let Some(attempts) = cx.sessions.resume_failed(&cx.config.limits, now) {
                    cx.notice(Notice::ResumeGivenUp { attempts });
                }
            }
            _ => {}
        }
    }
}

/// What the end of a connection means for the session.
pub(super) fn reaction(reason: &DisconnectReason) -> Reaction {
    match reason {
        DisconnectReason::Closed(Closed::Frame { code, .. }) => Reaction::for_close_code(*code),
        _ => Reaction::Resume,
    }
}
