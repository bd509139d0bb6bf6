//! The commands of a bot with a session: opcodes 3, 4, 8, 31 and 43. See
//! [Discord Docs, Gateway Events > Send Events](https://discord.com/developers/docs/events/gateway-events#send-events).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::intents;
use crate::shapes::{events, guilds, people};
use crate::world::{World, guild_id, member_id, member_number};

/// The shortest time between two requests for all members of one guild.
const MEMBER_REQUEST_INTERVAL: Duration = Duration::from_secs(30);
/// The most members of one GUILD_MEMBERS_CHUNK.
const CHUNK: usize = 1000;
/// The most ids of one request, and the most members that a search returns.
const FOUND_AT_MOST: usize = 100;

/// The gateway's answer to a command.
pub(crate) enum Answer {
    /// Dispatches to the session: their names, and their `d` as JSON text.
    Events(Vec<(&'static str, String)>),
    /// The bot changes its voice channel, or leaves it: the state that all sessions of the guild receive, and what only
    /// the requesting session receives in addition.
    Voice { guild: u32, state: Value, server: Option<String> },
    /// op 9 `false`.
    InvalidSession,
    /// Close code 4001.
    Malformed,
}

/// The state that answers depend on, besides the limits of commands.
pub(crate) struct Circumstances<'a> {
    pub(crate) world: &'a World,
    pub(crate) random: &'a mut Rng,
    /// The intents of the session.
    pub(crate) intents: u64,
    pub(crate) now: Instant,
}

/// The limits of commands.
#[derive(Default)]
pub(crate) struct Commands {
    /// The time from which all members of a guild may be requested again.
    free: BTreeMap<u64, Instant>,
}

impl Commands {
    /// Answers a command of a known opcode other than 1, 2 and 6.
    pub(crate) fn answer(&mut self, op: u64, data: &Value, circumstances: Circumstances<'_>) -> Answer {
        let events = match op {
            3 => presence_is_complete(data).then(Vec::new),
            4 => return voice_state(data, circumstances).unwrap_or(Answer::Malformed),
            8 => return self.members(data, &circumstances),
            31 => soundboard_sounds(data, circumstances.world),
            _ => channel_info(data, circumstances.world),
        };
        events.map_or(Answer::Malformed, Answer::Events)
    }

    fn members(&mut self, data: &Value, circumstances: &Circumstances<'_>) -> Answer {
        let (world, intents) = (circumstances.world, circumstances.intents);
        let Some(request) = MemberRequest::parse(data) else {
            return Answer::Malformed;
        };
        // An id that is not a number ends the session, as at Discord.
        let Some(guild_id) = snowflake(request.guild_id) else {
            return Answer::InvalidSession;
        };
        let Some(guild) = world.guild_number(guild_id) else {
            return Answer::Events(Vec::new());
        };
        let members = world.members;
        let mut not_found = Vec::new();
        let found: Vec<u32> = match &request.wanted {
            Wanted::Query("", limit) => {
                if intents & intents::GUILD_MEMBERS == 0 {
                    return Answer::Events(Vec::new());
                }
                if *limit == 0
                    && let Err(wait) = self.request_all_members(guild_id, circumstances.now)
                {
                    return Answer::Events(vec![rate_limited(guild_id, request.nonce, wait)]);
                }
                let limit = if *limit == 0 { u64::from(members) } else { *limit };
                (0..members).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
            }
            Wanted::Query(prefix, limit) => (0..members)
                .filter(|member| {
                    let user = people::user(member_id(guild, *member));
                    user["username"].as_str().is_some_and(|name| name.starts_with(prefix))
                })
                .take(usize::try_from(*limit).unwrap_or(usize::MAX).min(FOUND_AT_MOST))
                .collect(),
            Wanted::Users(ids) => {
                let mut found = Vec::new();
                for value in ids {
                    let Some(user) = snowflake(value) else {
                        return Answer::InvalidSession;
                    };
                    match member_number(guild, members, user) {
                        Some(member) => found.push(member),
                        None => not_found.push((*value).clone()),
                    }
                }
                found
            }
        };
        let presences = request.presences && intents & intents::GUILD_PRESENCES != 0;
        Answer::Events(chunks(world, guild, &found, &not_found, presences, request.nonce))
    }

    /// Counts a request for all members of a guild, or returns the time until the next is allowed.
    fn request_all_members(&mut self, guild_id: u64, now: Instant) -> Result<(), Duration> {
        match self.free.get(&guild_id).filter(|free| **free > now) {
            Some(free) => Err(free.saturating_duration_since(now)),
            None => {
                self.free.insert(guild_id, now + MEMBER_REQUEST_INTERVAL);
                Ok(())
            }
        }
    }
}

/// See
/// [Discord Docs, Gateway Events > Update Voice State](https://discord.com/developers/docs/events/gateway-events#update-voice-state).
fn voice_state(data: &Value, circumstances: Circumstances<'_>) -> Option<Answer> {
    let (guild, channel) = (snowflake(&data["guild_id"])?, data.get("channel_id")?);
    let channel = snowflake(channel).map(|channel| channel.to_string());
    let Some(guild) = circumstances.world.guild_number(guild) else {
        return Some(Answer::Events(Vec::new()));
    };
    let random = circumstances.random;
    let voice_session = format!("{:032x}", random.u128(..));
    let flag = |key: &str| data[key].as_bool().unwrap_or(false);
    let (mute, deaf) = (flag("self_mute"), flag("self_deaf"));
    let state = events::voice_state(guild, 1, channel.as_deref(), &voice_session, mute, deaf);
    let server = channel.map(|_| {
        let server = json!({"token": format!("{:016x}", random.u64(..)),
            "guild_id": guild_id(guild).to_string(), "endpoint": "voice.invalid:443"});
        server.to_string()
    });
    Some(Answer::Voice { guild, state, server })
}

fn soundboard_sounds(data: &Value, world: &World) -> Option<Vec<(&'static str, String)>> {
    let guilds = data["guild_ids"].as_array()?.iter().filter_map(snowflake);
    let known = guilds.filter_map(|id| world.guild_number(id));
    Some(known.map(|guild| ("SOUNDBOARD_SOUNDS", guilds::soundboard_sounds(guild).to_string())).collect())
}

fn channel_info(data: &Value, world: &World) -> Option<Vec<(&'static str, String)>> {
    let (guild, fields) = (snowflake(&data["guild_id"])?, data["fields"].as_array()?);
    let Some(guild) = world.guild_number(guild) else {
        return Some(Vec::new());
    };
    let asked = |name: &str| fields.iter().any(|field| field == name);
    let start = asked("voice_start_time").then_some(world.unix_time_ms / 1000);
    let answer = guilds::channel_info(guild, asked("status"), start);
    Some(vec![("CHANNEL_INFO", answer.to_string())])
}

fn rate_limited(guild_id: u64, nonce: Option<&str>, wait: Duration) -> (&'static str, String) {
    let mut meta = json!({"guild_id": guild_id.to_string()});
    if let Some(nonce) = nonce {
        meta["nonce"] = nonce.into();
    }
    let data = json!({"opcode": 8, "retry_after": wait.as_secs_f64(), "meta": meta});
    ("RATE_LIMITED", data.to_string())
}

fn chunks(
    world: &World,
    guild: u32,
    members: &[u32],
    not_found: &[Value],
    presences: bool,
    nonce: Option<&str>,
) -> Vec<(&'static str, String)> {
    let parts: Vec<&[u32]> = if members.is_empty() { vec![&[]] } else { members.chunks(CHUNK).collect() };
    let (created_at, count) = (world.unix_time_ms, parts.len());
    let chunk = |(index, part): (usize, &[u32])| {
        let objects: Vec<Value> = part.iter().map(|member| people::member(guild, *member)).collect();
        let mut data = json!({
            "guild_id": guild_id(guild).to_string(), "members": objects, "chunk_index": index,
            "chunk_count": count, "not_found": not_found,
        });
        if presences {
            data["presences"] =
                part.iter().map(|member| people::presence(guild, *member, "online", created_at)).collect();
        }
        if let Some(nonce) = nonce {
            data["nonce"] = nonce.into();
        }
        ("GUILD_MEMBERS_CHUNK", data.to_string())
    };
    parts.into_iter().enumerate().map(chunk).collect()
}

struct MemberRequest<'a> {
    guild_id: &'a Value,
    wanted: Wanted<'a>,
    presences: bool,
    nonce: Option<&'a str>,
}

enum Wanted<'a> {
    Query(&'a str, u64),
    Users(Vec<&'a Value>),
}

impl<'a> MemberRequest<'a> {
    /// Requires exactly one of `query` (with `limit`) and `user_ids`, and one guild, which may be a list of one.
    fn parse(data: &'a Value) -> Option<Self> {
        let guild_id = match &data["guild_id"] {
            Value::Array(ids) => ids.first().filter(|_| ids.len() == 1)?,
            Value::Null => return None,
            id => id,
        };
        let wanted = match (&data["query"], &data["user_ids"]) {
            (Value::String(query), Value::Null) => Wanted::Query(query, data["limit"].as_u64()?),
            (Value::Null, Value::Array(ids)) if ids.len() <= FOUND_AT_MOST => {
                Wanted::Users(ids.iter().collect())
            }
            (Value::Null, Value::Array(_) | Value::Null) => return None,
            (Value::Null, id) => Wanted::Users(vec![id]),
            _ => return None,
        };
        Some(Self {
            guild_id,
            wanted,
            presences: data["presences"].as_bool().unwrap_or(false),
            nonce: data["nonce"].as_str().filter(|nonce| nonce.len() <= 32),
        })
    }
}

/// Whether all four keys are present. See
/// [Discord Docs, Gateway Events > Update Presence](https://discord.com/developers/docs/events/gateway-events#update-presence).
fn presence_is_complete(data: &Value) -> bool {
    data.get("since").is_some()
        && data["activities"].is_array()
        && data["status"].is_string()
        && data["afk"].is_boolean()
}

/// An id, as text or as a number.
fn snowflake(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
