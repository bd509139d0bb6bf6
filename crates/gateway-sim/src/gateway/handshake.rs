//! Hello, Identify and Resume: how a connection gets its session.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Gateway;
use crate::identify_gate::Start;
use crate::intents;
use crate::io::{ConnectionId, Output};
use crate::message::About;
use crate::rules::{Action, Point};
use crate::session::Event;
use crate::shapes::{guilds, people};
use crate::timers::Timer;
use crate::trace::Direction;
use crate::world::{BOT_ID, guild_id};

impl Gateway {
    /// Handles an upgrade request.
    pub(super) fn upgrade(&mut self, id: ConnectionId) {
        match self.instead(id, Point::Upgrade) {
            Some(Action::Delay(time)) => self.board.timers.set(self.board.now + time, Timer::Accept(id)),
            Some(Action::Ignore) => {}
            Some(Action::Http(response)) => {
                let status = Some(response.status);
                self.board.record(id, Direction::Out, "refuse", About::default(), status, None);
                self.board.end(id, Output::Refuse(response));
            }
            Some(Action::Abort) => self.board.abort(id),
            Some(Action::Drop) => self.board.drop_connection(id),
            Some(action) => {
                self.board.accept(id);
                self.act(id, action);
            }
            None => self.accept(id),
        }
    }

    pub(super) fn accept(&mut self, id: ConnectionId) {
        self.board.accept(id);
        self.connected(id);
    }

    /// Handles an open WebSocket.
    fn connected(&mut self, id: ConnectionId) {
        let Some(connection) = self.board.connection(id) else {
            return;
        };
        if connection.unservable {
            return self.board.close(id, 4002);
        }
        if !matches!(connection.parameters.version, 9 | 10) {
            return self.board.close(id, 4012);
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
            self.board.timers.set(self.board.now + delay, Timer::Hello(id));
        }
    }

    pub(super) fn hello(&mut self, id: ConnectionId) {
        if self.board.connection(id).is_none() {
            return;
        }
        self.board.hello(id, self.config.heartbeat_interval, self.config.missed_heartbeats);
        if let Some(action) = self.instead(id, Point::Hello) {
            self.act(id, action);
        }
    }

    /// Handles opcode 2. See
    /// [Discord Docs, Gateway > Identifying](https://discord.com/developers/docs/events/gateway#identifying).
    pub(super) fn identify_received(&mut self, id: ConnectionId, data: Value) {
        self.board.counters.identifies += 1;
        if let Some(connection) = self.board.connection_mut(id) {
            connection.shard = shard(&data["shard"]).ok().map(|shard| shard.map_or(0, |(id, _)| id));
        }
        if self.board.session_of(id).is_some() {
            return self.board.close(id, 4005);
        }
        match self.instead(id, Point::Identify) {
            None => self.identify(id, &data),
            Some(Action::Ignore) => {}
            Some(Action::Delay(delay)) => {
                self.board.timers.set(self.board.now + delay, Timer::Identify(id, data));
            }
            Some(action) => self.act(id, action),
        }
    }

    pub(super) fn identify(&mut self, id: ConnectionId, data: &Value) {
        if self.board.session_of(id).is_some() || !self.board.is_open(id) {
            return;
        }
        let Some(token) = data["token"].as_str().filter(|_| data["properties"].is_object()) else {
            return self.board.close(id, 4001);
        };
        if !self.config.accepts(token) {
            return self.board.close(id, 4004);
        }
        let Ok(asked) = shard(&data["shard"]) else {
            return self.board.close(id, 4010);
        };
        let shard = asked.unwrap_or((0, 1));
        if self.world.guild_count(shard) > self.config.guilds_per_shard {
            return self.board.close(id, 4011);
        }
        let Some(intents) = data["intents"].as_u64().filter(|bits| bits & !intents::KNOWN == 0) else {
            return self.board.close(id, 4013);
        };
        if intents & self.config.disallowed_intents != 0 {
            return self.board.close(id, 4014);
        }
        match self.gate.start(shard.0, &self.config, self.board.now) {
            Start::Granted => {}
            Start::TooSoon => return self.board.invalid(id, false),
            Start::Exhausted => return self.board.close(id, 4004),
        }
        if data["compress"].as_bool() == Some(true)
            && let Some(connection) = self.board.connection_mut(id)
        {
            connection.encoder.compress_payloads();
        }
        let number = self.new_session(shard, intents);
        self.board.attach(id, number);
        self.ready(id, number, asked);
    }

    /// Handles opcode 6. See
    /// [Discord Docs, Gateway > Resuming](https://discord.com/developers/docs/events/gateway#resuming).
    pub(super) fn resume_received(&mut self, id: ConnectionId, data: Value) {
        self.board.counters.resumes += 1;
        let session = data["session_id"].as_str().and_then(|session| self.session_number(session));
        let shard = session.and_then(|number| self.board.sessions.get(number)).map(|session| session.shard.0);
        if let Some(connection) = self.board.connection_mut(id) {
            connection.shard = shard;
        }
        if self.board.session_of(id).is_some() {
            return self.board.close(id, 4005);
        }
        match self.instead(id, Point::Resume) {
            None => self.resume(id, &data),
            Some(Action::Ignore) => {}
            Some(Action::Delay(delay)) => {
                self.board.timers.set(self.board.now + delay, Timer::Resume(id, data));
            }
            Some(action) => self.act(id, action),
        }
    }

    pub(super) fn resume(&mut self, id: ConnectionId, data: &Value) {
        if self.board.session_of(id).is_some() || !self.board.is_open(id) {
            return;
        }
        let (Some(token), Some(session_id), Some(sequence)) =
            (data["token"].as_str(), data["session_id"].as_str(), data["seq"].as_u64())
        else {
            return self.board.close(id, 4001);
        };
        if !self.config.accepts(token) {
            return self.board.close(id, 4004);
        }
        let Some(number) = self.session_number(session_id) else {
            return self.board.invalid(id, false);
        };
        let Some(session) = self.board.sessions.get(number) else {
            return self.board.invalid(id, false);
        };
        if sequence > session.sequence {
            return self.board.close(id, 4007);
        }
        let Some(events) = session.replay(sequence) else {
            self.board.end_session(number);
            return self.board.invalid(id, false);
        };
        if let Some(old) = session.connection {
            self.board.counters.resumed_while_old_open += 1;
            self.board.note(old, "resumed_while_old_open");
            self.board.detach(old);
            self.board.close(old, 4000);
        }
        self.board.attach(id, number);
        let rule = self.reached(id, Point::Replay);
        let stop = rule.as_ref().map_or(usize::MAX, |rule| rule.after);
        let (first, rest) = events.split_at(stop.min(events.len()));
        self.replay(id, first);
        match rule.map(|rule| rule.action) {
            None => {}
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => {
                if let Some(connection) = self.board.connection_mut(id) {
                    connection.replaying = true;
                }
                let sequence = first.last().map_or(sequence, |event| event.sequence);
                return self.board.timers.set(self.board.now + delay, Timer::Replay(id, number, sequence));
            }
            Some(action @ (Action::Reconnect | Action::Bytes(_))) => self.act(id, action),
            Some(action) => return self.act(id, action),
        }
        self.replay(id, rest);
        self.resumed(id, number);
    }

    /// Sends the rest of a delayed replay, with the events since.
    pub(super) fn continue_replay(&mut self, id: ConnectionId, number: u64, sequence: u64) {
        let Some(session) = self.board.sessions.get(number).filter(|session| session.connection == Some(id))
        else {
            return;
        };
        let Some(events) = session.replay(sequence) else {
            return self.board.invalid(id, false);
        };
        if let Some(connection) = self.board.connection_mut(id) {
            connection.replaying = false;
        }
        self.replay(id, &events);
        self.resumed(id, number);
    }

    fn replay(&mut self, id: ConnectionId, events: &[Event]) {
        for event in events {
            self.board.counters.replayed += 1;
            self.board.send_event(id, event);
        }
    }

    fn resumed(&mut self, id: ConnectionId, number: u64) {
        self.board.counters.resumed += 1;
        self.board.dispatch(number, "RESUMED", json!({"_trace": ["simulated-gateway"]}).to_string());
        if let Some(action) = self.instead(id, Point::Resumed) {
            self.act(id, action);
        }
    }

    fn new_session(&mut self, shard: (u32, u32), intents: u64) -> u64 {
        let id = format!("{:032x}", self.random.u128(..));
        let guilds = usize::try_from(self.world.guild_count(shard)).unwrap_or(usize::MAX);
        // The bound that staff once named.
        let limit = self.config.replay_limit.unwrap_or(guilds.saturating_mul(75).clamp(100, 3500));
        let number = self.board.sessions.start(id, shard, intents, limit.max(1), self.board.now);
        self.traffic.start_background(&mut self.board.timers, self.board.now);
        number
    }

    fn ready(&mut self, id: ConnectionId, number: u64, asked: Option<(u32, u32)>) {
        let Some(session) = self.board.sessions.get(number) else {
            return;
        };
        let shard = session.shard;
        let version = self.board.connection(id).map_or(10, |connection| connection.parameters.version);
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
        self.board.counters.readies += 1;
        self.board.dispatch(number, "READY", data.to_string());
        match self.instead(id, Point::Ready) {
            None => {}
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => {
                return self.board.timers.set(self.board.now + delay, Timer::Guilds(number));
            }
            Some(action) => self.act(id, action),
        }
        self.guilds(number);
    }

    /// Dispatches a GUILD_CREATE for each guild of a session.
    pub(super) fn guilds(&mut self, number: u64) {
        let Some(session) = self.board.sessions.get(number) else {
            return;
        };
        let (shard, wanted) = (session.shard, session.intents);
        if wanted & intents::GUILDS == 0 {
            return;
        }
        let both = intents::GUILD_MEMBERS | intents::GUILD_PRESENCES;
        for guild in self.world.guilds_of(shard) {
            let data: Arc<str> = guilds::guild(&self.world, guild, wanted & both == both).to_string().into();
            self.board.dispatch(number, "GUILD_CREATE", data);
        }
    }
}

/// `[id, count]`. `None` if absent, `Err` if invalid.
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
