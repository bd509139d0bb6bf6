//! Every transition of the state machine, and the rule that each obeys: the table, the timers, and the way from a dial to
//! READY. What dispatches do and how connections end is in the two files below it.
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

mod dispatches;
mod endings;

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_codec::{Envelope, RawRef};

use crate::connection::{Connection, Stage};
use crate::event::Fields;
use crate::heartbeat::{self, Heartbeat, LONGEST_INTERVAL, SHORTEST_INTERVAL};
use crate::outgoing::{self, Identify, opcode};
use crate::receiver::{ReceiveError, Received, Receiver};
use crate::shard::{Request, State};
use crate::{
    CloseFrame, ConnectError, DisconnectReason, Dispatch, Event, IdentifyRefused, Input, Message, Notice,
    Output, RefusalCause, Shard, StopReason, UnknownMessage,
};

/// How many refusals in a row make it worth telling that waiting may not help.
const REFUSALS_UNTIL_NOTICE: u32 = 5;

impl Shard {
    /// One input in one state. An input that does not apply to the state changes nothing.
    pub(crate) fn transition(&mut self, input: Input, now: Instant) {
        match (&mut self.state, input) {
            (State::Dialing { .. }, Input::Opened) => self.opened(now),
            (State::Dialing { .. }, Input::ConnectFailed(error)) => self.dial_failed(error, now),
            (State::Open(_), Input::Message(message)) => self.message(message, now),
            (State::Open(connection), Input::Progress { message }) => connection.progress(message, now),
            (State::Open(_), Input::Closed(closed)) => self.closed(closed, now),
            (State::Open(_), Input::IdentifyGranted) => self.identify(now),
            (_, Input::WallClock(since_1970)) => self.wall_clock_told(since_1970, now),
            (State::Open(_), Input::IdentifyRefused(refused)) => self.identify_refused(refused, now),
            // Whether the owner reads is the owner's, not the connection's: it may be said before there is one.
            (_, Input::ReadingPaused) => self.reading_paused = true,
            (_, Input::ReadingResumed) => self.resume_reading(now),
            (State::Closing { .. }, Input::Message(message)) => self.late_message(message, now),
            (State::Closing { .. }, Input::Closed(closed)) => self.closed_as_asked(closed, now),
            (_, _) => {}
        }
    }

    /// What is due by now. Looks at every input, so that a flood of messages cannot hold up the clock.
    pub(crate) fn fire_timers(&mut self, now: Instant) {
        match &self.state {
            State::Dialing { deadline, .. } if *deadline <= now => {
                self.outputs.push_back(Output::Disconnect);
                self.dial_ended(DisconnectReason::ConnectTimeout, now);
            }
            State::Open(_) => self.fire_connection_timers(now),
            // The server does not answer our close frame: no reason to wait for it any longer.
            State::Closing { deadline, .. } if *deadline <= now => {
                self.outputs.push_back(Output::Disconnect);
                self.finish_closing(now);
            }
            State::BackingOff { .. } | State::Dialing { .. } | State::Closing { .. } | State::Stopped(_) => {}
        }
        if let State::BackingOff { until } = self.state
            && until <= now
        {
            self.dial(now);
        }
    }

    /// What the application asked for.
    pub(crate) fn obey_request(&mut self, now: Instant) {
        match self.requested.take() {
            None => {}
            Some(Request::Shutdown(how)) => self.shut_down(how, now),
            Some(Request::Reconnect(how)) => self.connect_anew(how, now),
        }
    }

    // ---- Connecting -------------------------------------------------------------------------------------------

    /// "When resuming, use the `resume_gateway_url` […] instead of the gateway URL" (Discord Docs, Gateway >
    /// Preparing to Resume). If it cannot be dialled, the base URL serves: "your app should reconnect" there.
    pub(crate) fn dial(&mut self, now: Instant) {
        let resume_url = match &self.session {
            Some(session) if !self.resume_url_failed => session.resume_url.clone(),
            _ => None,
        };
        self.stats.connect_attempts += 1;
        self.event(Event::Connecting { resuming: self.session.is_some(), attempt: self.retry.failures() });
        let url = resume_url.as_ref().unwrap_or(&self.base_url);
        let url = url.with_parameters(self.config.encoding, self.config.compression);
        self.outputs.push_back(Output::Connect(url));
        self.state =
            State::Dialing { deadline: now + self.config.timeouts.connect, resume_url: resume_url.is_some() };
    }

    fn opened(&mut self, now: Instant) {
        let at_resume_url = matches!(self.state, State::Dialing { resume_url: true, .. });
        self.refusals = 0;
        self.stats.connects += 1;
        self.event(Event::Connected);
        let mut connection = Connection::new(&self.config, at_resume_url, now);
        if self.replayed {
            connection.receiver = Receiver::of_transcript(&self.config.limits);
        }
        self.state = State::Open(Box::new(connection));
    }

    fn dial_failed(&mut self, error: ConnectError, now: Instant) {
        self.refusals = match &error {
            // The edge dislikes the client. It is no verdict on the token, which has not been sent.
            ConnectError::Refused(refused) if matches!(refused.status, 401 | 403 | 404) => self.refusals + 1,
            _ => 0,
        };
        if let ConnectError::Refused(refused) = &error
            && self.refusals > 0
            && self.refusals.is_multiple_of(REFUSALS_UNTIL_NOTICE)
        {
            let (status, times) = (refused.status, self.refusals);
            self.event(Event::Notice(Notice::RefusedRepeatedly { status, times }));
        }
        self.dial_ended(DisconnectReason::ConnectFailed(error), now);
    }

    /// A network fault costs no session: it is kept, and only the URL changes.
    fn dial_ended(&mut self, reason: DisconnectReason, now: Instant) {
        if let State::Dialing { resume_url: true, .. } = self.state {
            self.resume_url_failed = true;
        }
        self.disconnected(reason, None, None, now);
    }

    // ---- Messages ---------------------------------------------------------------------------------------------

    fn message(&mut self, message: Message, now: Instant) {
        let State::Open(connection) = &mut self.state else { return };
        self.stats.messages += 1;
        self.stats.message_bytes += message.as_bytes().len() as u64;
        connection.last_received = now;
        connection.forgiven = false;
        let received = connection.receiver.receive(message);
        connection.message_under_way = matches!(received, Ok(None));
        self.record(|recorder, shard| recorder.read(&received, false, shard));
        match received {
            Ok(None) => {}
            Ok(Some(received)) => self.payload(received, now),
            Err(ReceiveError::TooLarge) => self.too_large(now),
            Err(ReceiveError::Undecodable(detail)) => self.undecodable(detail, now),
        }
    }

    fn payload(&mut self, received: Received, now: Instant) {
        let Received { payload, encoding, unexpected, trailing } = received;
        self.stats.payloads += 1;
        self.stats.payload_bytes += payload.len() as u64;
        let envelope = match Envelope::skim(&payload, encoding) {
            Ok(envelope) => envelope,
            Err(error) => return self.undecodable(error.to_string(), now),
        };
        if unexpected {
            self.event(Event::Notice(Notice::UnexpectedFormat));
        }
        let count = envelope.trailing.max(trailing);
        if count > 0 {
            self.event(Event::Notice(Notice::TrailingBytes { count }));
        }
        match envelope.op {
            opcode::DISPATCH => {
                let fields = Fields::of(&payload, &envelope);
                self.dispatch(Dispatch::new(payload, encoding, fields), now);
            }
            opcode::HEARTBEAT => self.heartbeat_requested(now),
            opcode::RECONNECT => self.reconnect_requested(now),
            opcode::INVALID_SESSION => self.invalid_session(envelope.d.decode().unwrap_or(false), now),
            opcode::HELLO => self.hello(envelope.d, now),
            opcode::HEARTBEAT_ACK => self.acknowledged(now),
            op => self.unknown(op, &payload, envelope.d),
        }
    }

    /// "Your client should […] handle […] unknown opcodes" by carrying on: new ones appear without notice.
    fn unknown(&mut self, op: u64, payload: &Bytes, data: RawRef<'_>) {
        let payload = gateway_codec::Raw::new(payload.clone(), data.encoding());
        self.event(Event::Unknown(UnknownMessage { op, data: payload.slice(data) }));
    }

    /// The stream is broken, or the server speaks nonsense: "reconnect" (close code 4000) and resume. Where the replay
    /// breaks at the same place again, only a new session gets past it.
    fn undecodable(&mut self, detail: String, now: Instant) {
        let detail = self.secrets().clean(&detail);
        self.stats.undecodable += 1;
        if let Some(place) = self.place_in_session()
            && self.undecodable_at.replace(place) == Some(place)
        {
            self.give_up_replay(place);
        }
        self.close(
            CloseFrame::resumable("undecodable message"),
            DisconnectReason::Undecodable(detail),
            false,
            now,
        );
    }

    fn too_large(&mut self, now: Instant) {
        if let Some(place) = self.place_in_session() {
            self.give_up_replay(place);
        }
        self.close(CloseFrame::resumable("message too large"), DisconnectReason::MessageTooLarge, false, now);
    }

    // ---- Hello and the beginning of a session -----------------------------------------------------------------

    /// "Once connected, the client should immediately receive an opcode 10 Hello" (Discord Docs, Gateway > Hello Event).
    fn hello(&mut self, data: RawRef<'_>, now: Instant) {
        let interval = self.heartbeat_interval(data);
        self.event(Event::Hello { heartbeat_interval: interval });
        let State::Open(connection) = &mut self.state else { return };
        connection.window.reserve_for(interval);
        match &mut connection.heartbeat {
            // A second Hello on a connection changes the interval, and nothing else: a second Identify would be
            // answered with close code 4005.
            Some(heartbeat) => heartbeat.change_interval(interval, now),
            None => connection.heartbeat = Some(Heartbeat::new(interval, self.rng.f64(), now)),
        }
        if let Stage::AwaitingHello { .. } = connection.stage {
            match self.session {
                Some(_) => self.resume(now),
                None => self.ask_for_permit(),
            }
        }
    }

    /// What Hello asks for, within what is believed.
    fn heartbeat_interval(&mut self, data: RawRef<'_>) -> Duration {
        let asked_ms = heartbeat::interval_ms(data);
        let used = match asked_ms {
            Some(ms) => Duration::from_millis(ms).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
            // The usual value. Better a heartbeat than none.
            None => Duration::from_millis(41_250),
        };
        if asked_ms.map(Duration::from_millis) != Some(used) {
            self.event(Event::Notice(Notice::HeartbeatIntervalClamped { asked_ms, used }));
        }
        used
    }

    /// Identifies are scarce: "1000 session starts in a 24-hour period" (Discord Docs, Gateway > Rate Limiting). Whoever
    /// keeps the gate says when. Heartbeats run meanwhile.
    fn ask_for_permit(&mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.stage = Stage::AwaitingIdentify;
            self.outputs.push_back(Output::AcquireIdentify);
        }
    }

    /// "After the connection is open and your app is sending heartbeats, you should send an Identify event"
    /// (Discord Docs, Gateway > Identifying). A permit that comes when none is awaited is not used.
    fn identify(&mut self, now: Instant) {
        let State::Open(connection) = &mut self.state else { return };
        let Stage::AwaitingIdentify = connection.stage else { return };
        let timeouts = &self.config.timeouts;
        let latest = now + timeouts.ready_at_most;
        connection.stage = Stage::AwaitingReady { deadline: (now + timeouts.ready).min(latest), latest };
        let encoding = self.config.encoding;
        let mut payload = Identify::new(&self.config, self.presence.as_ref()).encode(encoding);
        if payload.as_ref().is_ok_and(|payload| payload.len() > self.config.limits.payload_bytes) {
            // The presence was changed to one that fits into its own command, but not in here.
            payload = Identify::new(&self.config, self.config.presence.as_ref()).encode(encoding);
        }
        let payload = payload.expect("the same configuration has made an Identify in `Shard::new`");
        self.event(Event::Identifying);
        self.transmit(payload, now);
        self.stats.identifies += 1;
        self.retry.identify_sent();
    }

    /// A bot that spends more session starts than it has loses its token, so the shard stops. A gate that cannot be reached
    /// says nothing about the session starts that are left, so the shard asks again, after its back-off.
    fn identify_refused(&mut self, refused: IdentifyRefused, now: Instant) {
        let Some(Stage::AwaitingIdentify) = self.stage() else { return };
        let (frame, stop) = match refused.cause {
            RefusalCause::Unreachable => ("identify gate unreachable", None),
            _ => ("no session start is left", Some(StopReason::IdentifyRefused(refused))),
        };
        self.close(CloseFrame::resumable(frame), DisconnectReason::IdentifyRefused(refused), false, now);
        if let State::Closing { ending, .. } = &mut self.state {
            ending.stop = stop;
        }
    }

    /// "you should send a Resume event" after Hello, "with the `session_id` and sequence number"
    /// (Discord Docs, Gateway > Resuming).
    fn resume(&mut self, now: Instant) {
        let (State::Open(connection), Some(session)) = (&mut self.state, &self.session) else { return };
        let from = session.resume_from(self.config.delivery);
        let timeouts = &self.config.timeouts;
        let (deadline, latest) = (now + timeouts.resumed, now + timeouts.message);
        connection.stage = Stage::Resuming {
            deadline,
            latest,
            from,
            delivered: session.sequence,
            replayed: 0,
            reached: None,
        };
        let payload = outgoing::resume(&self.config.token, &session.id, from, self.config.encoding);
        self.event(Event::Resuming { sequence: from });
        self.gaps.resume_sent();
        self.transmit(payload.expect("text and numbers can be written in any encoding"), now);
        self.stats.resumes += 1;
    }

    // ---- Heartbeats -------------------------------------------------------------------------------------------

    /// "The API may send opcode 1 Heartbeat […] your app should immediately send back another Heartbeat without waiting
    /// the remainder of the current interval" (Discord Docs, Gateway > Heartbeat Requests). Its content is ignored. It goes
    /// out once the timers have fired, before any command; a server that asks without end does not make us break its limit.
    fn heartbeat_requested(&mut self, now: Instant) {
        if let State::Open(connection) = &mut self.state {
            connection.window.request_heartbeat(now);
        }
    }

    /// "the API will respond with an opcode 11 Heartbeat ACK" (Discord Docs, Gateway > Sending Heartbeats).
    fn acknowledged(&mut self, now: Instant) {
        let timeout = self.config.timeouts.ready;
        let State::Open(connection) = &mut self.state else { return };
        let latency = connection.heartbeat.as_mut().and_then(|heartbeat| heartbeat.acknowledged(now));
        let Some(latency) = latency else { return };
        // In an outage the server may acknowledge for long before it sends READY: as long as it does, it is waited for,
        // but not for ever: it may have lost the Identify.
        if let Stage::AwaitingReady { deadline, latest } = &mut connection.stage {
            let interval = connection.heartbeat.as_ref().map_or(Duration::ZERO, Heartbeat::interval);
            *deadline = (*deadline).max((now + timeout.max(interval * 2)).min(*latest));
        }
        self.stats.acknowledgements += 1;
        self.event(Event::HeartbeatAcknowledged { latency });
    }

    fn fire_connection_timers(&mut self, now: Instant) {
        let State::Open(connection) = &mut self.state else { return };
        match connection.overdue(&self.config.timeouts, now) {
            // What is not read cannot have come.
            Some(_) if self.reading_paused => connection.wait_anew(&self.config.timeouts, now),
            Some(reason) => return self.close(CloseFrame::resumable("timed out"), reason, true, now),
            None => {}
        }
        let (last_received, under_way) = (connection.last_received, connection.message_under_way);
        let Some(heartbeat) = &mut connection.heartbeat else { return };
        heartbeat.note_lateness(now);
        if heartbeat.next() > now {
            return;
        }
        if self.reading_paused {
            heartbeat.forgive();
        }
        let patience = if under_way { self.config.timeouts.message } else { Duration::ZERO };
        if heartbeat.is_zombie(last_received, patience, now) {
            return self.zombie(now);
        }
        let room_at = connection.window.next_scheduled(now);
        if room_at > now {
            return heartbeat.postpone(room_at);
        }
        connection.window.record_scheduled(now);
        heartbeat.sent_scheduled(now);
        self.send_heartbeat();
    }

    /// "immediately terminate the connection with any close code besides 1000 or 1001, then reconnect and attempt to
    /// Resume" (Discord Docs, Gateway > Sending Heartbeats). Nobody is there to answer a close frame: the socket is
    /// dropped at once.
    fn zombie(&mut self, now: Instant) {
        self.stats.zombies += 1;
        self.close(CloseFrame::resumable("heartbeats unanswered"), DisconnectReason::Zombie, false, now);
        self.outputs.push_back(Output::Disconnect);
        self.finish_closing(now);
    }

    /// The owner of the socket reads it again: what was not read is not held against the server.
    fn resume_reading(&mut self, now: Instant) {
        self.reading_paused = false;
        if let State::Open(connection) = &mut self.state {
            connection.forgive(&self.config.timeouts, now);
        }
    }

    // ---- Small things -----------------------------------------------------------------------------------------

    /// What belongs to a session goes with it: its URL, and what went wrong with it.
    fn forget_session(&mut self) {
        self.end_session();
        self.gaps.session_ended();
        self.resume_url_failed = false;
        self.failed_resumes = None;
        self.undecodable_at = None;
    }

    /// Where in the session's events the connection is: the newest sequence number before what comes now. None where no
    /// session goes on yet: what comes before the Resume is no replay.
    fn place_in_session(&self) -> Option<u64> {
        match (&self.session, self.stage()?) {
            (Some(_), Stage::Resuming { from, reached, .. }) => Some(reached.unwrap_or(*from)),
            (Some(session), Stage::Ready) => Some(session.sequence),
            _ => None,
        }
    }

    /// A Resume would bring the message behind this sequence number again: only a new session gets past it.
    fn give_up_replay(&mut self, after: u64) {
        self.forget_session();
        self.event(Event::Notice(Notice::ReplayGivenUp { after }));
    }

    /// The connection that dispatches are taken from: open, or closing but intact.
    fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Open(connection) | State::Closing { connection, .. } => Some(connection),
            _ => None,
        }
    }

    fn stage(&self) -> Option<&Stage> {
        match &self.state {
            State::Open(connection) | State::Closing { connection, .. } => Some(&connection.stage),
            _ => None,
        }
    }
}
