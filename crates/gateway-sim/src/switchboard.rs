//! Connections, sessions, and which session is on which connection: sends messages, and ends both.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::config::Config;
use crate::connection::{Connection, Stage};
use crate::counters::Counters;
use crate::io::{ConnectionId, Output};
use crate::message::{About, Message};
use crate::session::{Event, Expiry};
use crate::sessions::Sessions;
use crate::timers::{Timer, Timers};
use crate::trace::{Direction, Record, Records};
use crate::wire::{Encoder, Payload};

/// The time to wait for the echo of a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The code in counters for a close frame without a code.
pub(crate) const WITHOUT_CODE: u16 = 1005;

/// Connections and sessions, under one clock.
pub(crate) struct Switchboard {
    pub(crate) now: Instant,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) sessions: Sessions,
    session_expiry: Duration,
    connections: BTreeMap<ConnectionId, Connection>,
    connection_count: u64,
    outputs: VecDeque<(ConnectionId, Output)>,
    records: Records,
}

/// Queries, and access to the parts.
impl Switchboard {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            now,
            timers: Timers::default(),
            counters: Counters::default(),
            sessions: Sessions::new(config.ledger),
            session_expiry: config.session_expiry,
            connections: BTreeMap::new(),
            connection_count: 0,
            outputs: VecDeque::new(),
            records: Records { on: config.trace, payloads: config.payloads, ..Records::default() },
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<(ConnectionId, Output)> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_record(&mut self) -> Option<Record> {
        self.records.queue.pop_front()
    }

    pub(crate) fn put(&mut self, id: ConnectionId, output: Output) {
        self.outputs.push_back((id, output));
    }

    pub(crate) fn record(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        kind: &'static str,
        about: About,
        code: Option<u16>,
        payload: Option<&[u8]>,
    ) {
        if self.records.on {
            let session = self.session_of(id);
            self.records.queue.push_back(Record {
                at: self.now,
                connection: Some(id),
                session,
                direction,
                kind,
                about,
                code,
                bytes: payload.filter(|_| kind == "message").map(<[u8]>::len),
                payload: payload.filter(|_| self.records.payloads).map(<[u8]>::to_vec),
            });
        }
    }

    pub(crate) fn note(&mut self, id: ConnectionId, note: &'static str) {
        self.record(id, Direction::Note, note, About::default(), None, None);
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(crate) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub(crate) fn connections(&self) -> impl ExactSizeIterator<Item = (ConnectionId, &Connection)> {
        self.connections.iter().map(|(id, connection)| (*id, connection))
    }

    /// The number of the session of a connection.
    pub(crate) fn session_of(&self, id: ConnectionId) -> Option<u64> {
        self.connections.get(&id)?.session
    }

    /// Whether payloads may be sent on a connection.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.stage == Stage::Open)
    }

    fn is_silent(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.silent)
    }
}

/// Sending.
impl Switchboard {
    /// Sends a payload, in the encoding and compression of the connection.
    pub(crate) fn send(&mut self, id: ConnectionId, payload: &Payload<'_>) {
        self.send_by(id, |encoder| encoder.encode(payload));
    }

    /// Sends the encoder's messages, if the connection is open and not silent.
    pub(crate) fn send_by(&mut self, id: ConnectionId, encode: impl FnOnce(&mut Encoder) -> Vec<Message>) {
        if !self.is_open(id) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.silent) else {
            return;
        };
        for message in encode(&mut connection.encoder) {
            if self.records.on {
                let about = message.about.clone();
                self.record(id, Direction::Out, "message", about, None, Some(&message.payload));
            }
            self.put(id, Output::Send(message));
        }
    }

    pub(crate) fn send_event(&mut self, id: ConnectionId, event: &Event) {
        let payload =
            Payload { op: 0, sequence: Some(event.sequence), name: Some(&event.name), data: &event.data };
        self.send(id, &payload);
    }

    /// Dispatches an event of one session alone.
    pub(crate) fn dispatch(
        &mut self,
        session: u64,
        name: impl Into<Cow<'static, str>>,
        data: impl Into<Arc<str>>,
    ) {
        self.dispatch_shared(session, 0, name, data);
    }

    /// Numbers an event of a session, keeps it, and sends it if there is a connection. `shared` is its number in the
    /// ledger.
    pub(crate) fn dispatch_shared(
        &mut self,
        session: u64,
        shared: u64,
        name: impl Into<Cow<'static, str>>,
        data: impl Into<Arc<str>>,
    ) {
        let Some(event) = self.keep(session, shared, name.into(), data.into()) else {
            return;
        };
        let connection = self.sessions.get(session).and_then(|session| session.connection);
        // During a delayed replay it is sent later.
        if let Some(id) = connection
            && !self.connections.get(&id).is_some_and(|connection| connection.replaying)
        {
            self.send_event(id, &event);
        }
    }

    /// Numbers an event of a session, and keeps it for a replay.
    pub(crate) fn keep(
        &mut self,
        session: u64,
        shared: u64,
        name: Cow<'static, str>,
        data: Arc<str>,
    ) -> Option<Event> {
        let event = self.sessions.push(session, shared, name, data)?;
        self.counters.dispatches += 1;
        Some(event)
    }

    /// Sends Hello. The first one sets the deadline for a heartbeat.
    pub(crate) fn hello(&mut self, id: ConnectionId, interval: Duration, missed: Option<u32>) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let first = connection.heartbeat_interval.is_zero();
        connection.heartbeat_interval = interval;
        connection.last_heartbeat = now;
        let data = json!({
            "heartbeat_interval": u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            "_trace": ["[\"simulated-gateway\",{\"micros\":0.0}]"],
        });
        self.send(id, &Payload::control(10, &data.to_string()));
        if first {
            self.watch_heartbeat(id, missed);
        }
    }

    pub(crate) fn ack(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|connection| !connection.muted) {
            self.send(id, &Payload::control(11, "null"));
        }
    }

    /// Sets the deadline for a heartbeat.
    fn watch_heartbeat(&mut self, id: ConnectionId, missed: Option<u32>) {
        if let (Some(missed), Some(connection)) = (missed, self.connections.get(&id)) {
            let deadline = connection.last_heartbeat + connection.heartbeat_interval * missed;
            self.timers.set(deadline, Timer::Heartbeat(id));
        }
    }

    /// Closes a connection whose heartbeat is late.
    pub(crate) fn check_heartbeat(&mut self, id: ConnectionId, missed: Option<u32>) {
        let (Some(intervals), Some(connection)) = (missed, self.connections.get(&id)) else {
            return;
        };
        if !self.is_open(id) || connection.silent {
            return;
        }
        if connection.last_heartbeat + connection.heartbeat_interval * intervals <= self.now {
            self.close(id, 4009);
        } else {
            self.watch_heartbeat(id, missed);
        }
    }

    pub(crate) fn ping(&mut self, id: ConnectionId) {
        if self.is_open(id) {
            self.record(id, Direction::Out, "ping", About::default(), None, None);
            self.put(id, Output::Ping);
        }
    }

    pub(crate) fn mute(&mut self, id: ConnectionId, muted: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.muted = muted;
            self.note(id, if muted { "mute" } else { "unmute" });
        }
    }

    pub(crate) fn silence(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.silent = true;
            self.note(id, "silence");
            self.put(id, Output::Silence);
        }
    }

    /// Changes the encoders of these connections.
    pub(crate) fn each_encoder(&mut self, ids: &[ConnectionId], change: impl Fn(&mut Encoder)) {
        for id in ids {
            if let Some(connection) = self.connections.get_mut(id) {
                change(&mut connection.encoder);
            }
        }
    }
}

/// How connections and sessions start and end.
impl Switchboard {
    /// Adds a connection that has requested an upgrade.
    pub(crate) fn connect(&mut self, connection: Connection) -> ConnectionId {
        self.connection_count += 1;
        let id = ConnectionId(self.connection_count);
        self.connections.insert(id, connection);
        id
    }

    /// Accepts the upgrade request.
    pub(crate) fn accept(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Open;
            self.put(id, Output::Accept);
            self.record(id, Direction::Out, "accept", About::default(), None, None);
        }
    }

    /// Attaches a session to a connection.
    pub(crate) fn attach(&mut self, id: ConnectionId, number: u64) {
        if let Some(session) = self.sessions.get_mut(number) {
            session.connection = Some(id);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = Some(number);
        }
    }

    /// Detaches the session from its connection; from now on it can expire.
    pub(crate) fn detach(&mut self, id: ConnectionId) {
        let Some(number) = self.connections.get_mut(&id).and_then(|connection| connection.session.take())
        else {
            return;
        };
        let session = self.sessions.get_mut(number);
        if let Some(due) = session.and_then(|session| session.detach(self.now, self.session_expiry)) {
            self.timers.set(due, Timer::Expire(number));
        }
    }

    /// Removes a session that has been without a connection for too long.
    pub(crate) fn expire(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(number) else {
            return;
        };
        match session.expiry(self.now, self.session_expiry) {
            Expiry::Attached => {}
            Expiry::Due(at) => self.timers.set(at, Timer::Expire(number)),
            Expiry::Expired => self.end_session(number),
        }
    }

    /// Removes a session; a Resume of it is answered with opcode 9 `false`.
    pub(crate) fn end_session(&mut self, number: u64) {
        let Some(session) = self.sessions.end(number) else {
            return;
        };
        if let Some(connection) = session.connection.and_then(|id| self.connections.get_mut(&id)) {
            connection.session = None;
        }
    }

    /// Sends opcode 9. The connection stays open. See
    /// [Discord Docs, Gateway Events > Invalid Session](https://discord.com/developers/docs/events/gateway-events#invalid-session).
    pub(crate) fn invalid(&mut self, id: ConnectionId, resumable: bool) {
        let session = self.session_of(id);
        self.detach(id);
        if !resumable && let Some(session) = session {
            self.end_session(session);
        }
        self.counters.invalid_sessions += 1;
        self.send(id, &Payload::control(9, if resumable { "true" } else { "false" }));
    }

    /// Closes a connection with a code of the protocol. The session stays resumable, except after 4009.
    pub(crate) fn close(&mut self, id: ConnectionId, code: u16) {
        if code == 4009
            && let Some(session) = self.session_of(id)
        {
            self.end_session(session);
        }
        self.close_with(id, Some(code));
    }

    pub(crate) fn close_with(&mut self, id: ConnectionId, code: Option<u16>) {
        if !self.is_open(id) {
            return;
        }
        self.detach(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // A silent connection sends no close frame either.
        if connection.silent {
            return;
        }
        connection.stage = Stage::Closing;
        *self.counters.server_closes.entry(code.unwrap_or(WITHOUT_CODE)).or_default() += 1;
        let reason = code.map_or("", reason).to_owned();
        self.record(id, Direction::Out, "close", About::default(), code, None);
        self.put(id, Output::Close(code, reason));
        self.timers.set(self.now + CLOSE_TIMEOUT, Timer::Closed(id));
    }

    /// Ends a connection whose client did not answer the close frame in time.
    pub(crate) fn give_up_echo(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|connection| connection.stage == Stage::Closing) {
            self.drop_connection(id);
        }
    }

    /// Answers the client's close frame, and ends the connection.
    pub(crate) fn echo(&mut self, id: ConnectionId, code: Option<u16>) {
        if self.is_silent(id) {
            return;
        }
        self.record(id, Direction::Out, "close", About::default(), code, None);
        self.put(id, Output::Close(code, String::new()));
        self.drop_connection(id);
    }

    /// Handles a connection that ended without a close frame.
    pub(crate) fn gone(&mut self, id: ConnectionId) {
        self.record(id, Direction::In, "gone", About::default(), None, None);
        self.detach(id);
        self.end(id, Output::Drop);
    }

    /// Ends the TCP stream in an orderly way.
    pub(crate) fn drop_connection(&mut self, id: ConnectionId) {
        self.detach(id);
        self.record(id, Direction::Out, "drop", About::default(), None, None);
        self.end(id, Output::Drop);
    }

    /// Resets the TCP stream.
    pub(crate) fn abort(&mut self, id: ConnectionId) {
        self.reset(id, Output::Abort);
    }

    /// Sends half of the session's next event, then resets the TCP stream. `sent` is the number of outputs before the
    /// event. A Resume replays the event.
    pub(crate) fn cut(&mut self, id: ConnectionId, sent: usize) {
        let message = self.outputs.drain(sent..).find_map(|(_, output)| match output {
            Output::Send(message) => Some(message),
            _ => None,
        });
        self.reset(id, message.map_or(Output::Abort, Output::Cut));
    }

    /// The number of queued outputs.
    pub(crate) fn waiting_outputs(&self) -> usize {
        self.outputs.len()
    }

    fn reset(&mut self, id: ConnectionId, output: Output) {
        self.detach(id);
        self.record(id, Direction::Out, "abort", About::default(), None, None);
        self.end(id, output);
    }

    /// Removes a connection with its last output.
    pub(crate) fn end(&mut self, id: ConnectionId, output: Output) {
        self.connections.remove(&id);
        self.put(id, output);
    }
}

/// Discord's reasons for its close codes, if known.
fn reason(code: u16) -> &'static str {
    match code {
        4000 => "Unknown error.",
        4001 => "Unknown opcode.",
        4002 => "Error while decoding payload.",
        4003 => "Not authenticated.",
        4004 => "Authentication failed.",
        4005 => "Already authenticated.",
        4007 => "Invalid seq.",
        4008 => "Rate limited.",
        4009 => "Session timed out.",
        4010 => "Invalid shard.",
        4011 => "Sharding required.",
        4012 => "Invalid API version.",
        4013 => "Invalid intent(s).",
        4014 => "Disallowed intent(s).",
        _ => "",
    }
}
