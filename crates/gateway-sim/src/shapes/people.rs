//! Users, members, the bot and its application.

use serde_json::{Value, json};

use crate::world::{BOT_ID, guild_id, iso8601, member_id, role_id};

/// A user object ([Discord Docs, Users Resource](https://discord.com/developers/docs/resources/user)).
pub(crate) fn user(id: u64) -> Value {
    if id == BOT_ID {
        let mut user = own_user();
        for key in ["email", "verified", "mfa_enabled"] {
            user.as_object_mut().map(|user| user.remove(key));
        }
        return user;
    }
    let name = format!("user{}", id % 100_000);
    json!({
        "id": id.to_string(), "username": name, "discriminator": "0", "global_name": name.to_uppercase(),
        "avatar": null, "bot": false, "public_flags": 0, "avatar_decoration_data": null, "collectibles": null,
        "primary_guild": null,
    })
}

/// The bot's own user, as in READY and `GET /users/@me`.
pub(crate) fn own_user() -> Value {
    json!({
        "id": BOT_ID.to_string(), "username": "simulated-bot", "discriminator": "0001", "global_name": null,
        "avatar": null, "bot": true, "public_flags": 0, "flags": 0, "email": null, "verified": true,
        "mfa_enabled": true, "avatar_decoration_data": null, "collectibles": null, "primary_guild": null,
        "banner": null, "accent_color": null, "locale": "en-US",
    })
}

/// The bot's application, as in `GET /applications/@me`.
pub(crate) fn application() -> Value {
    let owner = user(member_id(0, 0));
    json!({
        "id": BOT_ID.to_string(), "name": "simulated-bot", "icon": null, "description": "A bot in a simulation.",
        "summary": "", "bot_public": true, "bot_require_code_grant": false, "owner": owner, "team": null,
        "verify_key": "00".repeat(32), "flags": 0, "terms_of_service_url": null, "privacy_policy_url": null,
        "rpc_origins": [], "hook": true, "type": null, "approximate_guild_count": 0, "redirect_uris": [],
        "interactions_endpoint_url": null, "tags": [], "integration_types_config": {},
    })
}

/// A member without its `user`, as inside of MESSAGE_CREATE.
pub(crate) fn partial_member(guild: u32, member: u32) -> Value {
    // One second apart, from 2021 on.
    let joined_at = iso8601(1_610_000_000_000 + u64::from(guild) * 60_000 + u64::from(member) * 1000);
    json!({
        "nick": null, "avatar": null, "banner": null, "roles": [role_id(guild, 1).to_string()],
        "joined_at": joined_at, "premium_since": null, "deaf": false, "mute": false, "flags": 0, "pending": false,
        "communication_disabled_until": null, "avatar_decoration_data": null, "collectibles": null,
    })
}

/// A member with its `user`
/// ([Discord Docs, Guild Resource > Guild Member Object](https://discord.com/developers/docs/resources/guild#guild-member-object)).
pub(crate) fn member(guild: u32, member: u32) -> Value {
    let mut value = partial_member(guild, member);
    value["user"] = user(member_id(guild, member));
    value
}

/// A member with the `guild_id` that GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE add.
pub(crate) fn member_of_guild(guild: u32, number: u32) -> Value {
    let mut value = member(guild, number);
    value["guild_id"] = guild_id(guild).to_string().into();
    value
}

/// The presence of a member, as in `presences` of GUILD_CREATE.
pub(crate) fn presence(guild: u32, member: u32, status: &str, created_at: u64) -> Value {
    let activities = if status == "offline" {
        json!([])
    } else {
        json!([{"name": "a game", "type": 0, "created_at": created_at, "id": "ec0b28a579ecb4bd",
            "timestamps": {"start": created_at}, "flags": 0}])
    };
    let clients = match status {
        "offline" => json!({}),
        status => json!({"desktop": status}),
    };
    json!({
        "user": {"id": member_id(guild, member).to_string()}, "guild_id": guild_id(guild).to_string(),
        "status": status, "activities": activities, "client_status": clients,
    })
}
