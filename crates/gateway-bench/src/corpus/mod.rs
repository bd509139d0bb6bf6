//! Realistic traffic from a seed.
//!
//! The events that a bot of medium size receives: Hello, READY, GUILD_CREATEs with members, then small events. The mix
//! and the mean sizes are those used to measure existing clients. The shapes follow Discord's documentation. Users,
//! channels and messages recur as in real traffic, so that it compresses similarly.
//!
//! The same seed gives the same traffic, byte for byte, on every machine.

mod attachments;
mod channels;
mod draw;
mod events;
mod guilds;
mod interactions;
mod json;
mod messages;
mod people;
mod ready;
mod text;
mod time;

pub use events::MIX;

use std::vec;

use fastrand::Rng;
use serde_json::{Value, json};

use draw::skewed;
use guilds::Guild;
use time::Clock;

/// The id of the bot and of its application.
const APPLICATION: u64 = 81_384_788_765_712_384;
/// Events whose `d` ends with `guild_id`, after all other keys.
const GUILD_ID_LAST: [&str; 4] = ["MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_REACTION_ADD", "TYPING_START"];

/// One gateway payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The opcode.
    pub op: u8,
    /// The sequence number of a dispatch.
    pub s: Option<u64>,
    /// The name of a dispatch.
    pub t: Option<&'static str>,
    /// The data. Ids are text.
    pub d: Value,
}

impl Payload {
    /// The JSON that the gateway writes: `t`, `s`, `op`, `d`, and the keys in `d` in reverse alphabetical order.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(b"{\"t\":");
        match self.t {
            Some(name) => json::write_text(&mut out, name),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"s\":");
        json::write(&mut out, &self.s.into());
        out.extend_from_slice(b",\"op\":");
        json::write(&mut out, &self.op.into());
        out.extend_from_slice(b",\"d\":");
        match (self.t, &self.d) {
            (Some(name), Value::Object(fields)) if GUILD_ID_LAST.contains(&name) => {
                json::write_with_last(&mut out, fields, "guild_id");
            }
            _ => json::write(&mut out, &self.d),
        }
        out.push(b'}');
        out
    }

    /// The ETF that the gateway writes: `d`, `op`, `s`, `t`; the keys and the name are atoms, ids are integers.
    pub fn to_etf(&self) -> Vec<u8> {
        let (op, s, t) = (Value::from(self.op), Value::from(self.s), Value::from(self.t));
        gateway_sim::encode_etf([("d", &self.d), ("op", &op), ("s", &s), ("t", &t)].into_iter())
    }
}

/// The parameters of generated traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The seed. Another one gives other traffic of the same kind.
    pub seed: u64,
    /// The number of small events that follow the guilds.
    pub events: usize,
    /// The number of guilds of the bot.
    pub guilds: usize,
    /// The `resume_gateway_url` of READY.
    pub resume_gateway_url: String,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 200_000,
            guilds: 48,
            resume_gateway_url: "wss://gateway-us-east1-b.discord.gg".to_owned(),
        }
    }
}

impl Traffic {
    /// Hello, READY with `s` 1, a GUILD_CREATE for each guild, and the small events. Generated lazily.
    ///
    /// Without a guild there are no small events.
    pub fn payloads(self) -> impl Iterator<Item = Payload> {
        let mut random = Rng::with_seed(self.seed);
        let clock = Clock::new();
        let guilds: Vec<Guild> = sizes(&mut random, self.guilds)
            .into_iter()
            .map(|size| Guild::new(&mut random, clock.now_ms, size))
            .collect();
        let hello = Payload {
            op: 10,
            s: None,
            t: None,
            d: json!({"heartbeat_interval": 600_000, "_trace": ready::trace(&mut random)}),
        };
        let ids: Vec<u64> = guilds.iter().map(|guild| guild.id).collect();
        let ready = Payload {
            op: 0,
            s: Some(1),
            t: Some("READY"),
            d: ready::ready(&mut random, &ids, &self.resume_gateway_url, APPLICATION),
        };
        let events = if guilds.is_empty() { 0 } else { self.events };
        [hello, ready].into_iter().chain(Dispatches {
            random,
            clock,
            guilds,
            created: 0,
            names: Vec::new().into_iter(),
            events,
            sequence: 1,
        })
    }
}

/// Traffic of the usual 48 guilds. [`Traffic`] has more parameters.
pub fn traffic(seed: u64, events: usize) -> impl Iterator<Item = Payload> {
    Traffic { seed, events, ..Traffic::default() }.payloads()
}

/// The sizes of guilds with the mean 1: many small ones, a few that are four times the average.
fn sizes(random: &mut Rng, count: usize) -> Vec<f64> {
    let mut sizes: Vec<f64> = (0..count)
        .map(|place| (place as f64 + 0.5) / count as f64)
        .map(|place| 0.15 + 3.5 * place * place * place)
        .collect();
    let mean = sizes.iter().sum::<f64>() / count as f64;
    sizes.iter_mut().for_each(|size| *size /= mean);
    random.shuffle(&mut sizes);
    sizes
}

/// The guilds, then the small events.
struct Dispatches {
    random: Rng,
    clock: Clock,
    guilds: Vec<Guild>,
    created: usize,
    names: vec::IntoIter<&'static str>,
    events: usize,
    sequence: u64,
}

impl Iterator for Dispatches {
    type Item = Payload;

    fn next(&mut self) -> Option<Payload> {
        let Self { random, clock, guilds, .. } = self;
        let (name, d) = if let Some(guild) = guilds.get(self.created) {
            self.created += 1;
            ("GUILD_CREATE", guild.create(random, clock, APPLICATION))
        } else {
            self.events = self.events.checked_sub(1)?;
            let name = match self.names.next() {
                Some(name) => name,
                None => {
                    self.names = events::hundred(random).into_iter();
                    self.names.next()?
                }
            };
            clock.advance(random);
            let place = skewed(random, guilds.len());
            (name, events::build(name, &mut guilds[place], random, clock, APPLICATION))
        };
        self.sequence += 1;
        Some(Payload { op: 0, s: Some(self.sequence), t: Some(name), d })
    }
}
