//! The messages that a bot may send to the gateway.

use std::fmt;

use gateway_codec::{Encoding, Error, Raw};
use serde::de::IgnoredAny;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Snowflake;
use crate::command::Presence;
use crate::outgoing::{Payload, opcode};

/// A message to the gateway (Discord Docs, Gateway Events > Send Events).
///
/// Heartbeats, Identify and Resume are not among them: the shard sends those.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Opcode 3: changes the bot's presence. At most 5 in 20 s.
    UpdatePresence(Presence),
    /// Opcode 4: joins, moves between, or leaves voice channels.
    UpdateVoiceState(VoiceStateUpdate),
    /// Opcode 8: asks for members of a guild; `GUILD_MEMBERS_CHUNK` answers.
    RequestGuildMembers(RequestGuildMembers),
    /// Opcode 31: asks for the soundboard sounds of guilds; one `SOUNDBOARD_SOUNDS` each answers.
    RequestSoundboardSounds {
        /// The guilds.
        guild_ids: Vec<Snowflake>,
    },
    /// Opcode 43: asks for details of a guild's channels; `CHANNEL_INFO` answers.
    RequestChannelInfo {
        /// The guild.
        guild_id: Snowflake,
        /// The requested fields.
        fields: Vec<ChannelInfoField>,
    },
    /// Any opcode and any data. Size and rate are checked as for the other commands, presences and requests for all members
    /// have their own limits, and opcodes that belong to the shard are rejected. A presence of the documented shape is also
    /// sent with the next Identify.
    Raw {
        /// The opcode.
        op: u64,
        /// The data (`d`).
        data: Raw,
    },
}

/// Opcode 4 (Discord Docs, Gateway Events > Update Voice State).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VoiceStateUpdate {
    /// The guild.
    pub guild_id: Snowflake,
    /// The channel to join. `None` leaves the voice channel.
    pub channel_id: Option<Snowflake>,
    /// Whether the bot is muted.
    pub self_mute: bool,
    /// Whether the bot is deafened.
    pub self_deaf: bool,
}

/// Opcode 8 (Discord Docs, Gateway Events > Request Guild Members).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestGuildMembers {
    /// The guild.
    pub guild_id: Snowflake,
    /// The members.
    pub members: MemberSelection,
    /// Whether to send their presences too.
    pub presences: bool,
    /// Comes back in the chunks that answer. At most 32 bytes.
    pub nonce: Option<String>,
}

/// The members of a guild that are requested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberSelection {
    /// All of them. Needs the intent GUILD_MEMBERS; at most once in 30 s for each guild.
    Everyone,
    /// Members whose name begins with this text.
    Prefix {
        /// The beginning of the name.
        query: String,
        /// The maximum number of members, 1 to 100.
        limit: u8,
    },
    /// These users, at most 100.
    Users(Vec<Snowflake>),
}

/// A detail of a channel (Discord Docs, Gateway Events > Request Channel Info).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChannelInfoField {
    /// The status of a voice channel.
    Status,
    /// When the call in a voice channel began.
    VoiceStartTime,
}

/// A command that cannot be sent. Nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The message would be larger than the gateway accepts.
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// [`ShardLimits::payload_bytes`](crate::config::ShardLimits::payload_bytes).
        limit: usize,
    },
    /// The maximum number of commands wait already: see [`ShardLimits::queued_commands`](crate::config::ShardLimits::queued_commands).
    QueueFull {
        /// The number of waiting commands.
        waiting: usize,
    },
    /// The opcode belongs to the shard itself.
    ReservedOpcode {
        /// The opcode.
        op: u64,
    },
    /// The command breaks a rule of the documentation, and the gateway would drop it or close the connection.
    Invalid(&'static str),
    /// The data of a raw command could not be written in the shard's encoding.
    Encode(Error),
    /// The shard has stopped.
    Stopped,
}

impl Command {
    /// The opcode.
    pub fn op(&self) -> u64 {
        match self {
            Self::UpdatePresence(_) => opcode::PRESENCE_UPDATE,
            Self::UpdateVoiceState(_) => opcode::VOICE_STATE_UPDATE,
            Self::RequestGuildMembers(_) => opcode::REQUEST_GUILD_MEMBERS,
            Self::RequestSoundboardSounds { .. } => opcode::REQUEST_SOUNDBOARD_SOUNDS,
            Self::RequestChannelInfo { .. } => opcode::REQUEST_CHANNEL_INFO,
            Self::Raw { op, .. } => *op,
        }
    }

    /// Checks the command and encodes it.
    pub(crate) fn encode(&self, encoding: Encoding, limit: usize) -> Result<Vec<u8>, SendError> {
        self.check()?;
        let op = self.op();
        let bytes = match self {
            Self::UpdatePresence(presence) => Payload { op, d: presence }.encode(encoding),
            Self::UpdateVoiceState(update) => Payload { op, d: update }.encode(encoding),
            Self::RequestGuildMembers(request) => Payload { op, d: request }.encode(encoding),
            Self::RequestSoundboardSounds { guild_ids } => {
                Payload { op, d: &SoundboardSounds { guild_ids } }.encode(encoding)
            }
            Self::RequestChannelInfo { guild_id, fields } => {
                Payload { op, d: &ChannelInfo { guild_id: *guild_id, fields } }.encode(encoding)
            }
            Self::Raw { data, .. } => Payload { op, d: &data.as_ref() }.encode(encoding),
        }
        .map_err(SendError::Encode)?;
        if bytes.len() > limit {
            return Err(SendError::TooLarge { size: bytes.len(), limit });
        }
        Ok(bytes)
    }

    /// Checks the rules that the server enforces silently or by closing the connection.
    fn check(&self) -> Result<(), SendError> {
        match self {
            Self::Raw { op, .. }
                if matches!(
                    *op,
                    opcode::DISPATCH
                        | opcode::HEARTBEAT
                        | opcode::IDENTIFY
                        | opcode::RESUME
                        | opcode::RECONNECT
                        | opcode::INVALID_SESSION
                        | opcode::HELLO
                        | opcode::HEARTBEAT_ACK
                ) =>
            {
                Err(SendError::ReservedOpcode { op: *op })
            }
            Self::RequestGuildMembers(request) => request.check(),
            Self::RequestSoundboardSounds { guild_ids } if guild_ids.is_empty() => {
                Err(SendError::Invalid("name at least one guild"))
            }
            Self::RequestChannelInfo { fields, .. } if fields.is_empty() => {
                Err(SendError::Invalid("name at least one field"))
            }
            _ => Ok(()),
        }
    }
}

impl VoiceStateUpdate {
    /// Joins a channel, or leaves the one that the bot is in; neither muted nor deaf.
    pub fn new(guild_id: Snowflake, channel_id: Option<Snowflake>) -> Self {
        Self { guild_id, channel_id, self_mute: false, self_deaf: false }
    }
}

/// A request for all members of this guild.
impl From<Snowflake> for RequestGuildMembers {
    fn from(guild: Snowflake) -> Self {
        Self::new(guild, MemberSelection::Everyone)
    }
}

impl RequestGuildMembers {
    /// A request without presences and without a nonce.
    pub fn new(guild_id: Snowflake, members: MemberSelection) -> Self {
        Self { guild_id, members, presences: false, nonce: None }
    }

    fn check(&self) -> Result<(), SendError> {
        // "Nonce can only be up to 32 bytes. If you send an invalid nonce it will be ignored"
        if self.nonce.as_ref().is_some_and(|nonce| nonce.len() > 32) {
            return Err(SendError::Invalid("a nonce has at most 32 bytes"));
        }
        match &self.members {
            MemberSelection::Users(users) if users.is_empty() || users.len() > 100 => {
                Err(SendError::Invalid("ask for 1 to 100 users"))
            }
            MemberSelection::Prefix { query, .. } if query.is_empty() => {
                Err(SendError::Invalid("an empty prefix means everyone: use `MemberSelection::Everyone`"))
            }
            MemberSelection::Prefix { limit, .. } if !(1..=100).contains(limit) => {
                Err(SendError::Invalid("a prefix returns 1 to 100 members"))
            }
            _ => Ok(()),
        }
    }
}

impl Serialize for RequestGuildMembers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("guild_id", &self.guild_id)?;
        match &self.members {
            MemberSelection::Everyone => {
                map.serialize_entry("query", "")?;
                map.serialize_entry("limit", &0)?;
            }
            MemberSelection::Prefix { query, limit } => {
                map.serialize_entry("query", query)?;
                map.serialize_entry("limit", limit)?;
            }
            MemberSelection::Users(users) => {
                map.serialize_entry("user_ids", users)?;
                map.serialize_entry("limit", &0)?;
            }
        }
        map.serialize_entry("presences", &self.presences)?;
        if let Some(nonce) = &self.nonce {
            map.serialize_entry("nonce", nonce)?;
        }
        map.end()
    }
}

/// The fields of a raw opcode 8 that select the members.
#[derive(serde::Deserialize)]
pub(crate) struct RawMembersRequest {
    guild_id: Snowflake,
    query: Option<String>,
    limit: Option<u64>,
    user_ids: Option<IgnoredAny>,
}

impl RawMembersRequest {
    /// The guild, if all of its members are requested: "an empty string and `limit` of `0`" (Discord Docs, Gateway Events >
    /// Request Guild Members). A missing field is read as empty.
    pub(crate) fn everyone_of(data: &Raw) -> Option<Snowflake> {
        let request: Self = data.decode().ok()?;
        let everyone = match (&request.query, request.limit.unwrap_or(0)) {
            (Some(query), 0) => query.is_empty(),
            (None, 0) => request.user_ids.is_none(),
            _ => false,
        };
        everyone.then_some(request.guild_id)
    }
}

#[derive(serde::Serialize)]
struct SoundboardSounds<'a> {
    guild_ids: &'a [Snowflake],
}

#[derive(serde::Serialize)]
struct ChannelInfo<'a> {
    guild_id: Snowflake,
    fields: &'a [ChannelInfoField],
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "the command has {size} bytes, and the gateway accepts {limit}: split it")
            }
            Self::QueueFull { waiting } => {
                write!(
                    f,
                    "{waiting} commands wait to be sent already: send fewer, or wait until the shard is ready"
                )
            }
            Self::ReservedOpcode { op } => {
                write!(f, "opcode {op} belongs to the shard: it is sent when it is due")
            }
            Self::Invalid(problem) => write!(f, "the gateway would not accept this command: {problem}"),
            Self::Encode(error) => write!(f, "the command's data cannot be written: {error}"),
            Self::Stopped => f.write_str("the shard has stopped and sends nothing: make a new one"),
        }
    }
}

/// Its text contains that of the error within, so it has no `source`.
impl std::error::Error for SendError {}
