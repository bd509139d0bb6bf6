//! Events that come by themselves: the background of the guilds, and floods that a test asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control::Target;
use crate::gateway::{Gateway, Timer};
use crate::intents;
use crate::session::Session;
use crate::shapes::events;
use crate::world::guild_id;

/// The least time between two ticks of one source: what is due within it comes at once.
const TICK: Duration = Duration::from_millis(1);
/// The number of the background source.
const BACKGROUND: u64 = 0;

/// Where events come from, by number.
pub(crate) struct Traffic {
    pumps: BTreeMap<u64, Pump>,
    count: u64,
    background_rate: f64,
}

struct Pump {
    started: Instant,
    rate: f64,
    emitted: u64,
    until: Option<Instant>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Background,
    Emit { target: Target, padding: usize },
}

impl Traffic {
    pub(crate) fn new(background_rate: f64) -> Self {
        Self { pumps: BTreeMap::new(), count: BACKGROUND, background_rate }
    }
}

impl Gateway {
    /// Starts the background, if there is to be one and it does not run.
    pub(crate) fn start_background(&mut self) {
        let rate = self.traffic.background_rate;
        if rate > 0.0 && !self.traffic.pumps.contains_key(&BACKGROUND) {
            self.start_pump(BACKGROUND, rate, None, Kind::Background);
        }
    }

    pub(crate) fn set_background(&mut self, rate: f64) {
        self.traffic.background_rate = rate;
        self.traffic.pumps.remove(&BACKGROUND);
        if !self.sessions.is_empty() {
            self.start_background();
        }
    }

    pub(crate) fn flood(&mut self, target: Target, rate: f64, duration: Duration, padding: usize) {
        self.traffic.count += 1;
        let until = self.now + duration;
        self.start_pump(self.traffic.count, rate, Some(until), Kind::Emit { target, padding });
    }

    /// A source is due, since `at`.
    pub(crate) fn pump(&mut self, at: Instant, number: u64) {
        let idle = self.sessions.is_empty();
        let Some(pump) = self.traffic.pumps.get_mut(&number) else {
            return;
        };
        if pump.next() > at && pump.until.is_none_or(|until| until > at) {
            // A timer of a source that was replaced since.
            return;
        }
        let end = pump.until.map_or(self.now, |until| until.min(self.now));
        // A little more, so that what is due at this very moment is not rounded away.
        let owed = (end.saturating_duration_since(pump.started).as_secs_f64() * pump.rate + 1e-6) as u64;
        let count = owed.saturating_sub(pump.emitted);
        pump.emitted += count;
        let kind = pump.kind;
        if pump.until.is_some_and(|until| until <= self.now) || (number == BACKGROUND && idle) {
            self.traffic.pumps.remove(&number);
        } else {
            let next = pump.next().max(self.now + TICK);
            let next = pump.until.map_or(next, |until| until.min(next));
            self.timers.set(next, Timer::Traffic(number));
        }
        for _ in 0..count {
            match kind {
                Kind::Background => self.background_event(),
                Kind::Emit { target, padding } => self.emit(target, 1, padding),
            }
        }
    }

    /// Dispatches `count` MESSAGE_CREATE to each session of a target.
    pub(crate) fn emit(&mut self, target: Target, count: u32, padding: usize) {
        let sessions = self.sessions_of(target);
        for _ in 0..count {
            for session in &sessions {
                let data = self.message_for(*session, padding);
                self.dispatch(*session, "MESSAGE_CREATE", data);
            }
        }
    }

    /// As [`emit`](Self::emit), but nothing is sent: the events are there for a replay.
    pub(crate) fn lose(&mut self, target: Target, count: u32) {
        let sessions = self.sessions_of(target);
        for _ in 0..count {
            for session in &sessions {
                let data = self.message_for(*session, 0);
                self.keep(*session, "MESSAGE_CREATE".into(), data.into());
            }
        }
    }

    fn message_for(&mut self, session: u64, padding: usize) -> String {
        let content = format!("event {}{}", self.counters.dispatches, "x".repeat(padding));
        let shard = self.sessions.get(&session).map_or((0, 1), |session| session.shard);
        let guild = self.world.guilds_of(shard).next().unwrap_or(0);
        events::message(&mut self.world, guild, 0, &content).to_string()
    }

    fn start_pump(&mut self, number: u64, rate: f64, until: Option<Instant>, kind: Kind) {
        let pump = Pump { started: self.now, rate, emitted: 0, until, kind };
        self.timers.set(pump.next(), Timer::Traffic(number));
        self.traffic.pumps.insert(number, pump);
    }

    fn background_event(&mut self) {
        let Some((guild, name, build)) = events::draw(&self.world, &mut self.random) else {
            return;
        };
        let needed = intents::needed(name);
        let intents_of = |number| self.sessions.get(&number).map_or(0, |session: &Session| session.intents);
        let receivers: Vec<(u64, bool)> = self
            .routes
            .of_guild(guild_id(guild))
            .into_iter()
            .map(|number| (number, intents_of(number)))
            .filter(|(_, intents)| needed.is_none_or(|bits| intents & bits != 0))
            .map(|(number, intents)| (number, intents & intents::MESSAGE_CONTENT != 0))
            .collect();
        // Most events are for nobody; those are not built.
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
            self.dispatch(number, name, data);
        }
    }
}

impl Pump {
    /// When the next event is due.
    fn next(&self) -> Instant {
        let seconds = (self.emitted + 1) as f64 / self.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1 << 32));
        self.started + wait
    }
}

/// A message as a bot sees it that may not read messages ("Discord Docs, Gateway > Message Content Intent").
fn without_content_of(message: &Value) -> Arc<str> {
    let mut message = message.clone();
    message["content"] = "".into();
    message.to_string().into()
}
