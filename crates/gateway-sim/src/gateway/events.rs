//! The events that the gateway makes: the background of the guilds, and those that a test asked for.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::Gateway;
use crate::control::Target;
use crate::intents;
use crate::session::Session;
use crate::shapes::events;
use crate::traffic::Kind;
use crate::world::guild_id;

impl Gateway {
    /// A source of events is due, since `at`.
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

    /// Dispatches `count` MESSAGE_CREATE to each session of a target.
    pub(super) fn emit(&mut self, target: Target, count: u32, padding: usize) {
        let sessions = self.sessions_of(target);
        for _ in 0..count {
            for session in &sessions {
                let data = self.message_for(*session, padding);
                self.board.dispatch(*session, "MESSAGE_CREATE", data);
            }
        }
    }

    /// As [`emit`](Self::emit), but nothing is sent: the events are there for a replay.
    pub(super) fn lose(&mut self, target: Target, count: u32) {
        let sessions = self.sessions_of(target);
        for _ in 0..count {
            for session in &sessions {
                let data = self.message_for(*session, 0);
                self.board.keep(*session, "MESSAGE_CREATE".into(), data.into());
            }
        }
    }

    fn message_for(&mut self, session: u64, padding: usize) -> String {
        let content = format!("event {}{}", self.board.counters.dispatches, "x".repeat(padding));
        let shard = self.board.sessions.get(session).map_or((0, 1), |session| session.shard);
        let guild = self.world.guilds_of(shard).next().unwrap_or(0);
        events::message(&mut self.world, guild, 0, &content).to_string()
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
        // Most events have no receiver; those are not built.
        if receivers.is_empty() {
            return;
        }
        let data = build(&mut self.world, &mut self.random, guild);
        let whole: Arc<str> = data.to_string().into();
        let mut without_content: Option<Arc<str>> = None;
        for (number, sees_content) in receivers {
            let data = if sees_content || data.get("content").is_none() {
                whole.clone()
            } else {
                without_content.get_or_insert_with(|| without_content_of(&data)).clone()
            };
            self.board.dispatch(number, name, data);
        }
    }
}

/// A message as a bot sees it that may not read messages.
/// See [Discord Docs/Gateway, Message Content Intent](https://discord.com/developers/docs/events/gateway#message-content-intent).
fn without_content_of(message: &Value) -> Arc<str> {
    let mut message = message.clone();
    message["content"] = "".into();
    message.to_string().into()
}
