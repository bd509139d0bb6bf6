//! The gateway as a value: client messages and the time go in, outputs and the next deadline come out.
//!
//! [`Switchboard`] holds the connections and the sessions, [`Faults`] the faults of each point. The gateway asks the
//! faults at each point, then changes the switchboard. The submodules are the handshake, client payloads, control
//! commands, and the gateway's own events.

mod control;
mod events;
mod handshake;
mod payloads;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::commands::Commands;
use crate::config::Config;
use crate::connection::{Connection, Stage};
use crate::counters::Counters;
use crate::faults::Faults;
use crate::http::Request;
use crate::identify_gate::IdentifyGate;
use crate::io::{ClientMessage, ConnectionId, Output};
use crate::ledger::Ledger;
use crate::message::About;
use crate::parameters::Parameters;
use crate::response::Response;
use crate::rest;
use crate::rules::{Action, Point, Rule};
use crate::script::When;
use crate::session::Session;
use crate::switchboard::Switchboard;
use crate::timers::Timer;
use crate::trace::{Direction, Record};
use crate::traffic::Traffic;
use crate::wire::{Encoder, Payload};
use crate::world::World;

/// A simulated Discord gateway without a clock, a socket or a thread. The crate documentation shows a loop around it.
pub struct Gateway {
    config: Config,
    started: Instant,
    board: Switchboard,
    faults: Faults,
    gate: IdentifyGate,
    commands: Commands,
    traffic: Traffic,
    world: World,
    random: Rng,
}

impl Gateway {
    /// Creates a gateway that starts at `now`, without connections.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut board = Switchboard::new(&config, now);
        for (index, step) in config.script.iter().enumerate() {
            if let When::Start(after) = step.when {
                board.timers.set(now + after, Timer::Step(index, None));
            }
        }
        Self {
            board,
            started: now,
            faults: Faults::default(),
            gate: IdentifyGate::new(config.session_starts),
            commands: Commands::default(),
            traffic: Traffic::new(config.rate),
            world: World::new(config.guilds, config.members, config.unix_time_ms),
            random: Rng::with_seed(config.seed),
            config,
        }
    }

    /// Handles an upgrade request. `target` is the request target or the whole URL. The gateway reads its query, and
    /// whether it begins with [`Config::resume_url`].
    pub fn open(&mut self, target: &str, now: Instant) -> ConnectionId {
        self.handle_timeout(now);
        self.board.counters.connects += 1;
        let resume_url = self.config.resume_url.as_deref();
        let at_resume_url = resume_url.is_some_and(|url| target.starts_with(url));
        self.board.counters.resume_url_connects += u64::from(at_resume_url);
        let parsed = Parameters::parse(target);
        let served = *parsed.as_ref().unwrap_or(&Parameters::DEFAULT);
        let encoder = Encoder::new(&served, &self.config);
        let mut connection = Connection::new(served, encoder, self.board.now);
        connection.unservable = parsed.is_err();
        let id = self.board.connect(connection);
        self.board.record(id, Direction::In, "open", About::default(), None, Some(target.as_bytes()));
        if self.is_down() {
            self.board.abort(id);
        } else {
            self.upgrade(id);
        }
        id
    }

    /// Handles a client's message. Ignored if the connection no longer exists.
    pub fn receive(&mut self, id: ConnectionId, message: ClientMessage<'_>, now: Instant) {
        self.handle_timeout(now);
        if self.board.connection(id).is_none() {
            return;
        }
        let open = self.board.is_open(id);
        match message {
            ClientMessage::Gone => self.board.gone(id),
            ClientMessage::Close(code) => self.client_closed(id, code),
            ClientMessage::Pong => self.board.record(id, Direction::In, "pong", About::default(), None, None),
            ClientMessage::TooLarge if open => self.board.close(id, 4002),
            ClientMessage::Text(text) if open => self.client_payload(id, text.as_bytes(), false),
            ClientMessage::Binary(bytes) if open => self.client_payload(id, bytes, true),
            ClientMessage::TooLarge | ClientMessage::Text(_) | ClientMessage::Binary(_) => {}
        }
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.board.now = self.board.now.max(now);
        let elapsed = self.board.now.saturating_duration_since(self.started);
        self.world.unix_time_ms =
            self.config.unix_time_ms.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        while let Some((at, timer)) = self.board.timers.pop(self.board.now) {
            self.fire(at, timer);
        }
    }

    /// The time of the next call of [`handle_timeout`](Self::handle_timeout). `None` if nothing is scheduled.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.board.timers.next()
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<(ConnectionId, Output)> {
        self.board.poll_output()
    }

    /// The next record of the trace, if [`Config::trace`] is on.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.board.poll_record()
    }

    /// The record of all dispatches, if [`Config::ledger`] is on.
    pub fn ledger(&self) -> &Ledger {
        self.board.sessions.ledger()
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.board.counters
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets the URL in READY and `GET /gateway`, once the address is known.
    pub fn set_url(&mut self, url: String) {
        self.config.url = url;
    }

    /// Whether connects are refused at present ([`Control::Down`](crate::Control::Down)).
    pub fn is_down(&self) -> bool {
        self.faults.is_down()
    }

    /// The number of the session with this `session_id`.
    pub fn session_number(&self, session_id: &str) -> Option<u64> {
        self.board.sessions.number(session_id)
    }

    /// The number of the session of a connection.
    pub fn session_of(&self, id: ConnectionId) -> Option<u64> {
        self.board.session_of(id)
    }

    /// The open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.board.connections().map(|(id, _)| id)
    }

    /// Answers a GET of the HTTP API: `…/gateway`, `…/gateway/bot`, `…/users/@me`, `…/oauth2/applications/@me` and
    /// `…/applications/@me`, with any version prefix. See
    /// [Discord Docs, Gateway > Get Gateway Bot](https://discord.com/developers/docs/events/gateway#get-gateway-bot).
    ///
    /// `authorization` is the value of that header.
    pub fn rest(&self, path: &str, authorization: Option<&str>) -> Response {
        rest::answer(path, authorization, &self.config, self.gate.remaining(&self.config, self.board.now))
    }

    /// Answers an HTTP request that is not an upgrade.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        match request.method.as_str() {
            "GET" => self.rest(&request.target, request.header("Authorization")),
            _ => Response::client_error(405, "405: Method Not Allowed"),
        }
    }

    /// Sessions, connections and counters as JSON.
    pub fn state(&self) -> Value {
        let sessions: Vec<Value> = self.board.sessions.iter().map(session_state).collect();
        let connections: Vec<Value> =
            self.board.connections().map(|(id, connection)| connection_state(id, connection)).collect();
        let counters = &self.board.counters;
        json!({
            "t": self.board.now.saturating_duration_since(self.started).as_secs_f64(),
            "down": self.is_down(),
            "rules": self.faults.rules.len(),
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

    fn fire(&mut self, at: Instant, timer: Timer) {
        match timer {
            Timer::Accept(id) => self.accept(id),
            Timer::Hello(id) => self.hello(id),
            Timer::Ack(id) => self.board.ack(id),
            Timer::Identify(id, data) => self.identify(id, &data),
            Timer::Resume(id, data) => self.resume(id, &data),
            Timer::Guilds(session) => self.guilds(session),
            Timer::Replay(id, session, sequence) => self.continue_replay(id, session, sequence),
            Timer::Echo(id, code) => self.board.echo(id, code),
            Timer::Heartbeat(id) => self.board.check_heartbeat(id, self.config.missed_heartbeats),
            Timer::Closed(id) => self.board.give_up_echo(id),
            Timer::Expire(session) => self.board.expire(session),
            Timer::Traffic(source) => self.traffic_is_due(at, source),
            Timer::Step(step, id) => self.step(step, id),
            Timer::Up => self.faults.come_up(self.board.now),
        }
    }

    /// Handles a connection that reached a point: schedules the script's steps for it, and returns its rule.
    fn reached(&mut self, id: ConnectionId, point: Point) -> Option<Rule> {
        let shard = self.board.connection(id).and_then(|connection| connection.shard);
        let rule = self.faults.reach(point, shard);
        for (index, after) in self.faults.steps(&self.config.script, point) {
            self.board.timers.set(self.board.now + after, Timer::Step(index, Some(id)));
        }
        rule
    }

    /// The action of a rule at a point, in place of the usual one. A byte fault is set here, and the usual action
    /// follows.
    fn instead(&mut self, id: ConnectionId, point: Point) -> Option<Action> {
        match self.reached(id, point)?.action {
            Action::Bytes(fault) => {
                self.act(id, Action::Bytes(fault));
                None
            }
            action => Some(action),
        }
    }

    /// Performs the action of a rule. The caller handles `Ignore`, `Delay` and `Http`.
    fn act(&mut self, id: ConnectionId, action: Action) {
        match action {
            Action::Close(code) => self.board.close_with(id, code),
            Action::Drop => self.board.drop_connection(id),
            Action::Abort => self.board.abort(id),
            Action::Invalid(resumable) => self.board.invalid(id, resumable),
            Action::Reconnect => self.board.send(id, &Payload::control(7, "null")),
            Action::Silence => self.board.silence(id),
            Action::Bytes(fault) => self.board.put(id, Output::Bytes(fault)),
            Action::Ignore | Action::Delay(_) | Action::Http(_) => {}
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("config", &self.config)
            .field("connections", &self.board.connections().len())
            .field("sessions", &self.board.sessions.len())
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
