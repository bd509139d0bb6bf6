//! An open connection: from Hello to READY, heartbeats, commands.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::close::Close;
use super::context::Context;
use crate::connection::{OpenConnection, OpenStage};
use crate::disconnect::DisconnectReason;
use crate::heartbeat::{Heartbeat, LONGEST_INTERVAL, SHORTEST_INTERVAL};
use crate::identify::{IdentifyRefused, RefusalCause};
use crate::outgoing::{self, Identify};
use crate::payload::{Inbound, InboundPayload, ReadMessage, Reading};
use crate::{CloseFrame, Event, Notice, Output, StopReason};

/// The result of an input: the connection continues, or the shard closes it.
pub(super) type Flow = ControlFlow<Close>;

impl OpenConnection {
    // ---- Messages ---------------------------------------------------------------------------------------------

    pub(super) fn message(&mut self, message: ReadMessage, cx: &mut Context, now: Instant) -> Flow {
        cx.stats.messages += 1;
        cx.stats.message_bytes += message.bytes as u64;
        self.last_received = now;
        self.called_late = false;
        self.message_under_way = matches!(message.reading, Reading::Part);
        match message.reading {
            Reading::Part => Continue(()),
            Reading::Payload(payload) => self.payload(payload, cx, now),
            Reading::TooLarge => Break(self.too_large(cx)),
            Reading::Undecodable { detail, inflated_bytes } => {
                if let Some(bytes) = inflated_bytes {
                    cx.stats.payloads += 1;
                    cx.stats.payload_bytes += bytes as u64;
                }
                Break(self.undecodable(&detail, cx))
            }
        }
    }

    fn payload(&mut self, payload: InboundPayload, cx: &mut Context, now: Instant) -> Flow {
        cx.stats.payloads += 1;
        cx.stats.payload_bytes += payload.bytes as u64;
        if payload.unexpected {
            cx.notice(Notice::UnexpectedFormat);
        }
        if payload.trailing > 0 {
            cx.notice(Notice::TrailingBytes { count: payload.trailing });
        }
        match payload.content {
            Inbound::Dispatch(dispatch) => return self.dispatch(dispatch, cx, now),
            Inbound::HeartbeatRequest => self.heartbeat_requested(now),
            Inbound::Reconnect => return Break(reconnect_requested()),
            Inbound::InvalidSession { resumable } => return Break(invalid_session(resumable, cx)),
            Inbound::Hello { interval_ms } => self.hello(interval_ms, cx, now),
            Inbound::HeartbeatAck => self.acknowledged(cx, now),
            // New opcodes appear without announcement, and are no reason to close the connection.
            Inbound::Unknown(unknown) => cx.event(Event::Unknown(unknown)),
        }
        Continue(())
    }

    /// The stream is corrupt, or its payload is malformed: "reconnect" (close code 4000) and resume. If the replay fails at the
    /// same place again, only a new session gets past it.
    fn undecodable(&self, detail: &str, cx: &mut Context) -> Close {
        let detail = cx.secrets().clean(detail);
        cx.stats.undecodable += 1;
        if let Some(place) = self.place_in_session(cx)
            && cx.sessions.undecodable_after(place)
        {
            cx.give_up_replay(place);
        }
        Close::resumable("undecodable message", DisconnectReason::Undecodable(detail))
    }

    fn too_large(&self, cx: &mut Context) -> Close {
        self.give_up_replay_of_large_message(cx);
        Close::resumable("message too large", DisconnectReason::MessageTooLarge)
    }

    /// A replay would bring the message again.
    pub(super) fn give_up_replay_of_large_message(&self, cx: &mut Context) {
        if let Some(place) = self.place_in_session(cx) {
            cx.give_up_replay(place);
        }
    }

    /// The newest sequence number before the current message. `None` before Identify or Resume, where no replay arrives.
    fn place_in_session(&self, cx: &Context) -> Option<u64> {
        match (&cx.sessions.current, &self.stage) {
            (Some(_), OpenStage::Resuming { from, reached, .. }) => Some(reached.unwrap_or(*from)),
            (Some(session), OpenStage::Ready) => Some(session.sequence),
            _ => None,
        }
    }

    // ---- Hello and the beginning of a session -----------------------------------------------------------------

    /// "Once connected, the client should immediately receive an opcode 10 Hello" (Discord Docs, Gateway > Hello Event).
    fn hello(&mut self, asked_ms: Option<u64>, cx: &mut Context, now: Instant) {
        let interval = heartbeat_interval(asked_ms, cx);
        cx.event(Event::Hello { heartbeat_interval: interval });
        self.window.reserve_for(interval);
        match &mut self.heartbeat {
            // A second Hello on a connection changes the interval, and nothing else: a second Identify would be
            // answered with close code 4005.
            Some(heartbeat) => heartbeat.change_interval(interval, now),
            None => self.heartbeat = Some(Heartbeat::new(interval, cx.rng.f64(), now)),
        }
        if let OpenStage::AwaitingHello { .. } = self.stage
            && !self.resume(cx, now)
        {
            // Identifies are scarce: "1000 session starts in a 24-hour period" (Discord Docs, Gateway > Rate Limiting). The
            // identify gate says when. Heartbeats run meanwhile.
            self.stage = OpenStage::AwaitingIdentify;
            cx.outputs.push_back(Output::AcquireIdentify);
        }
    }

    /// "After the connection is open and your app is sending heartbeats, you should send an Identify event"
    /// (Discord Docs, Gateway > Identifying). A permit that is not awaited is not used: it may have been in flight when it was
    /// cancelled.
    pub(super) fn identify_granted(&mut self, cx: &mut Context, now: Instant) {
        if let OpenStage::AwaitingIdentify = self.stage {
            self.identify(cx, now);
        }
    }

    fn identify(&mut self, cx: &mut Context, now: Instant) {
        let timeouts = &cx.config.timeouts;
        let latest = now + timeouts.ready_at_most;
        self.stage = OpenStage::AwaitingReady { deadline: (now + timeouts.ready).min(latest), latest };
        let encoding = cx.config.encoding;
        let mut payload = Identify::new(&cx.config, cx.presence.as_ref()).encode(encoding);
        if payload.as_ref().is_ok_and(|payload| payload.len() > cx.config.limits.payload_bytes) {
            // The presence was changed to one that fits into its own command, but not into Identify.
            payload = Identify::new(&cx.config, cx.config.presence.as_ref()).encode(encoding);
        }
        let payload = payload.expect("the same configuration has made an Identify in `Machine::new`");
        cx.event(Event::Identifying);
        self.transmit(payload.into(), cx, now);
        cx.stats.identifies += 1;
        cx.retry.identify_sent();
    }

    /// A bot that spends more session starts than it has loses its token, so the shard stops. If the gate cannot be reached, the
    /// number of session starts is unknown, so the shard asks again, after its back-off.
    pub(super) fn identify_refused(&mut self, refused: IdentifyRefused) -> Flow {
        let OpenStage::AwaitingIdentify = self.stage else { return Continue(()) };
        let (words, stop) = match refused.cause {
            RefusalCause::Unreachable => ("identify gate unreachable", None),
            _ => ("no session start is left", Some(StopReason::IdentifyRefused(refused))),
        };
        let close = Close::resumable(words, DisconnectReason::IdentifyRefused(refused));
        Break(Close { stop, ..close })
    }

    /// "you should send a Resume event" after Hello, "with the `session_id` and sequence number"
    /// (Discord Docs, Gateway > Resuming). False: there is no session.
    fn resume(&mut self, cx: &mut Context, now: Instant) -> bool {
        let Some(session) = &cx.sessions.current else { return false };
        let from = cx.sessions.resume_from(session);
        let timeouts = &cx.config.timeouts;
        self.stage = OpenStage::Resuming {
            deadline: now + timeouts.resumed,
            latest: now + timeouts.message,
            from,
            delivered: session.sequence,
            replayed: 0,
            reached: None,
        };
        let payload = outgoing::resume(&cx.config.token, &session.id, from, cx.config.encoding);
        let payload = payload.expect("text and numbers can be written in any encoding");
        cx.event(Event::Resuming { sequence: from });
        cx.sessions.gaps.resume_sent();
        self.transmit(payload.into(), cx, now);
        cx.stats.resumes += 1;
        true
    }

    // ---- Heartbeats -------------------------------------------------------------------------------------------

    /// "The API may send opcode 1 Heartbeat […] your app should immediately send back another Heartbeat without waiting
    /// the remainder of the current interval" (Discord Docs, Gateway > Heartbeat Requests). It is sent after the timers have
    /// fired and before any command, within the rate limit also if the server asks without end.
    fn heartbeat_requested(&mut self, now: Instant) {
        self.window.request_heartbeat(now);
    }

    /// The application wants a heartbeat. It goes out as one that the server asks for. Before READY or RESUMED there is nothing that its
    /// acknowledgement could tell.
    pub(super) fn heartbeat_wanted(&mut self) {
        if let OpenStage::Ready = self.stage {
            self.window.want_heartbeat();
        }
    }

    /// "the API will respond with an opcode 11 Heartbeat ACK" (Discord Docs, Gateway > Sending Heartbeats).
    fn acknowledged(&mut self, cx: &mut Context, now: Instant) {
        let Some(heartbeat) = &mut self.heartbeat else { return };
        let Some((sent, latency)) = heartbeat.acknowledged(now) else { return };
        // In an outage the server may acknowledge for long before it sends READY: as long as it does, it is waited for,
        // but not for ever: it may have lost the Identify.
        if let OpenStage::AwaitingReady { deadline, latest } = &mut self.stage {
            let timeout = cx.config.timeouts.ready.max(heartbeat.interval() * 2);
            *deadline = (*deadline).max((now + timeout).min(*latest));
        }
        cx.stats.acknowledgements += 1;
        cx.event(Event::HeartbeatAcknowledged { sent, latency });
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self, cx: &mut Context, now: Instant) -> Flow {
        let timeouts = &cx.config.timeouts;
        match self.overdue(timeouts, now) {
            // The driver does not read, so the expected payload may have arrived.
            Some(_) if cx.reading_paused => self.extend_deadline(timeouts, now),
            Some(reason) => return Break(Close { deliver: true, ..Close::resumable("timed out", reason) }),
            None => {}
        }
        let Some(heartbeat) = &mut self.heartbeat else { return Continue(()) };
        heartbeat.note_lateness(now);
        if heartbeat.next() > now {
            return Continue(());
        }
        if cx.reading_paused {
            heartbeat.reset_missed();
        }
        let patience = if self.message_under_way { timeouts.message } else { Duration::ZERO };
        if heartbeat.is_zombie(self.last_received, patience, now) {
            return Break(zombie(cx));
        }
        let room_at = self.window.next_scheduled(now);
        if room_at > now {
            heartbeat.postpone(room_at);
            return Continue(());
        }
        self.window.record_scheduled(now);
        heartbeat.sent_scheduled(now);
        send_heartbeat(cx);
        Continue(())
    }

    // ---- Sending ----------------------------------------------------------------------------------------------

    /// Sends the heartbeats that the server asked for, and the one that the application wants, as far as the rate limit allows. They go before commands.
    pub(super) fn answer_heartbeat_requests(&mut self, cx: &mut Context, now: Instant) {
        while self.answer_heartbeat_request(now) {
            send_heartbeat(cx);
        }
    }

    /// Sends the commands of the application, as far as the rate limit allows.
    pub(super) fn flush_commands(&mut self, cx: &mut Context, now: Instant) {
        while matches!(self.stage, OpenStage::Ready)
            && cx.commands.len() > 0
            && self.window.next_command(now) <= now
            && let Some(command) = cx.commands.pop(now)
        {
            self.transmit(command, cx, now);
            cx.stats.commands += 1;
        }
    }

    /// Sends a message, and counts it against the send window.
    fn transmit(&mut self, payload: Bytes, cx: &mut Context, now: Instant) {
        self.window.record(now);
        cx.send(payload);
    }

    // ---- Lateness ---------------------------------------------------------------------------------------------

    /// The shard was called long after its deadline, so silence in that time does not mean a dead connection. A second late
    /// call with nothing received in between means that the connection is dead.
    pub(super) fn excuse_lateness(&mut self, late: Duration, cx: &mut Context, now: Instant) {
        if !self.called_late {
            self.called_late = true;
            self.restart_waits(&cx.config.timeouts, now);
            cx.notice(Notice::NotDriven { late });
        }
    }
}

/// The interval of Hello, clamped to the accepted range.
fn heartbeat_interval(asked_ms: Option<u64>, cx: &mut Context) -> Duration {
    let used = match asked_ms {
        Some(ms) => Duration::from_millis(ms).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
        // The usual value, since some heartbeat is better than none.
        None => Duration::from_millis(41_250),
    };
    if asked_ms.map(Duration::from_millis) != Some(used) {
        cx.notice(Notice::HeartbeatIntervalClamped { asked_ms, used });
    }
    used
}

/// Sends a heartbeat: "the last sequence number `s` received by the client. […] null if you have not yet received one"
/// (Discord Docs, Gateway > Sending Heartbeats). The send window reserves slots for the scheduled ones.
fn send_heartbeat(cx: &mut Context) {
    let payload = outgoing::heartbeat(cx.sessions.sequence(), cx.config.encoding);
    cx.send(payload.expect("a number or null can be written in any encoding").into());
    cx.stats.heartbeats += 1;
}

/// "The Reconnect event is sent when a client should reconnect to the gateway (and resume their existing session, if they have
/// one)" (Discord Docs, Gateway Events > Reconnect). May come in any state, also instead of Hello.
fn reconnect_requested() -> Close {
    let close = Close::resumable("reconnect requested", DisconnectReason::ReconnectRequested);
    Close { deliver: true, ..close }
}

/// "The inner `d` key is a boolean that indicates whether the session may be resumable" (Discord Docs, Gateway
/// Events > Invalid Session). May come in any state.
fn invalid_session(resumable: bool, cx: &mut Context) -> Close {
    cx.stats.invalid_sessions += 1;
    let reason = DisconnectReason::InvalidSession { resumable };
    if resumable {
        return Close::resumable("session to be resumed", reason);
    }
    cx.sessions.end();
    // There is no session left to keep, so the code may be the ordinary one.
    Close::new(CloseFrame { code: 1000, reason: "session invalid".into() }, reason)
}

/// "immediately terminate the connection with any close code besides 1000 or 1001, then reconnect and attempt to Resume"
/// (Discord Docs, Gateway > Sending Heartbeats). The server does not answer, so its close frame is not waited for.
fn zombie(cx: &mut Context) -> Close {
    cx.stats.zombies += 1;
    let close = Close::resumable("heartbeats unanswered", DisconnectReason::Zombie);
    Close { at_once: true, ..close }
}
