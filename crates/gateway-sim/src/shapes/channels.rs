//! Channels and threads.

use serde_json::{Value, json};

use crate::world::{channel_id, guild_id, member_id};

/// A text channel as in GUILD_CREATE, without `guild_id`.
pub(crate) fn text(guild: u32) -> Value {
    json!({
        "id": channel_id(guild, 1).to_string(), "type": 0, "name": "general", "topic": null, "nsfw": false,
        "position": 0, "permission_overwrites": [], "parent_id": channel_id(guild, 0).to_string(),
        "last_message_id": null, "rate_limit_per_user": 0, "last_pin_timestamp": null, "flags": 0,
    })
}

/// The category, text and voice channel of a guild.
pub(crate) fn all(guild: u32) -> Value {
    json!([
        {"id": channel_id(guild, 0).to_string(), "type": 4, "name": "Channels", "position": 0,
            "permission_overwrites": [], "nsfw": false, "flags": 0, "parent_id": null},
        text(guild),
        {"id": channel_id(guild, 2).to_string(), "type": 2, "name": "Voice", "position": 1,
            "permission_overwrites": [], "parent_id": channel_id(guild, 0).to_string(), "bitrate": 64000,
            "user_limit": 0, "rate_limit_per_user": 0, "nsfw": false, "rtc_region": null, "flags": 0,
            "last_message_id": null},
    ])
}

/// The text channel with `guild_id`, as in CHANNEL_UPDATE.
pub(crate) fn text_of_guild(guild: u32) -> Value {
    let mut channel = text(guild);
    channel["guild_id"] = guild_id(guild).to_string().into();
    channel
}

/// The `d` of THREAD_CREATE
/// ([Discord Docs, Channels Resource > Thread Metadata Object](https://discord.com/developers/docs/resources/channel#thread-metadata-object)).
pub(crate) fn thread(guild: u32, id: u64, timestamp: &str) -> Value {
    json!({
        "id": id.to_string(), "type": 11, "guild_id": guild_id(guild).to_string(), "name": "a thread",
        "parent_id": channel_id(guild, 1).to_string(), "owner_id": member_id(guild, 0).to_string(),
        "last_message_id": null, "rate_limit_per_user": 0, "message_count": 0, "member_count": 1,
        "total_message_sent": 0, "flags": 0, "newly_created": true,
        "thread_metadata": {"archived": false, "auto_archive_duration": 1440, "archive_timestamp": timestamp,
            "locked": false, "create_timestamp": timestamp},
    })
}
