//! The commands of a bot with a session: ops 3, 4, 8, 31 and 43 ("Discord Docs, Gateway Events > Send Events").

use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::intents;
use crate::io::ConnectionId;
use crate::shapes::{events, guilds, people};
use crate::world::{guild_id, member_id, member_number};

/// How often all members of one guild may be asked for.
const MEMBER_REQUEST_INTERVAL: Duration = Duration::from_secs(30);
/// Members of one GUILD_MEMBERS_CHUNK.
const CHUNK: usize = 1000;
/// Ids of one request, and members that a search answers with.
const FOUND_AT_MOST: usize = 100;

impl Gateway {
    /// A command of a known opcode other than 1, 2 and 6.
    pub(crate) fn command(&mut self, id: ConnectionId, session: u64, op: u64, data: &Value) {
        self.counters.commands += 1;
        let understood = match op {
            3 => presence_is_complete(data),
            4 => self.voice_state(session, data),
            8 => return self.member_request(id, session, data),
            31 => self.soundboard_sounds(session, data),
            _ => self.channel_info(session, data),
        };
        if !understood {
            self.close(id, 4001);
        }
    }

    fn voice_state(&mut self, session: u64, data: &Value) -> bool {
        let (Some(guild), Some(channel)) = (snowflake(&data["guild_id"]), data.get("channel_id")) else {
            return false;
        };
        let channel = snowflake(channel).map(|channel| channel.to_string());
        let Some(guild) = self.world.guild_number(guild) else {
            return true;
        };
        let voice_session = format!("{:032x}", self.random.u128(..));
        let flag = |key: &str| data[key].as_bool().unwrap_or(false);
        let state = events::voice_state(
            guild,
            1,
            channel.as_deref(),
            &voice_session,
            flag("self_mute"),
            flag("self_deaf"),
        );
        self.dispatch(session, "VOICE_STATE_UPDATE", state.to_string());
        if channel.is_some() {
            let server = json!({"token": format!("{:016x}", self.random.u64(..)),
                "guild_id": guild_id(guild).to_string(), "endpoint": "voice.invalid:443"});
            self.dispatch(session, "VOICE_SERVER_UPDATE", server.to_string());
        }
        true
    }

    fn soundboard_sounds(&mut self, session: u64, data: &Value) -> bool {
        let Some(ids) = data["guild_ids"].as_array() else {
            return false;
        };
        for guild in
            ids.iter().filter_map(snowflake).filter_map(|id| self.world.guild_number(id)).collect::<Vec<_>>()
        {
            self.dispatch(session, "SOUNDBOARD_SOUNDS", guilds::soundboard_sounds(guild).to_string());
        }
        true
    }

    fn channel_info(&mut self, session: u64, data: &Value) -> bool {
        let (Some(guild), Some(fields)) = (snowflake(&data["guild_id"]), data["fields"].as_array()) else {
            return false;
        };
        if let Some(guild) = self.world.guild_number(guild) {
            let asked = |name: &str| fields.iter().any(|field| field == name);
            let start = asked("voice_start_time").then_some(self.world.unix_time_ms / 1000);
            let answer = guilds::channel_info(guild, asked("status"), start);
            self.dispatch(session, "CHANNEL_INFO", answer.to_string());
        }
        true
    }

    fn member_request(&mut self, id: ConnectionId, session: u64, data: &Value) {
        let Some(request) = MemberRequest::parse(data) else {
            return self.close(id, 4001);
        };
        // Ids that are no numbers end the session, as they do at Discord.
        let Some(guild_id) = snowflake(request.guild_id) else {
            return self.invalid(id, false);
        };
        let (Some(guild), Some(intents)) =
            (self.world.guild_number(guild_id), self.sessions.get(&session).map(|session| session.intents))
        else {
            return;
        };
        let members = self.world.members;
        let mut not_found = Vec::new();
        let found: Vec<u32> = match &request.wanted {
            Wanted::Query("", limit) => {
                if intents & intents::GUILD_MEMBERS == 0 {
                    return;
                }
                if *limit == 0 && !self.may_request_members(session, guild_id, request.nonce) {
                    return;
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
                        return self.invalid(id, false);
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
        self.chunks(session, guild, &found, &not_found, presences, request.nonce);
    }

    /// Whether all members may be asked for again; if not, RATE_LIMITED is dispatched.
    fn may_request_members(&mut self, session: u64, guild_id: u64, nonce: Option<&str>) -> bool {
        let now = self.now;
        let free = self.member_requests.get(&guild_id).copied().filter(|free| *free > now);
        let Some(free) = free else {
            self.member_requests.insert(guild_id, now + MEMBER_REQUEST_INTERVAL);
            return true;
        };
        let mut meta = json!({"guild_id": guild_id.to_string()});
        if let Some(nonce) = nonce {
            meta["nonce"] = nonce.into();
        }
        let retry_after = free.saturating_duration_since(now).as_secs_f64();
        let data = json!({"opcode": 8, "retry_after": retry_after, "meta": meta});
        self.dispatch(session, "RATE_LIMITED", data.to_string());
        false
    }

    fn chunks(
        &mut self,
        session: u64,
        guild: u32,
        members: &[u32],
        not_found: &[Value],
        presences: bool,
        nonce: Option<&str>,
    ) {
        let parts: Vec<&[u32]> = if members.is_empty() { vec![&[]] } else { members.chunks(CHUNK).collect() };
        let (created_at, count) = (self.world.unix_time_ms, parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let objects: Vec<Value> = part.iter().map(|member| people::member(guild, *member)).collect();
            let mut data = json!({
                "guild_id": guild_id(guild).to_string(), "members": objects, "chunk_index": index,
                "chunk_count": count, "not_found": not_found,
            });
            if presences {
                data["presences"] = part
                    .iter()
                    .map(|member| people::presence(guild, *member, "online", created_at))
                    .collect();
            }
            if let Some(nonce) = nonce {
                data["nonce"] = nonce.into();
            }
            self.dispatch(session, "GUILD_MEMBERS_CHUNK", data.to_string());
        }
    }
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
    /// Exactly one of `query` (with `limit`) and `user_ids`; one guild, also as a list of one.
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

/// All four keys must be there ("Discord Docs, Gateway Events > Update Presence").
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
