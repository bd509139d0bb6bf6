//! READY.

use fastrand::Rng;
use serde_json::{Value, json};

use super::draw::{hex, image};

/// The `d` of READY
/// ([Discord Docs, Gateway Events > Ready](https://discord.com/developers/docs/events/gateway-events#ready)), with
/// undocumented fields that bots receive.
pub(super) fn ready(random: &mut Rng, guilds: &[u64], resume_gateway_url: &str, application: u64) -> Value {
    let guilds: Vec<Value> =
        guilds.iter().map(|guild| json!({"unavailable": true, "id": guild.to_string()})).collect();
    json!({
        "v": 10, "user_settings": {}, "user": {
            "verified": true, "username": "bench-bot", "primary_guild": null, "mfa_enabled": true,
            "id": application.to_string(), "global_name": null, "flags": 0, "email": null,
            "discriminator": "0042",
            "collectibles": null, "bot": true, "avatar_decoration_data": null, "avatar": image(random),
        },
        "shard": [0, 1], "session_type": "normal", "session_id": hex(random, 32),
        "resume_gateway_url": resume_gateway_url, "relationships": [], "private_channels": [],
        "presences": [],
        "guilds": guilds, "guild_join_requests": [], "game_relationships": [], "auth": {},
        "geo_ordered_rtc_regions": ["rotterdam", "milan", "bucharest", "madrid", "stockholm"],
        "application": {"id": application.to_string(), "flags": 565_248}, "_trace": trace(random),
    })
}

/// The server's timings: JSON within text.
pub(super) fn trace(random: &mut Rng) -> Value {
    json!([format!(
        "[\"gateway-prd-us-east1-b-{}\",{{\"micros\":{}.0}}]",
        hex(random, 4),
        random.u32(20..90_000)
    )])
}
