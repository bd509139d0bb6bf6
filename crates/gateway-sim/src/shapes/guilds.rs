//! Guilds and their parts.

use serde_json::{Value, json};

use super::{channels, people};
use crate::world::{World, channel_id, guild_id, iso8601, member_id, role_id};

/// A role
/// ([Discord Docs, Permissions > Role Object](https://discord.com/developers/docs/topics/permissions#role-object)).
pub(crate) fn role(guild: u32, index: u64) -> Value {
    let name = match index {
        0 => "@everyone".to_owned(),
        index => format!("role {index}"),
    };
    json!({
        "id": role_id(guild, index).to_string(), "name": name, "color": 0,
        "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
        "hoist": false, "icon": null, "unicode_emoji": null, "position": index, "permissions": "1071698660929",
        "managed": false, "mentionable": false, "flags": 0,
    })
}

/// The `d` of GUILD_CREATE: the guild with its members, channels and so on
/// ([Discord Docs, Gateway Events > Guild Create](https://discord.com/developers/docs/events/gateway-events#guild-create)).
///
/// `everyone`: with all members and their presences, which requires the intents for both; otherwise with the bot alone.
pub(crate) fn guild(world: &World, guild: u32, everyone: bool) -> Value {
    let members: Vec<u32> = if everyone { (0..world.members).collect() } else { vec![1] };
    let presences: Vec<Value> = members
        .iter()
        .filter(|member| everyone && **member != 1)
        .map(|member| people::presence(guild, *member, "online", world.unix_time_ms))
        .collect();
    let voice_states: Vec<&Value> = world.bot_voice(guild).into_iter().collect();
    let members: Vec<Value> = members.into_iter().map(|member| people::member(guild, member)).collect();
    json!({
        "id": guild_id(guild).to_string(), "name": format!("Guild {guild}"), "icon": null, "splash": null,
        "discovery_splash": null, "owner_id": member_id(guild, 0).to_string(), "afk_channel_id": null,
        "afk_timeout": 300, "verification_level": 1, "default_message_notifications": 1,
        "explicit_content_filter": 0, "roles": [role(guild, 0), role(guild, 1)], "emojis": [], "stickers": [],
        "features": ["COMMUNITY"], "mfa_level": 0, "application_id": null,
        "system_channel_id": channel_id(guild, 1).to_string(), "system_channel_flags": 0,
        "rules_channel_id": null, "max_presences": null, "max_members": 500_000, "vanity_url_code": null,
        "description": null, "banner": null, "premium_tier": 0, "premium_subscription_count": 0,
        "preferred_locale": "en-US", "public_updates_channel_id": null, "max_video_channel_users": 25,
        "max_stage_video_channel_users": 50, "nsfw_level": 0, "nsfw": false,
        "premium_progress_bar_enabled": false, "safety_alerts_channel_id": null, "incidents_data": null,
        "joined_at": iso8601(1_610_000_000_000 + u64::from(guild) * 60_000 + 1000), "large": world.members > 50,
        "unavailable": false, "member_count": world.members, "voice_states": voice_states, "members": members,
        "channels": channels::all(guild), "threads": [], "presences": presences, "stage_instances": [],
        "guild_scheduled_events": [], "soundboard_sounds": [], "region": "us-east", "hub_type": null,
        "guild_hashes": null, "version": 1,
    })
}

/// The `d` of SOUNDBOARD_SOUNDS.
pub(crate) fn soundboard_sounds(guild: u32) -> Value {
    json!({
        "guild_id": guild_id(guild).to_string(),
        "soundboard_sounds": [{
            "sound_id": (guild_id(guild) + 200).to_string(), "name": "horn", "volume": 1.0, "emoji_id": null,
            "emoji_name": null, "available": true, "guild_id": guild_id(guild).to_string(),
        }],
    })
}

/// The `d` of CHANNEL_INFO with the requested fields.
pub(crate) fn channel_info(guild: u32, status: bool, start_time: Option<u64>) -> Value {
    let mut channel = json!({"id": channel_id(guild, 2).to_string()});
    if status {
        channel["status"] = Value::Null;
    }
    if let Some(seconds) = start_time {
        channel["voice_start_time"] = seconds.into();
    }
    json!({"guild_id": guild_id(guild).to_string(), "channels": [channel]})
}
