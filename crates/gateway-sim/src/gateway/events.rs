//! Events of the gateway: the background of the guilds, and those requested by commands.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::Gateway;
use crate::control::Target;
use crate::intents;
use crate::session::Session;
use crate::shapes::events;
use crate::traffic::Kind;
use crate::world::{channel_id, guild_id};

/// Whether an event is sent.
#[derive(Clone, Copy)]
pub(super) enum Delivery {
    Sent,
    /// Numbered and kept for a replay, but not sent.
    Kept,
}

impl Gateway {
    /// Handles a source of events that was due at `at`.
    pub(super) fn traffic_is_due(&mut self, at: Instant, source: u64) {
        let no_sessions = self.board.sessions.is_empty();
        let (timers, now) = (&mut self.board.timers, self.board.now);
        let Some((count, kind)) = self.traffic.due(source, at, no_sessions, timers, now) else {
            return;
        };
        for _ in 0..count {
            match kind {
                Kind::Background => self.background_event(),
                Kind::Emit { target, padding } => self.emit(target, 1, padding),
            }
        }
    }

    /// Dispatches `count` MESSAGE_CREATE to each session of a target. If the target is a guild, all sessions receive the
    /// same events, otherwise each its own.
    pub(super) fn emit(&mut self, target: Target, count: u32, padding: usize) {
        self.messages(target, count, padding, Delivery::Sent);
    }

    /// As [`emit`](Self::emit), but the events are only kept for a replay.
    pub(super) fn lose(&mut self, target: Target, count: u32) {
        self.messages(target, count, 0, Delivery::Kept);
    }

    fn messages(&mut self, target: Target, count: u32, padding: usize, delivery: Delivery) {
        let sessions = self.sessions_of(target);
        for _ in 0..count {
            if let Target::Guild(id) = target {
                if let (Some(guild), false) = (self.world.guild_number(id), sessions.is_empty()) {
                    let data = self.message_in(guild, padding);
                    self.happens(Some(id), &sessions, "MESSAGE_CREATE", &data, delivery);
                }
                continue;
            }
            for session in &sessions {
                let shard = self.board.sessions.get(*session).map_or((0, 1), |session| session.shard);
                let guild = self.world.guilds_of(shard).next();
                let data = self.message_in(guild.unwrap_or(0), padding);
                self.happens(guild.map(guild_id), &[*session], "MESSAGE_CREATE", &data, delivery);
            }
        }
    }

    fn message_in(&mut self, guild: u32, padding: usize) -> Arc<str> {
        let content = format!("event {}{}", self.board.counters.dispatches, "x".repeat(padding));
        events::message(&mut self.world, guild, 0, &content).to_string().into()
    }

    /// Dispatches an event of a guild to these sessions, under one number of the ledger.
    pub(super) fn happens(
        &mut self,
        guild: Option<u64>,
        sessions: &[u64],
        name: impl Into<Cow<'static, str>>,
        data: &Arc<str>,
        delivery: Delivery,
    ) {
        let (shared, name) = (self.board.sessions.begin_event(guild), name.into());
        for session in sessions {
            match delivery {
                Delivery::Sent => self.board.dispatch_shared(*session, shared, name.clone(), data.clone()),
                Delivery::Kept => _ = self.board.keep(*session, shared, name.clone(), data.clone()),
            }
        }
    }

    /// Changes the bot's voice channel in a guild. All sessions that serve the guild receive the state, regardless of
    /// their intents, and so does `also`.
    pub(super) fn bot_voice(&mut self, guild: u32, state: Value, also: Option<u64>) {
        let id = guild_id(guild);
        let mut sessions = self.sessions_of(Target::Guild(id));
        sessions.extend(also.filter(|also| !sessions.contains(also)));
        self.happens(Some(id), &sessions, "VOICE_STATE_UPDATE", &state.to_string().into(), Delivery::Sent);
        self.world.set_bot_voice(guild, state);
    }

    /// Moves the bot into the voice channel of a guild, or out of it.
    pub(super) fn move_bot(&mut self, guild: u32, joins: bool) {
        let channel = joins.then(|| channel_id(guild, 2).to_string());
        let voice_session = format!("{:032x}", self.random.u128(..));
        let state = events::voice_state(guild, 1, channel.as_deref(), &voice_session, false, false);
        self.bot_voice(guild, state, None);
    }

    fn background_event(&mut self) {
        let Some((guild, name, build)) = events::draw(&self.world, &mut self.random) else {
            return;
        };
        let needed = intents::needed(name);
        let wanted = |session: &&Session| needed.is_none_or(|bits| session.intents & bits != 0);
        let receivers: Vec<(u64, bool)> = self
            .board
            .sessions
            .of_guild(guild_id(guild))
            .filter(wanted)
            .map(|session| (session.number, session.intents & intents::MESSAGE_CONTENT != 0))
            .collect();
        // Events without receivers are common and not built.
        if receivers.is_empty() {
            return;
        }
        let data = build(&mut self.world, &mut self.random, guild);
        let whole: Arc<str> = data.to_string().into();
        let mut without_content: Option<Arc<str>> = None;
        let shared = self.board.sessions.begin_event(Some(guild_id(guild)));
        for (number, sees_content) in receivers {
            let data = if sees_content || data.get("content").is_none() {
                whole.clone()
            } else {
                without_content.get_or_insert_with(|| without_content_of(&data)).clone()
            };
            self.board.dispatch_shared(number, shared, name, data);
        }
    }
}

/// A message as seen by a bot without the message content intent. See
/// [Discord Docs, Gateway > Message Content Intent](https://discord.com/developers/docs/events/gateway#message-content-intent).
fn without_content_of(message: &Value) -> Arc<str> {
    let mut message = message.clone();
    message["content"] = "".into();
    message.to_string().into()
}
