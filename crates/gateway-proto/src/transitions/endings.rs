//! How connections end, whoever ends them, and what that means for the session.

use std::time::{Duration, Instant};

use gateway_codec::Envelope;

use crate::connection::{Connection, Stage};
use crate::event::Fields;
use crate::outgoing::opcode;
use crate::receiver::Received;
use crate::retry::Outcome;
use crate::shard::{Ending, FailedResumes, State};
use crate::{
    CloseFrame, Closed, DisconnectReason, Disconnected, Dispatch, Event, Message, Notice, Output, Reaction,
    Reconnect, Shard, Shutdown, StopReason,
};

impl Shard {
    // ---- The server ends the connection -----------------------------------------------------------------------

    /// "The Reconnect event is sent when a client should reconnect to the gateway (and resume their existing session, if
    /// they have one)" (Discord Docs, Gateway Events > Reconnect). May come in any state, also instead of Hello.
    pub(super) fn reconnect_requested(&mut self, now: Instant) {
        self.close(
            CloseFrame::resumable("reconnect requested"),
            DisconnectReason::ReconnectRequested,
            true,
            now,
        );
    }

    /// "The inner `d` key is a boolean that indicates whether the session may be resumable" (Discord Docs, Gateway
    /// Events > Invalid Session). May come in any state.
    pub(super) fn invalid_session(&mut self, resumable: bool, now: Instant) {
        self.stats.invalid_sessions += 1;
        let reason = DisconnectReason::InvalidSession { resumable };
        if resumable {
            return self.close(CloseFrame::resumable("session to be resumed"), reason, false, now);
        }
        self.forget_session();
        // There is no session left to keep, so the code may be the ordinary one.
        self.close(CloseFrame { code: 1000, reason: "session invalid".into() }, reason, false, now);
    }

    /// The other side closed the connection, or it broke.
    pub(super) fn closed(&mut self, closed: Closed, now: Instant) {
        let reason = match closed {
            Closed::MessageTooLarge => DisconnectReason::MessageTooLarge,
            closed => DisconnectReason::Closed(closed),
        };
        if reason == DisconnectReason::MessageTooLarge
            && let Some(place) = self.place_in_session()
        {
            self.give_up_replay(place);
        }
        let Some(connection) = self.leave_open(now) else { return };
        let stop = match reaction(&reason) {
            Reaction::Resume | Reaction::ResumeLater => {
                self.judge(&connection, &reason, now);
                None
            }
            Reaction::Identify => {
                self.forget_session();
                None
            }
            Reaction::Stop(rejection) => {
                self.forget_session();
                Some(StopReason::Rejected(rejection))
            }
        };
        self.disconnected(reason, stop, connection.ready_since, now);
    }

    /// What a connection that came to nothing tells of the session and of its URL.
    fn judge(&mut self, connection: &Connection, reason: &DisconnectReason, now: Instant) {
        use DisconnectReason::{InvalidSession, ReconnectRequested, Requested};
        if self.session.is_none() {
            return;
        }
        match (&connection.stage, reason) {
            // The application's own wishes are nobody's failure.
            (_, Requested) => {}
            // The server has spoken, though it said no Hello.
            (Stage::AwaitingHello { .. }, ReconnectRequested | InvalidSession { .. }) => {}
            // It opened, and nobody was there. The base URL may lead to somebody who is.
            (Stage::AwaitingHello { .. }, _) => self.resume_url_failed |= connection.at_resume_url,
            // The replay had begun: it goes on where it was cut off.
            (Stage::Resuming { reached: Some(_), .. }, _) => {}
            (Stage::Resuming { .. }, _) => self.resume_failed(now),
            _ => {}
        }
    }

    /// A session can be "bricked": every Resume ends in an abrupt drop, or in opcode 9 with `true`. Most go on after a minute
    /// or two, so that a new session is the way out only where that takes longer.
    fn resume_failed(&mut self, now: Instant) {
        let row = self.failed_resumes.get_or_insert(FailedResumes { first: now, count: 0 });
        row.count += 1;
        let (attempts, lasting) = (row.count, now.saturating_duration_since(row.first));
        let limits = &self.config.limits;
        if attempts >= limits.resume_attempts && lasting >= limits.resume_timeout {
            self.forget_session();
            self.event(Event::Notice(Notice::ResumeGivenUp { attempts }));
        }
    }

    /// A machine that slept has a connection that nobody answers any more. It is not waited for.
    pub(super) fn wall_clock_told(&mut self, since_1970: Duration, now: Instant) {
        let Some(slept) = self.wall_clock.tell(since_1970, now) else { return };
        if let State::Open(_) = self.state {
            let reason = DisconnectReason::Suspended { slept };
            self.close(CloseFrame::resumable("machine was suspended"), reason, false, now);
            self.outputs.push_back(Output::Disconnect);
            self.finish_closing(now);
        }
    }

    // ---- We end the connection --------------------------------------------------------------------------------

    /// Sends a close frame and waits for the server's.
    pub(super) fn close(&mut self, frame: CloseFrame, reason: DisconnectReason, deliver: bool, now: Instant) {
        let Some(connection) = self.leave_open(now) else { return };
        self.outputs.push_back(Output::Close(frame));
        let deadline = now + self.config.timeouts.close;
        self.state = State::Closing { connection, deadline, ending: Ending { reason, stop: None, deliver } };
    }

    /// Takes the connection out of the open state. A permit that it waits for is no longer wanted.
    fn leave_open(&mut self, now: Instant) -> Option<Box<Connection>> {
        match std::mem::replace(&mut self.state, State::BackingOff { until: now }) {
            State::Open(connection) => {
                if let Stage::AwaitingIdentify = connection.stage {
                    self.outputs.push_back(Output::CancelIdentify);
                }
                Some(connection)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Events already on their way when we close are delivered and counted, so that the replay is short and nothing
    /// comes twice. Opcode 9 counts too.
    pub(super) fn late_message(&mut self, message: Message, now: Instant) {
        let State::Closing { connection, ending, .. } = &mut self.state else { return };
        if !ending.deliver {
            return;
        }
        self.stats.messages += 1;
        self.stats.message_bytes += message.as_bytes().len() as u64;
        let received = connection.receiver.receive(message);
        self.record(|recorder, shard| recorder.read(&received, true, shard));
        let State::Closing { ending, .. } = &mut self.state else { return };
        let (payload, encoding) = match received {
            Ok(None) => return,
            Ok(Some(Received { payload, encoding, .. })) => (payload, encoding),
            // Something is lost, so nothing after it may count: the replay brings it.
            Err(_) => return ending.deliver = false,
        };
        let Ok(envelope) = Envelope::parse(&payload, encoding) else { return ending.deliver = false };
        self.stats.payloads += 1;
        self.stats.payload_bytes += payload.len() as u64;
        match envelope.op {
            opcode::DISPATCH => {
                let fields = Fields::of(&payload, &envelope);
                self.dispatch(Dispatch::new(payload, encoding, fields), now);
            }
            opcode::INVALID_SESSION => {
                let resumable = envelope.d.decode().unwrap_or(false);
                ending.reason = DisconnectReason::InvalidSession { resumable };
                ending.deliver = false;
                self.stats.invalid_sessions += 1;
                if !resumable {
                    self.forget_session();
                }
            }
            _ => {}
        }
    }

    /// The server's close frame, or the end of the stream, after ours.
    pub(super) fn closed_as_asked(&mut self, closed: Closed, now: Instant) {
        if let State::Closing { ending, .. } = &mut self.state
            && ending.stop.is_none()
        {
            // A code with a meaning of its own is no echo: the two closes have crossed, and the server's word holds.
            let reason = DisconnectReason::Closed(closed);
            match reaction(&reason) {
                Reaction::Resume => {}
                Reaction::ResumeLater => ending.reason = reason,
                Reaction::Identify => {
                    ending.reason = reason;
                    self.forget_session();
                }
                Reaction::Stop(rejection) => {
                    ending.stop = Some(StopReason::Rejected(rejection));
                    ending.reason = reason;
                    self.forget_session();
                }
            }
        }
        self.finish_closing(now);
    }

    pub(super) fn finish_closing(&mut self, now: Instant) {
        let gone = State::BackingOff { until: now };
        match std::mem::replace(&mut self.state, gone) {
            State::Closing { connection, ending, .. } => {
                if ending.stop.is_none() {
                    self.judge(&connection, &ending.reason, now);
                }
                self.disconnected(ending.reason, ending.stop, connection.ready_since, now);
            }
            other => self.state = other,
        }
    }

    /// A connection, or an attempt at one, is over. The one place where that is said and the next one is planned.
    pub(super) fn disconnected(
        &mut self,
        reason: DisconnectReason,
        stop: Option<StopReason>,
        ready_since: Option<Instant>,
        now: Instant,
    ) {
        self.stats.count_disconnect(&reason);
        let resumable = self.session.is_some();
        let outcome = Outcome { ready_since, will_identify: !resumable };
        let wait = self.retry.after(&reason, outcome, now, &mut self.rng);
        let retry_in = stop.is_none().then_some(wait);
        self.last_reason = Some(reason.clone());
        self.event(Event::Disconnected(Disconnected { reason, resumable, retry_in }));
        self.state = match stop {
            Some(stop) => State::Stopped(stop),
            None => State::BackingOff { until: now + wait },
        };
        if let State::Stopped(_) = self.state {
            self.commands.clear();
        }
    }

    // ---- The application ends the connection ------------------------------------------------------------------

    /// "When you close the connection […] with close code 1000 or 1001, your session will be invalidated and your bot will
    /// appear offline" (Discord Docs, Gateway > Initiating a Disconnect): the one place where that is wanted.
    pub(super) fn shut_down(&mut self, how: Shutdown, now: Instant) {
        let reason = DisconnectReason::Shutdown(how);
        let frame = match how {
            Shutdown::Resumable => CloseFrame::resumable("shutting down"),
            Shutdown::LogOff => CloseFrame::LOG_OFF,
        };
        // What was asked for before goes out before, as far as the rate limit allows.
        self.flush_commands(now);
        if let State::Open(_) = self.state {
            self.close(frame, reason.clone(), false, now);
        }
        if how == Shutdown::LogOff {
            self.forget_session();
        }
        let stop = StopReason::Shutdown(how);
        match &mut self.state {
            State::Closing { ending, .. } => {
                ending.stop = Some(stop);
                ending.deliver = false;
            }
            State::Dialing { .. } => {
                self.outputs.push_back(Output::Disconnect);
                self.disconnected(reason, Some(stop), None, now);
            }
            State::BackingOff { .. } => {
                self.commands.clear();
                self.state = State::Stopped(stop);
            }
            State::Open(_) | State::Stopped(_) => {}
        }
    }

    pub(super) fn connect_anew(&mut self, how: Reconnect, now: Instant) {
        let frame = match how {
            Reconnect::Resume => CloseFrame::resumable("reconnecting"),
            Reconnect::Fresh => CloseFrame { code: 1000, reason: "starting a new session".into() },
        };
        if how == Reconnect::Fresh {
            self.forget_session();
        }
        match &mut self.state {
            State::Open(_) => self.close(frame, DisconnectReason::Requested, how == Reconnect::Resume, now),
            // Nothing is waited for any longer: neither the server's close frame, nor what would come after it.
            State::Closing { ending, .. } if ending.stop.is_none() => {
                ending.reason = DisconnectReason::Requested;
                self.outputs.push_back(Output::Disconnect);
                self.finish_closing(now);
            }
            State::BackingOff { until } => *until = now,
            State::Dialing { resume_url: true, .. } if how == Reconnect::Fresh => {
                self.outputs.push_back(Output::Disconnect);
                self.disconnected(DisconnectReason::Requested, None, None, now);
            }
            State::Dialing { .. } | State::Closing { .. } | State::Stopped(_) => {}
        }
    }
}

/// What the end of a connection means for the session.
fn reaction(reason: &DisconnectReason) -> Reaction {
    match reason {
        DisconnectReason::Closed(Closed::Frame { code, .. }) => Reaction::to_close_code(*code),
        _ => Reaction::Resume,
    }
}
