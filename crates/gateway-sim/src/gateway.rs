//! The gateway as a value: what clients do and the time go in, what to send and the next deadline come out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::config::Config;
use crate::connection::{Connection, Stage};
use crate::counters::Counters;
use crate::handshake::IdentifyGate;
use crate::io::{ClientMessage, ConnectionId, Output};
use crate::ledger::Ledger;
use crate::message::About;
use crate::parameters::Parameters;
use crate::routes::Routes;
use crate::rules::{Action, Point, Rules};
use crate::script::When;
use crate::session::Session;
use crate::timers::Timers;
use crate::trace::{Direction, Record};
use crate::traffic::Traffic;
use crate::wire::Encoder;
use crate::world::World;

/// A simulated Discord gateway without a clock, a socket or a thread. See the crate documentation for a loop around it.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) world: World,
    pub(crate) random: Rng,
    pub(crate) started: Instant,
    pub(crate) now: Instant,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) session_ids: BTreeMap<String, u64>,
    pub(crate) routes: Routes,
    pub(crate) timers: Timers<Timer>,
    pub(crate) gate: IdentifyGate,
    pub(crate) rules: Rules,
    /// How often each point was reached.
    pub(crate) reached: BTreeMap<Point, u64>,
    pub(crate) traffic: Traffic,
    pub(crate) member_requests: BTreeMap<u64, Instant>,
    pub(crate) counters: Counters,
    pub(crate) ledger: Ledger,
    pub(crate) down_until: Option<Instant>,
    pub(crate) outputs: VecDeque<(ConnectionId, Output)>,
    records: VecDeque<Record>,
    connection_count: u64,
    pub(crate) session_count: u64,
}

/// What can become due.
pub(crate) enum Timer {
    Accept(ConnectionId),
    Hello(ConnectionId),
    Ack(ConnectionId),
    Identify(ConnectionId, Value),
    Resume(ConnectionId, Value),
    /// The guilds of a session, some time after READY.
    Guilds(u64),
    /// The rest of a replay to a session, after this sequence.
    Replay(ConnectionId, u64, u64),
    Echo(ConnectionId, Option<u16>),
    /// The last moment for a heartbeat.
    Heartbeat(ConnectionId),
    /// The last moment for the echo of a close frame.
    Closed(ConnectionId),
    /// A session that has been without a connection for long enough ends.
    Expire(u64),
    Traffic(u64),
    /// A step of the script, and the connection that reached its point.
    Step(usize, Option<ConnectionId>),
    Up,
}

/// How long the echo of a close frame is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

impl Gateway {
    /// A gateway that starts at `now`, without connections.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut timers = Timers::new();
        for (index, step) in config.script.iter().enumerate() {
            if let When::Start(after) = step.when {
                timers.set(now + after, Timer::Step(index, None));
            }
        }
        Self {
            timers,
            world: World::new(config.guilds, config.members, config.unix_time_ms),
            random: Rng::with_seed(config.seed),
            gate: IdentifyGate::new(config.session_starts),
            traffic: Traffic::new(config.rate),
            config,
            started: now,
            now,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            session_ids: BTreeMap::new(),
            routes: Routes::default(),
            rules: Rules::default(),
            reached: BTreeMap::new(),
            member_requests: BTreeMap::new(),
            counters: Counters::default(),
            ledger: Ledger::default(),
            down_until: None,
            outputs: VecDeque::new(),
            records: VecDeque::new(),
            connection_count: 0,
            session_count: 0,
        }
    }

    /// A client asks for an upgrade. `target` is the request target or the whole URL. Its query counts, and whether it
    /// begins with [`Config::resume_url`].
    pub fn open(&mut self, target: &str, now: Instant) -> ConnectionId {
        self.handle_timeout(now);
        self.connection_count += 1;
        self.counters.connects += 1;
        let resume_url = self.config.resume_url.as_deref();
        self.counters.resume_url_connects += u64::from(resume_url.is_some_and(|url| target.starts_with(url)));
        let id = ConnectionId(self.connection_count);
        let parsed = Parameters::parse(target);
        let served = *parsed.as_ref().unwrap_or(&Parameters::DEFAULT);
        let encoder = Encoder::new(&served, &self.config);
        let mut connection = Connection::new(served, encoder, self.now);
        connection.unservable = parsed.is_err();
        self.connections.insert(id, connection);
        self.record(id, Direction::In, "open", About::default(), None, Some(target.as_bytes()));
        if self.is_down() {
            self.abort(id);
        } else {
            self.upgrade(id);
        }
        id
    }

    /// A client did something. Ignored if the connection is no longer known.
    pub fn receive(&mut self, id: ConnectionId, message: ClientMessage<'_>, now: Instant) {
        self.handle_timeout(now);
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let open = connection.stage == Stage::Open;
        match message {
            ClientMessage::Gone => self.gone(id),
            ClientMessage::Close(code) => self.client_closed(id, code),
            ClientMessage::Pong => self.record(id, Direction::In, "pong", About::default(), None, None),
            ClientMessage::TooLarge if open => self.close(id, 4002),
            ClientMessage::Text(text) if open => self.client_payload(id, text.as_bytes(), false),
            ClientMessage::Binary(bytes) if open => self.client_payload(id, bytes, true),
            ClientMessage::TooLarge | ClientMessage::Text(_) | ClientMessage::Binary(_) => {}
        }
    }

    /// Time has passed. Does everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let elapsed = self.now.saturating_duration_since(self.started);
        self.world.unix_time_ms =
            self.config.unix_time_ms.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        while let Some((at, timer)) = self.timers.pop(self.now) {
            self.fire(at, timer);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; `None` while nothing is to come.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<(ConnectionId, Output)> {
        self.outputs.pop_front()
    }

    /// The next record of the trace, if [`Config::trace`] is on.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// Everything that was dispatched, if [`Config::ledger`] is on.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How it was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets what READY and `GET /gateway` say, once the address is known.
    pub fn set_url(&mut self, url: String) {
        self.config.url = url;
    }

    /// Whether nobody can connect just now ([`Control::Down`](crate::Control::Down)).
    pub fn is_down(&self) -> bool {
        self.down_until.is_some()
    }

    /// The number of the session with this `session_id`.
    pub fn session_number(&self, session_id: &str) -> Option<u64> {
        self.session_ids.get(session_id).copied()
    }

    /// The number of the session that a connection is on.
    pub fn session_of(&self, id: ConnectionId) -> Option<u64> {
        self.connections.get(&id)?.session
    }

    /// The open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.keys().copied()
    }

    /// Sessions, connections and counters as JSON.
    pub fn state(&self) -> Value {
        let sessions: Vec<Value> = self.sessions.values().map(session_state).collect();
        let connections: Vec<Value> =
            self.connections.iter().map(|(id, connection)| connection_state(*id, connection)).collect();
        let counters = &self.counters;
        json!({
            "t": self.now.saturating_duration_since(self.started).as_secs_f64(),
            "down": self.is_down(),
            "rules": self.rules.len(),
            "sessions": sessions,
            "connections": connections,
            "connects": counters.connects, "resume_url_connects": counters.resume_url_connects, "identifies": counters.identifies, "readies": counters.readies,
            "resumes": counters.resumes, "resumed": counters.resumed,
            "resumed_while_old_open": counters.resumed_while_old_open, "heartbeats": counters.heartbeats,
            "dispatches": counters.dispatches, "replayed": counters.replayed,
            "invalid_sessions": counters.invalid_sessions, "commands": counters.commands,
            "client_closes": closes(&counters.client_closes), "server_closes": closes(&counters.server_closes),
        })
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
        if self.config.trace {
            self.records.push_back(Record {
                at: self.now,
                connection: Some(id),
                session: self.session_of(id),
                direction,
                kind,
                about,
                code,
                bytes: payload.filter(|_| kind == "message").map(<[u8]>::len),
                payload: payload.filter(|_| self.config.payloads).map(<[u8]>::to_vec),
            });
        }
    }

    fn fire(&mut self, at: Instant, timer: Timer) {
        match timer {
            Timer::Accept(id) => self.accept(id),
            Timer::Hello(id) => self.hello(id),
            Timer::Ack(id) => self.ack(id),
            Timer::Identify(id, data) => self.identify(id, &data),
            Timer::Resume(id, data) => self.resume(id, &data),
            Timer::Guilds(session) => self.guilds(session),
            Timer::Replay(id, session, sequence) => self.go_on_with_replay(id, session, sequence),
            Timer::Echo(id, code) => self.echo(id, code),
            Timer::Heartbeat(id) => self.check_heartbeat(id),
            Timer::Closed(id) => {
                let closing = |connection: &Connection| connection.stage == Stage::Closing;
                if self.connections.get(&id).is_some_and(closing) {
                    self.drop_connection(id);
                }
            }
            Timer::Expire(session) => self.expire(session),
            Timer::Traffic(pump) => self.pump(at, pump),
            Timer::Step(step, id) => self.step(step, id),
            Timer::Up => {
                if self.down_until.is_some_and(|until| until <= self.now) {
                    self.down_until = None;
                }
            }
        }
    }

    fn upgrade(&mut self, id: ConnectionId) {
        match self.instead(id, Point::Upgrade) {
            Some(Action::Delay(time)) => self.timers.set(self.now + time, Timer::Accept(id)),
            Some(Action::Ignore) => {}
            Some(Action::Http(response)) => {
                self.record(id, Direction::Out, "refuse", About::default(), Some(response.status), None);
                self.forget(id);
                self.outputs.push_back((id, Output::Refuse(response)));
            }
            Some(Action::Abort) => self.abort(id),
            Some(Action::Drop) => self.drop_connection(id),
            Some(action) => {
                self.accept_only(id);
                self.act(id, action);
            }
            None => self.accept(id),
        }
    }

    fn accept_only(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Open;
            self.outputs.push_back((id, Output::Accept));
            self.record(id, Direction::Out, "accept", About::default(), None, None);
        }
    }

    fn accept(&mut self, id: ConnectionId) {
        self.accept_only(id);
        self.connected(id);
    }

    /// The close frame was answered, or will not be.
    pub(crate) fn wait_for_echo(&mut self, id: ConnectionId) {
        self.timers.set(self.now + CLOSE_TIMEOUT, Timer::Closed(id));
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("config", &self.config)
            .field("connections", &self.connections.len())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

fn session_state(session: &Session) -> Value {
    json!({
        "session": session.number, "shard": [session.shard.0, session.shard.1], "intents": session.intents,
        "seq": session.sequence, "buffered": session.buffered(), "conn": session.connection.map(|id| id.0),
    })
}

fn connection_state(id: ConnectionId, connection: &Connection) -> Value {
    json!({
        "conn": id.0, "session": connection.session, "v": connection.parameters.version,
        "encoding": connection.parameters.encoding.to_string(),
        "compress": connection.parameters.compression.to_string(),
        "muted": connection.muted, "silent": connection.silent, "closing": connection.stage == Stage::Closing,
    })
}

fn closes(counts: &BTreeMap<u16, u64>) -> Value {
    counts
        .iter()
        .map(|(code, count)| (code.to_string(), Value::from(*count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
