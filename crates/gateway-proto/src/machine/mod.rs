//! The state machine of a shard, over payloads: inputs are [`MachineInput`] and [`MachineRequest`], outputs are [`Output`]. A
//! transcript records these three, and a replay passes the inputs in again.
//!
//! This file has the table of transitions, the way from one connection to the next, and the requests of the application. An open
//! connection is in `open` and `dispatches`, one that is being closed in `close`. Each transition has the rule that it follows
//! beside it.
//!
//! ```text
//!            ┌──────────────────────────────────────────────────────────────┐
//!            v                                                              │
//!      BackingOff ──> Dialing ──> Open: AwaitingHello                       │
//!                        │          ├─ session? ──> Resuming ──┐            │
//!                        │          └─ AwaitingIdentify        ├──> Ready   │
//!                        │               └─> AwaitingReady ────┘      │     │
//!                        │                        any of them ──> Closing ──┤
//!                        └────────────────────────────────────────────────> ┤
//!                                                                           └──> Stopped
//! ```

mod close;
pub(crate) mod context;
mod dispatches;
pub(crate) mod input;
mod open;
pub(crate) mod request;
mod sessions;
mod state;

use std::ops::ControlFlow::Break;
use std::time::{Duration, Instant};

use self::close::{Close, Closing, reaction};
use self::context::Context;
use self::input::MachineInput;
use self::request::{EndRequest, MachineRequest};
use self::state::State;
use crate::config::ConfigError;
use crate::connection::{OpenConnection, OpenStage};
use crate::disconnect::{DisconnectReason, Disconnected, Reaction};
use crate::health::{Health, Phase};
use crate::payload::Check;
use crate::retry::Outcome;
use crate::wall_clock::WallClock;
use crate::{
    CloseFrame, Closed, ConnectError, Event, Notice, Output, Reconnect, ShardConfig, Shutdown, StopReason,
};

/// Refusals in a row after which a notice reports that a wait may not help.
const REFUSALS_UNTIL_NOTICE: u32 = 5;
/// How late a call may be on a busy machine without being noticed.
const LATENESS_GRACE: Duration = Duration::from_secs(2);

/// The life of one shard.
pub(crate) struct Machine {
    state: State,
    cx: Context,
    /// Refused upgrades in a row with a status that waiting may not cure.
    refusals: u32,
    wall_clock: WallClock,
    /// The request of the application since the last input.
    requested: Option<EndRequest>,
    /// The time of the last input.
    now: Instant,
    /// The deadline given out last, if it has not been met. What the application has asked for since does not bring it forward.
    due: Option<Instant>,
    /// The application has asked for something since the last input.
    was_asked: bool,
}

impl Machine {
    pub(crate) fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let mut this = Self {
            state: State::BackingOff { until: now },
            cx: Context::new(config, now)?,
            refusals: 0,
            wall_clock: WallClock::default(),
            requested: None,
            now,
            due: None,
            was_asked: false,
        };
        this.dial(now);
        Ok(this)
    }

    // ---- Queries ----------------------------------------------------------------------------------------------

    pub(crate) fn context(&self) -> &Context {
        &self.cx
    }

    /// Queues a notice that does not come from the machine.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.cx.notice(notice);
    }

    /// The time of the last input.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state.phase()
    }

    pub(crate) fn health(&self) -> Health {
        self.state.health(&self.cx)
    }

    /// Whether the shard has stopped, or is about to.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.state, State::Stopped(_) | State::Closing(Closing { stop: Some(_), .. }))
            || matches!(self.requested, Some(EndRequest::Shutdown(_)))
    }

    /// Whether messages are read, and how far they are checked. None: there is no connection, or nothing that arrives on it
    /// counts.
    #[inline]
    pub(crate) fn reads(&self) -> Option<Check> {
        match (&self.state, &self.requested) {
            (State::Open(_), None) => Some(Check::Envelope),
            // Errors within are left to the replay that follows.
            (State::Open(_), Some(_)) | (State::Closing(Closing { deliver: true, .. }), _) => {
                Some(Check::Whole)
            }
            _ => None,
        }
    }

    // ---- Inputs, requests, outputs ----------------------------------------------------------------------------

    /// Takes an input. `now` is not before that of the last one.
    pub(crate) fn handle_input(&mut self, input: MachineInput, now: Instant) {
        self.now = now;
        if let MachineInput::Progress { message } = input {
            // It makes no difference how a stream is cut into reads, so nothing becomes due.
            if let State::Open(connection) = &mut self.state {
                connection.progress(message, now);
            }
            return;
        }
        self.check_lateness(now);
        match input {
            // The result of a connection precedes requests that the application has made since.
            MachineInput::Opened | MachineInput::ConnectFailed(_) | MachineInput::Closed(_) => {
                self.transition(input, now);
                self.apply_request(now);
            }
            // After a request for the end, arriving dispatches are neither delivered nor counted.
            _ => {
                self.apply_request(now);
                self.transition(input, now);
            }
        }
        self.wall_clock.pass(now);
        self.fire_timers(now);
        if let State::Open(connection) = &mut self.state {
            connection.answer_heartbeat_requests(&mut self.cx, now);
            connection.flush_commands(&mut self.cx, now);
        }
    }

    /// Takes a request that was checked. It takes effect at the next input.
    pub(crate) fn handle_request(&mut self, request: MachineRequest) {
        // A past deadline that a request has caused does not make the call late.
        if self.due.is_none() {
            self.due = Some(self.next_deadline());
        }
        self.was_asked = true;
        match request {
            MachineRequest::Send(mut command) => {
                self.cx.presence = command.presence.take().or(self.cx.presence.take());
                self.cx.commands.push(command);
            }
            MachineRequest::Ack(sequence) => self.cx.sessions.acknowledge(sequence),
            MachineRequest::AckCurrent(sequence) => self.cx.sessions.acknowledge_current(sequence),
            MachineRequest::Heartbeat if self.is_ending() || self.requested.is_some() => {}
            MachineRequest::Heartbeat => {
                if let State::Open(connection) = &mut self.state {
                    connection.heartbeat_wanted();
                }
            }
            MachineRequest::End(_) if self.is_ending() => {}
            MachineRequest::End(request) => self.requested = Some(request),
        }
    }

    /// The next output. The last is a deadline, or `Stopped`.
    #[inline]
    pub(crate) fn poll_output(&mut self) -> Output {
        if let Some(output) = self.cx.outputs.pop_front() {
            return output;
        }
        if let State::Stopped(reason) = &self.state {
            return Output::Stopped(reason.clone());
        }
        let deadline = self.next_deadline();
        if !self.was_asked {
            self.due = Some(deadline);
        }
        // A request takes effect at the next input, which may come now.
        Output::Timeout(if self.requested.is_some() { self.now } else { deadline })
    }

    /// The earliest deadline of the state. Every state but the last has one.
    fn next_deadline(&self) -> Instant {
        match &self.state {
            State::BackingOff { until } => *until,
            State::Dialing { deadline, .. } => *deadline,
            State::Closing(closing) => closing.deadline,
            State::Open(connection) => {
                let deadline = connection.next_deadline(self.now, self.cx.commands.next(self.now));
                self.wall_clock.next().map_or(deadline, |next| next.min(deadline))
            }
            State::Stopped(_) => self.now,
        }
    }

    /// Handles one input in one state.
    ///
    /// An input that does not apply to the state changes nothing; this is the one place for that rule. It is not a mistake of the
    /// driver: any number of inputs may come before the outputs are polled, so a message may follow a `Disconnect` that the
    /// driver has not seen, and a permit a `CancelIdentify`. What the machine itself must never do, such as closing a
    /// connection that is not open, is a `debug_assert`.
    fn transition(&mut self, input: MachineInput, now: Instant) {
        let cx = &mut self.cx;
        match input {
            MachineInput::Message(message) => match &mut self.state {
                State::Open(connection) => {
                    if let Break(close) = connection.message(message, cx, now) {
                        self.close(close, now);
                    }
                }
                State::Closing(closing) => closing.message(message, cx, now),
                State::BackingOff { .. } | State::Dialing { .. } | State::Stopped(_) => {}
            },
            MachineInput::Opened => {
                if let State::Dialing { resume_url, .. } = self.state {
                    self.opened(resume_url, now);
                }
            }
            MachineInput::ConnectFailed(error) => {
                if let State::Dialing { resume_url, .. } = self.state {
                    self.dial_failed(error, resume_url, now);
                }
            }
            MachineInput::Closed(closed) => match &mut self.state {
                State::Open(_) => self.closed(closed, now),
                State::Closing(closing) => {
                    closing.closed(closed, cx);
                    self.finish_closing(now);
                }
                State::BackingOff { .. } | State::Dialing { .. } | State::Stopped(_) => {}
            },
            MachineInput::IdentifyGranted => {
                if let State::Open(connection) = &mut self.state {
                    connection.identify_granted(cx, now);
                }
            }
            MachineInput::IdentifyRefused(refused) => {
                if let State::Open(connection) = &mut self.state
                    && let Break(close) = connection.identify_refused(refused)
                {
                    self.close(close, now);
                }
            }
            // Whether the driver reads is a state of the driver, not of the connection: it may change before there is one.
            MachineInput::ReadingPaused => cx.reading_paused = true,
            MachineInput::ReadingResumed => self.resume_reading(now),
            MachineInput::WallClock(since_1970) => self.wall_clock_read(since_1970, now),
            MachineInput::UnreadMessage { .. } | MachineInput::Progress { .. } | MachineInput::Timeout => {}
        }
    }

    /// Fires the timers that are due. Called at every input, so that a flood of messages cannot delay them.
    fn fire_timers(&mut self, now: Instant) {
        match &mut self.state {
            State::Open(connection) => {
                if let Break(close) = connection.fire_timers(&mut self.cx, now) {
                    self.close(close, now);
                }
            }
            &mut State::Dialing { deadline, resume_url } if deadline <= now => {
                self.cx.outputs.push_back(Output::Disconnect);
                self.dial_ended(DisconnectReason::ConnectTimeout, resume_url, now);
            }
            // The server did not answer our close frame in time.
            State::Closing(closing) if closing.deadline <= now => {
                self.cx.outputs.push_back(Output::Disconnect);
                self.finish_closing(now);
            }
            State::BackingOff { .. } | State::Dialing { .. } | State::Closing(_) | State::Stopped(_) => {}
        }
        if let State::BackingOff { until } = self.state
            && until <= now
        {
            self.dial(now);
        }
    }

    /// A shard that is called long after its deadline was not driven in between.
    fn check_lateness(&mut self, now: Instant) {
        // A driver with more bytes to pass in has not polled the deadline.
        let due = self.due.take().unwrap_or_else(|| self.next_deadline());
        self.was_asked = false;
        let late = now.saturating_duration_since(due);
        if late > LATENESS_GRACE
            && let State::Open(connection) = &mut self.state
        {
            connection.excuse_lateness(late, &mut self.cx, now);
        }
    }

    /// The driver reads the socket again. The pause is not the server's silence.
    fn resume_reading(&mut self, now: Instant) {
        self.cx.reading_paused = false;
        if let State::Open(connection) = &mut self.state {
            connection.restart_waits(&self.cx.config.timeouts, now);
        }
    }

    /// After a suspension the server has dropped the connection, so its close frame is not waited for.
    fn wall_clock_read(&mut self, since_1970: Duration, now: Instant) {
        if let Some(slept) = self.wall_clock.read(since_1970, now)
            && let State::Open(_) = self.state
        {
            let reason = DisconnectReason::Suspended { slept };
            self.close(Close { at_once: true, ..Close::resumable("machine was suspended", reason) }, now);
        }
    }

    // ---- Connecting -------------------------------------------------------------------------------------------

    /// "When resuming, use the `resume_gateway_url` […] instead of the gateway URL" (Discord Docs, Gateway >
    /// Preparing to Resume). If it cannot be dialled, the base URL is used: "your app should reconnect" there.
    fn dial(&mut self, now: Instant) {
        let cx = &mut self.cx;
        let resuming = cx.sessions.current.is_some();
        let resume_url = cx.sessions.resume_url();
        let deadline = now + cx.config.timeouts.connect;
        self.state = State::Dialing { deadline, resume_url: resume_url.is_some() };
        let url = resume_url.unwrap_or(&cx.base_url);
        let url = url.with_parameters(cx.config.encoding, cx.config.compression);
        cx.stats.connect_attempts += 1;
        cx.event(Event::Connecting { resuming, attempt: cx.retry.failures() });
        cx.outputs.push_back(Output::Connect(url));
    }

    fn opened(&mut self, at_resume_url: bool, now: Instant) {
        self.refusals = 0;
        self.cx.stats.connects += 1;
        self.cx.event(Event::Connected);
        self.state = State::Open(Box::new(OpenConnection::new(&self.cx.config, at_resume_url, now)));
    }

    fn dial_failed(&mut self, mut error: ConnectError, at_resume_url: bool, now: Instant) {
        self.cx.secrets().clean_connect_error(&mut error);
        self.refusals = match &error {
            // The edge refuses the client. The token is not the cause: it has not been sent.
            ConnectError::Refused(refused) if matches!(refused.status, 401 | 403 | 404) => self.refusals + 1,
            _ => 0,
        };
        if let ConnectError::Refused(refused) = &error
            && self.refusals > 0
            && self.refusals.is_multiple_of(REFUSALS_UNTIL_NOTICE)
        {
            let (status, times) = (refused.status, self.refusals);
            self.cx.notice(Notice::RefusedRepeatedly { status, times });
        }
        self.dial_ended(DisconnectReason::ConnectFailed(error), at_resume_url, now);
    }

    /// A network fault costs no session: it is kept, and only the URL changes.
    fn dial_ended(&mut self, reason: DisconnectReason, at_resume_url: bool, now: Instant) {
        if at_resume_url {
            self.cx.sessions.resume_url_failed();
        }
        self.disconnected(reason, None, None, now);
    }

    // ---- The end of a connection ------------------------------------------------------------------------------

    /// The server closed the open connection, or it failed.
    fn closed(&mut self, mut closed: Closed, now: Instant) {
        let Some(connection) = self.take_open(now) else { return };
        let cx = &mut self.cx;
        cx.secrets().clean_closed(&mut closed);
        let reason = match closed {
            Closed::MessageTooLarge => DisconnectReason::MessageTooLarge,
            closed => DisconnectReason::Closed(closed),
        };
        if reason == DisconnectReason::MessageTooLarge {
            connection.give_up_replay_of_large_message(cx);
        }
        let stop = match reaction(&reason) {
            Reaction::Resume | Reaction::ResumeLater => {
                connection.record_failure(&reason, cx, now);
                None
            }
            Reaction::Identify => {
                cx.sessions.end();
                None
            }
            Reaction::Stop(rejection) => {
                cx.sessions.end();
                Some(StopReason::Rejected(rejection))
            }
        };
        self.disconnected(reason, stop, connection.ready_since, now);
    }

    /// Sends a close frame on the open connection, and waits for the server's.
    fn close(&mut self, close: Close, now: Instant) {
        let Some(connection) = self.take_open(now) else { return };
        let Close { frame, reason, stop, deliver, at_once } = close;
        self.cx.outputs.push_back(Output::Close(frame));
        let deadline = now + self.cx.config.timeouts.close;
        self.state = State::Closing(Closing { connection, deadline, reason, stop, deliver });
        if at_once {
            self.cx.outputs.push_back(Output::Disconnect);
            self.finish_closing(now);
        }
    }

    /// Takes the connection out of the open state. A permit that it waits for is no longer wanted.
    fn take_open(&mut self, now: Instant) -> Option<Box<OpenConnection>> {
        match std::mem::replace(&mut self.state, State::BackingOff { until: now }) {
            State::Open(connection) => {
                if let OpenStage::AwaitingIdentify = connection.stage {
                    self.cx.outputs.push_back(Output::CancelIdentify);
                }
                Some(connection)
            }
            other => {
                debug_assert!(false, "only an open connection is closed");
                self.state = other;
                None
            }
        }
    }

    /// The connection that is being closed is over.
    fn finish_closing(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::BackingOff { until: now }) {
            State::Closing(Closing { connection, reason, stop, .. }) => {
                if stop.is_none() {
                    connection.record_failure(&reason, &mut self.cx, now);
                }
                self.disconnected(reason, stop, connection.ready_since, now);
            }
            other => {
                debug_assert!(false, "only a connection that is being closed ends so");
                self.state = other;
            }
        }
    }

    /// A connection, or an attempt at one, is over. The one place that reports it and plans the next one.
    fn disconnected(
        &mut self,
        reason: DisconnectReason,
        stop: Option<StopReason>,
        ready_since: Option<Instant>,
        now: Instant,
    ) {
        let cx = &mut self.cx;
        cx.stats.count_disconnect(&reason);
        let resumable = cx.sessions.current.is_some();
        let outcome = Outcome { ready_since, will_identify: !resumable };
        let wait = cx.retry.after(&reason, outcome, now, &mut cx.rng);
        let retry_in = stop.is_none().then_some(wait);
        cx.last_reason = Some(reason.clone());
        cx.event(Event::Disconnected(Disconnected { reason, resumable, retry_in }));
        match stop {
            Some(stop) => self.stop(stop),
            None => self.state = State::BackingOff { until: now + wait },
        }
    }

    fn stop(&mut self, reason: StopReason) {
        self.cx.commands.clear();
        self.state = State::Stopped(reason);
    }

    // ---- Requests of the application --------------------------------------------------------------------------

    #[inline]
    fn apply_request(&mut self, now: Instant) {
        if let Some(request) = self.requested.take() {
            self.end(request, now);
        }
    }

    #[cold]
    fn end(&mut self, request: EndRequest, now: Instant) {
        match request {
            EndRequest::Shutdown(how) => self.shut_down(how, now),
            EndRequest::Reconnect(how) => self.connect_anew(how, now),
        }
    }

    /// "When you close the connection […] with close code 1000 or 1001, your session will be invalidated and your bot will
    /// appear offline" (Discord Docs, Gateway > Initiating a Disconnect): the one place where that is wanted.
    fn shut_down(&mut self, how: Shutdown, now: Instant) {
        let (reason, stop) = (DisconnectReason::Shutdown(how), StopReason::Shutdown(how));
        let frame = match how {
            Shutdown::Resumable => CloseFrame::resumable("shutting down"),
            Shutdown::LogOff => CloseFrame::LOG_OFF,
        };
        if let State::Open(connection) = &mut self.state {
            // Commands queued before are sent before, as far as the rate limit allows.
            connection.flush_commands(&mut self.cx, now);
        }
        if how == Shutdown::LogOff {
            self.cx.sessions.end();
        }
        match &mut self.state {
            State::Open(_) => self.close(Close { stop: Some(stop), ..Close::new(frame, reason) }, now),
            State::Closing(closing) => {
                closing.stop = Some(stop);
                closing.deliver = false;
            }
            State::Dialing { .. } => {
                self.cx.outputs.push_back(Output::Disconnect);
                self.disconnected(reason, Some(stop), None, now);
            }
            State::BackingOff { .. } => self.stop(stop),
            State::Stopped(_) => {}
        }
    }

    fn connect_anew(&mut self, how: Reconnect, now: Instant) {
        let (frame, deliver) = match how {
            Reconnect::Resume => (CloseFrame::resumable("reconnecting"), true),
            Reconnect::Fresh => (CloseFrame { code: 1000, reason: "starting a new session".into() }, false),
        };
        if how == Reconnect::Fresh {
            self.cx.sessions.end();
        }
        match &mut self.state {
            State::Open(_) => {
                self.close(Close { deliver, ..Close::new(frame, DisconnectReason::Requested) }, now);
            }
            // Waits neither for the server's close frame nor for the next connection.
            State::Closing(closing) if closing.stop.is_none() => {
                closing.reason = DisconnectReason::Requested;
                self.cx.outputs.push_back(Output::Disconnect);
                self.finish_closing(now);
            }
            State::BackingOff { until } => *until = now,
            State::Dialing { resume_url: true, .. } if how == Reconnect::Fresh => {
                self.cx.outputs.push_back(Output::Disconnect);
                self.disconnected(DisconnectReason::Requested, None, None, now);
            }
            State::Dialing { .. } | State::Closing(_) | State::Stopped(_) => {}
        }
    }
}
