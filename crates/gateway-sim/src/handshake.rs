//! Hello, Identify and Resume: how a connection comes by a session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Stage;
use crate::gateway::{Gateway, Timer};
use crate::intents;
use crate::io::ConnectionId;
use crate::rules::{Action, Point};
use crate::session::{Event, Session};
use crate::shapes::{guilds, people};
use crate::wire::Payload;
use crate::world::{BOT_ID, guild_id};

/// The window of `session_start_limit`.
const START_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// When each bucket last identified, and how many session starts are left.
pub(crate) struct IdentifyGate {
    last: BTreeMap<u32, Instant>,
    remaining: u32,
    window_ends: Option<Instant>,
}

impl IdentifyGate {
    pub(crate) fn new(remaining: u32) -> Self {
        Self { last: BTreeMap::new(), remaining, window_ends: None }
    }
}

impl Gateway {
    /// The WebSocket is open.
    pub(crate) fn connected(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.unservable {
            return self.close(id, 4002);
        }
        if !matches!(connection.parameters.version, 9 | 10) {
            return self.close(id, 4012);
        }
        let delay = match self.instead(id, Point::Connect) {
            None => self.config.hello_delay,
            Some(Action::Delay(delay)) => delay,
            Some(Action::Ignore) => return,
            Some(action) => return self.act(id, action),
        };
        if delay.is_zero() {
            self.hello(id);
        } else {
            self.timers.set(self.now + delay, Timer::Hello(id));
        }
    }

    pub(crate) fn hello(&mut self, id: ConnectionId) {
        let (interval, now) = (self.config.heartbeat_interval, self.now);
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
            self.watch_heartbeat(id);
        }
        if let Some(action) = self.instead(id, Point::Hello) {
            self.act(id, action);
        }
    }

    /// op 2 ("Discord Docs, Gateway > Identifying").
    pub(crate) fn identify_received(&mut self, id: ConnectionId, data: Value) {
        self.counters.identifies += 1;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.shard = shard(&data["shard"]).ok().map(|shard| shard.map_or(0, |(id, _)| id));
        }
        if self.session_of(id).is_some() {
            return self.close(id, 4005);
        }
        match self.instead(id, Point::Identify) {
            None => self.identify(id, &data),
            Some(Action::Ignore) => {}
            Some(Action::Delay(delay)) => {
                self.timers.set(self.now + delay, Timer::Identify(id, data));
            }
            Some(action) => self.act(id, action),
        }
    }

    pub(crate) fn identify(&mut self, id: ConnectionId, data: &Value) {
        if self.session_of(id).is_some() || !self.is_open(id) {
            return;
        }
        let Some(token) = data["token"].as_str().filter(|_| data["properties"].is_object()) else {
            return self.close(id, 4001);
        };
        if !self.config.accepts(token) {
            return self.close(id, 4004);
        }
        let Ok(asked) = shard(&data["shard"]) else {
            return self.close(id, 4010);
        };
        let shard = asked.unwrap_or((0, 1));
        if self.world.guild_count(shard) > self.config.guilds_per_shard {
            return self.close(id, 4011);
        }
        let Some(intents) = data["intents"].as_u64().filter(|bits| bits & !intents::KNOWN == 0) else {
            return self.close(id, 4013);
        };
        if intents & self.config.disallowed_intents != 0 {
            return self.close(id, 4014);
        }
        match self.start_session(shard.0) {
            Start::Granted => {}
            Start::TooSoon => return self.invalid(id, false),
            Start::Exhausted => return self.close(id, 4004),
        }
        if data["compress"].as_bool() == Some(true)
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.encoder.compress_payloads();
        }
        let number = self.new_session(shard, intents);
        self.attach(id, number);
        self.ready(id, number, asked);
    }

    /// op 6 ("Discord Docs, Gateway > Resuming").
    pub(crate) fn resume_received(&mut self, id: ConnectionId, data: Value) {
        self.counters.resumes += 1;
        let session = data["session_id"].as_str().and_then(|session| self.session_number(session));
        let shard = session.and_then(|number| self.sessions.get(&number)).map(|session| session.shard.0);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.shard = shard;
        }
        if self.session_of(id).is_some() {
            return self.close(id, 4005);
        }
        match self.instead(id, Point::Resume) {
            None => self.resume(id, &data),
            Some(Action::Ignore) => {}
            Some(Action::Delay(delay)) => {
                self.timers.set(self.now + delay, Timer::Resume(id, data));
            }
            Some(action) => self.act(id, action),
        }
    }

    pub(crate) fn resume(&mut self, id: ConnectionId, data: &Value) {
        if self.session_of(id).is_some() || !self.is_open(id) {
            return;
        }
        let (Some(token), Some(session_id), Some(sequence)) =
            (data["token"].as_str(), data["session_id"].as_str(), data["seq"].as_u64())
        else {
            return self.close(id, 4001);
        };
        if !self.config.accepts(token) {
            return self.close(id, 4004);
        }
        let Some(number) = self.session_number(session_id) else {
            return self.invalid(id, false);
        };
        let Some(session) = self.sessions.get(&number) else {
            return self.invalid(id, false);
        };
        if sequence > session.sequence {
            return self.close(id, 4007);
        }
        let Some(events) = session.replay(sequence) else {
            self.end_session(number);
            return self.invalid(id, false);
        };
        if let Some(old) = session.connection {
            self.counters.resumed_while_old_open += 1;
            self.note(old, "resumed_while_old_open");
            self.detach(old);
            self.close(old, 4000);
        }
        self.attach(id, number);
        let rule = self.reached(id, Point::Replay);
        let stop = rule.as_ref().map_or(usize::MAX, |rule| rule.after);
        let (first, rest) = events.split_at(stop.min(events.len()));
        self.replay(id, first);
        match rule.map(|rule| rule.action) {
            None => {}
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.replaying = true;
                }
                let sequence = first.last().map_or(sequence, |event| event.sequence);
                return self.timers.set(self.now + delay, Timer::Replay(id, number, sequence));
            }
            Some(action @ (Action::Reconnect | Action::Bytes(_))) => self.act(id, action),
            Some(action) => return self.act(id, action),
        }
        self.replay(id, rest);
        self.resumed(id, number);
    }

    /// The rest of a replay that was delayed, with what has come meanwhile.
    pub(crate) fn go_on_with_replay(&mut self, id: ConnectionId, number: u64, sequence: u64) {
        let Some(session) = self.sessions.get(&number).filter(|session| session.connection == Some(id))
        else {
            return;
        };
        let Some(events) = session.replay(sequence) else {
            return self.invalid(id, false);
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.replaying = false;
        }
        self.replay(id, &events);
        self.resumed(id, number);
    }

    fn replay(&mut self, id: ConnectionId, events: &[Event]) {
        for event in events {
            self.counters.replayed += 1;
            self.send_event(id, event);
        }
    }

    fn resumed(&mut self, id: ConnectionId, number: u64) {
        self.counters.resumed += 1;
        self.dispatch(number, "RESUMED", json!({"_trace": ["simulated-gateway"]}).to_string());
        if let Some(action) = self.instead(id, Point::Resumed) {
            self.act(id, action);
        }
    }

    /// Session starts that are left, and the time until they are all back.
    pub(crate) fn session_starts(&self) -> (u32, Duration) {
        match self.gate.window_ends {
            Some(end) if end > self.now => (self.gate.remaining, end - self.now),
            _ => (self.config.session_starts, Duration::ZERO),
        }
    }

    fn start_session(&mut self, shard_id: u32) -> Start {
        let key = shard_id % self.config.max_concurrency.max(1);
        let interval = self.config.identify_interval;
        let now = self.now;
        let too_soon = |last: &Instant| now.saturating_duration_since(*last) < interval;
        if self.gate.last.get(&key).is_some_and(too_soon) {
            return Start::TooSoon;
        }
        if self.gate.window_ends.is_none_or(|end| end <= now) {
            self.gate.window_ends = Some(now + START_WINDOW);
            self.gate.remaining = self.config.session_starts;
        }
        let Some(remaining) = self.gate.remaining.checked_sub(1) else {
            return Start::Exhausted;
        };
        self.gate.remaining = remaining;
        self.gate.last.insert(key, now);
        Start::Granted
    }

    fn new_session(&mut self, shard: (u32, u32), intents: u64) -> u64 {
        self.session_count += 1;
        let number = self.session_count;
        let id = format!("{:032x}", self.random.u128(..));
        let guilds = usize::try_from(self.world.guild_count(shard)).unwrap_or(usize::MAX);
        // The bound that staff once named.
        let limit = self.config.replay_limit.unwrap_or(guilds.saturating_mul(75).clamp(100, 3500));
        self.session_ids.insert(id.clone(), number);
        self.sessions.insert(number, Session::new(number, id, shard, intents, limit.max(1), self.now));
        self.routes.add(shard, number);
        if self.config.ledger {
            self.ledger.start();
        }
        self.start_background();
        number
    }

    fn attach(&mut self, id: ConnectionId, number: u64) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.connection = Some(id);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = Some(number);
        }
    }

    fn ready(&mut self, id: ConnectionId, number: u64, asked: Option<(u32, u32)>) {
        let Some(session) = self.sessions.get(&number) else {
            return;
        };
        let shard = session.shard;
        let version = self.connections.get(&id).map_or(10, |connection| connection.parameters.version);
        let unavailable: Vec<Value> = self
            .world
            .guilds_of(shard)
            .map(|guild| json!({"id": guild_id(guild).to_string(), "unavailable": true}))
            .collect();
        let resume_url = self.config.resume_url.as_ref().unwrap_or(&self.config.url);
        let mut data = json!({
            "v": version, "user": people::own_user(), "guilds": unavailable, "session_id": session.id,
            "session_type": "normal", "resume_gateway_url": resume_url,
            "application": {"id": BOT_ID.to_string(), "flags": 0}, "private_channels": [], "relationships": [],
            "presences": [], "guild_join_requests": [], "user_settings": {}, "user_settings_proto": null,
            "geo_ordered_rtc_regions": ["rotterdam", "stockholm"], "auth": {}, "_trace": ["simulated-gateway"],
        });
        if let Some((shard_id, count)) = asked {
            data["shard"] = json!([shard_id, count]);
        }
        self.counters.readies += 1;
        self.dispatch(number, "READY", data.to_string());
        match self.instead(id, Point::Ready) {
            None => {}
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => return self.timers.set(self.now + delay, Timer::Guilds(number)),
            Some(action) => self.act(id, action),
        }
        self.guilds(number);
    }

    /// A GUILD_CREATE for each guild of a session.
    pub(crate) fn guilds(&mut self, number: u64) {
        let Some(session) = self.sessions.get(&number) else {
            return;
        };
        let (shard, wanted) = (session.shard, session.intents);
        if wanted & intents::GUILDS == 0 {
            return;
        }
        let both = intents::GUILD_MEMBERS | intents::GUILD_PRESENCES;
        for guild in self.world.guilds_of(shard) {
            let data: Arc<str> = guilds::guild(&self.world, guild, wanted & both == both).to_string().into();
            self.dispatch(number, "GUILD_CREATE", data);
        }
    }

    /// Whether payloads may still be sent on a connection.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.stage == Stage::Open)
    }
}

enum Start {
    Granted,
    TooSoon,
    Exhausted,
}

/// `[id, count]`, or `None` if there is none. `Err` if it cannot be.
fn shard(value: &Value) -> Result<Option<(u32, u32)>, ()> {
    if value.is_null() {
        return Ok(None);
    }
    let number = |index: usize| value[index].as_u64().and_then(|number| u32::try_from(number).ok());
    match (value.as_array().map(Vec::len), number(0), number(1)) {
        (Some(2), Some(id), Some(count)) if id < count => Ok(Some((id, count))),
        _ => Err(()),
    }
}
