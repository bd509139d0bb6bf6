//! Whom a dispatch concerns, as far as two sessions can both receive it.

use gateway_proto::codec::RawRef;
use gateway_proto::{Dispatch, ShardId, Snowflake};

/// What is cut over as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    /// All events without a guild: "direct messages are sent to shard 0" (Discord Docs, Gateway > Sharding).
    NoGuild,
    /// The events of a guild.
    Guild(Snowflake),
}

/// What a dispatch concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The session that received it, and no other: the beginning of a session, or the answer to one of its commands.
    Session,
    /// A part of the bot, which each generation receives.
    Part(Part),
}

/// Events that only the session receives whose shard has asked for them, or that are about the session.
/// See Discord Docs, Gateway Events > Send Events, and Receive Events.
const OF_THE_SESSION: [&str; 7] = [
    "READY",
    "RESUMED",
    "GUILD_MEMBERS_CHUNK",
    "RATE_LIMITED",
    "VOICE_SERVER_UPDATE",
    "SOUNDBOARD_SOUNDS",
    "CHANNEL_INFO",
];

/// Events whose `d` is the guild itself.
const IS_THE_GUILD: [&str; 3] = ["GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"];

impl Subject {
    /// The subject of a dispatch that a shard has received.
    ///
    /// An event that names a guild of another shard has no guild here: Discord sends such events to shard 0, without
    /// documenting which.
    pub(crate) fn of(dispatch: &Dispatch, shard: ShardId) -> Self {
        if OF_THE_SESSION.contains(&dispatch.name()) {
            return Self::Session;
        }
        match guild_of(dispatch) {
            Some(guild) if ShardId::of_guild(guild, shard.count()) == shard => Self::Part(Part::Guild(guild)),
            _ => Self::Part(Part::NoGuild),
        }
    }
}

/// The guild that a dispatch names: `guild_id`, or the `id` of an event that is about the guild.
pub(crate) fn guild_of(dispatch: &Dispatch) -> Option<Snowflake> {
    let field = if IS_THE_GUILD.contains(&dispatch.name()) { "id" } else { "guild_id" };
    dispatch.data().get(field).and_then(RawRef::as_id).map(Snowflake)
}

#[cfg(test)]
mod tests {
    use gateway_proto::Encoding;

    use super::*;

    fn subject(name: &str, data: &str, shard: (u32, u32)) -> Subject {
        let payload = format!(r#"{{"t":"{name}","s":1,"op":0,"d":{data}}}"#);
        let dispatch = Dispatch::from_payload(payload, Encoding::Json).unwrap();
        Subject::of(&dispatch, ShardId::new(shard.0, shard.1).unwrap())
    }

    #[test]
    fn the_subject_is_where_the_event_says_it_is() {
        let guild = Snowflake(41771983444115456);
        let of_guild = Subject::Part(Part::Guild(guild));
        let table = [
            ("GUILD_CREATE", r#"{"id":"41771983444115456"}"#, of_guild),
            ("GUILD_DELETE", r#"{"unavailable":true,"id":41771983444115456}"#, of_guild),
            ("MESSAGE_CREATE", r#"{"id":"7","guild_id":"41771983444115456"}"#, of_guild),
            ("MESSAGE_CREATE", r#"{"id":"41771983444115456"}"#, Subject::Part(Part::NoGuild)),
            ("MESSAGE_CREATE", r#"{"guild_id":null}"#, Subject::Part(Part::NoGuild)),
            (
                "MESSAGE_CREATE",
                r#"{"content":"\"guild_id\":\"41771983444115456\""}"#,
                Subject::Part(Part::NoGuild),
            ),
            ("GUILD_MEMBERS_CHUNK", r#"{"guild_id":"41771983444115456"}"#, Subject::Session),
            ("READY", "{}", Subject::Session),
        ];
        for (name, data, expected) in table {
            assert_eq!(subject(name, data, (0, 1)), expected, "{name} {data}");
        }
    }

    #[test]
    fn a_guild_of_another_shard_is_none() {
        let data = r#"{"guild_id":"41771983444115456"}"#;
        assert_eq!(
            subject("MESSAGE_CREATE", data, (1, 2)),
            Subject::Part(Part::Guild(Snowflake(41771983444115456)))
        );
        assert_eq!(subject("MESSAGE_CREATE", data, (0, 2)), Subject::Part(Part::NoGuild));
    }
}
