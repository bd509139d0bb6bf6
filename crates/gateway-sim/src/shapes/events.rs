//! The background events: a mix of the kinds that a real gateway sends, in similar proportions.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{channels, guilds, people};
use crate::world::{BOT_ID, World, channel_id, guild_id, member_id, role_id};

/// Builds the `d` of an event in a guild.
pub(crate) type Build = fn(&mut World, &mut Rng, u32) -> Value;

/// The weight, event name and builder of each kind.
pub(crate) const MIX: [(u32, &str, Build); 21] = [
    (400, "PRESENCE_UPDATE", presence_update),
    (200, "MESSAGE_CREATE", message_create),
    (120, "TYPING_START", typing_start),
    (60, "MESSAGE_REACTION_ADD", reaction_add),
    (50, "GUILD_MEMBER_UPDATE", member_update),
    (40, "MESSAGE_UPDATE", message_update),
    (40, "VOICE_STATE_UPDATE", voice_state_update),
    (20, "MESSAGE_DELETE", message_delete),
    (15, "MESSAGE_REACTION_REMOVE", reaction_remove),
    (10, "GUILD_MEMBER_ADD", member_add),
    (10, "GUILD_MEMBER_REMOVE", member_remove),
    (8, "INTERACTION_CREATE", interaction_create),
    (5, "CHANNEL_UPDATE", channel_update),
    (4, "THREAD_CREATE", thread_create),
    (3, "CHANNEL_PINS_UPDATE", channel_pins_update),
    (3, "GUILD_ROLE_UPDATE", role_update),
    (3, "INVITE_CREATE", invite_create),
    (3, "GUILD_AUDIT_LOG_ENTRY_CREATE", audit_log_entry),
    (2, "MESSAGE_DELETE_BULK", message_delete_bulk),
    (2, "GUILD_BAN_ADD", ban_add),
    (2, "WEBHOOKS_UPDATE", webhooks_update),
];

/// Draws a kind of event and a guild. `None` if there is no guild.
pub(crate) fn draw(world: &World, random: &mut Rng) -> Option<(u32, &'static str, Build)> {
    if world.guilds == 0 {
        return None;
    }
    let guild = random.u32(0..world.guilds);
    let total: u32 = MIX.iter().map(|(weight, _, _)| weight).sum();
    let mut draw = random.u32(0..total);
    let (_, name, build) = MIX.iter().find(|(weight, _, _)| {
        let hit = draw < *weight;
        draw = draw.saturating_sub(*weight);
        hit
    })?;
    Some((guild, name, *build))
}

/// A message of `author` in the text channel of a guild, as in MESSAGE_CREATE.
pub(crate) fn message(world: &mut World, guild: u32, author: u32, content: &str) -> Value {
    json!({
        "id": world.snowflake().to_string(), "channel_id": channel_id(guild, 1).to_string(),
        "guild_id": guild_id(guild).to_string(), "channel_type": 0,
        "author": people::user(member_id(guild, author)), "member": people::partial_member(guild, author),
        "content": content, "timestamp": world.timestamp(), "edited_timestamp": null, "tts": false,
        "mention_everyone": false, "mentions": [], "mention_roles": [], "attachments": [], "embeds": [],
        "components": [], "pinned": false, "type": 0, "flags": 0,
    })
}

/// The `d` of VOICE_STATE_UPDATE.
pub(crate) fn voice_state(
    guild: u32,
    member: u32,
    channel: Option<&str>,
    session_id: &str,
    self_mute: bool,
    self_deaf: bool,
) -> Value {
    json!({
        "guild_id": guild_id(guild).to_string(), "channel_id": channel,
        "user_id": member_id(guild, member).to_string(), "member": people::member(guild, member),
        "session_id": session_id, "deaf": false, "mute": false, "self_deaf": self_deaf, "self_mute": self_mute,
        "self_stream": false, "self_video": false, "suppress": false, "request_to_speak_timestamp": null,
    })
}

fn anyone(world: &World, random: &mut Rng) -> u32 {
    match random.u32(0..world.members) {
        1 => 0,
        member => member,
    }
}

fn presence_update(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let status = ["online", "idle", "dnd", "offline"][random.usize(0..4)];
    people::presence(guild, anyone(world, random), status, world.unix_time_ms)
}

fn message_create(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    const WORDS: [&str; 12] = [
        "hello",
        "did",
        "you",
        "see",
        "the",
        "gateway",
        "today",
        "— ünïcode ✓",
        "again",
        "maybe",
        "\"quoted\"",
        "ok",
    ];
    let words: Vec<&str> = (0..random.usize(1..30)).map(|_| WORDS[random.usize(0..WORDS.len())]).collect();
    let author = anyone(world, random);
    message(world, guild, author, &words.join(" "))
}

fn message_update(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let mut value = message_create(world, random, guild);
    value["edited_timestamp"] = world.timestamp().into();
    value
}

fn message_delete(world: &mut World, _: &mut Rng, guild: u32) -> Value {
    json!({"id": world.snowflake().to_string(), "channel_id": channel_id(guild, 1).to_string(),
        "guild_id": guild_id(guild).to_string()})
}

fn message_delete_bulk(world: &mut World, _: &mut Rng, guild: u32) -> Value {
    let ids: Vec<String> = (0..3).map(|_| world.snowflake().to_string()).collect();
    json!({"ids": ids, "channel_id": channel_id(guild, 1).to_string(), "guild_id": guild_id(guild).to_string()})
}

fn typing_start(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let member = anyone(world, random);
    json!({
        "channel_id": channel_id(guild, 1).to_string(), "guild_id": guild_id(guild).to_string(),
        "user_id": member_id(guild, member).to_string(), "timestamp": world.unix_time_ms / 1000,
        "member": people::member(guild, member),
    })
}

fn reaction_add(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let member = anyone(world, random);
    let mut value = reaction_remove(world, random, guild);
    value["user_id"] = member_id(guild, member).to_string().into();
    value["member"] = people::member(guild, member);
    value["message_author_id"] = member_id(guild, 0).to_string().into();
    value
}

fn reaction_remove(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let member = anyone(world, random);
    json!({
        "user_id": member_id(guild, member).to_string(), "channel_id": channel_id(guild, 1).to_string(),
        "message_id": world.snowflake().to_string(), "guild_id": guild_id(guild).to_string(),
        "emoji": {"id": null, "name": "🔥"}, "burst": false, "type": 0,
    })
}

fn member_update(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let mut value = people::member_of_guild(guild, anyone(world, random));
    value["nick"] = format!("nick {}", random.u16(..)).into();
    value
}

fn member_add(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    people::member_of_guild(guild, anyone(world, random))
}

fn member_remove(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    json!({"guild_id": guild_id(guild).to_string(),
        "user": people::user(member_id(guild, anyone(world, random)))})
}

fn voice_state_update(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let member = anyone(world, random);
    let channel = random.bool().then(|| channel_id(guild, 2).to_string());
    let session_id = format!("{:032x}", random.u128(..));
    voice_state(guild, member, channel.as_deref(), &session_id, random.bool(), false)
}

fn interaction_create(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    let member = anyone(world, random);
    let mut invoker = people::member(guild, member);
    invoker["permissions"] = "2248473465835073".into();
    json!({
        "id": world.snowflake().to_string(), "application_id": BOT_ID.to_string(), "type": 2,
        "data": {"id": (guild_id(0) + 300).to_string(), "name": "ping", "type": 1},
        "guild": {"id": guild_id(guild).to_string(), "features": ["COMMUNITY"], "locale": "en-US"},
        "guild_id": guild_id(guild).to_string(), "channel": channels::text_of_guild(guild),
        "channel_id": channel_id(guild, 1).to_string(), "member": invoker, "token": "an-interaction",
        "version": 1, "app_permissions": "2248473465835073", "locale": "en-US", "guild_locale": "en-US",
        "entitlements": [], "authorizing_integration_owners": {"0": guild_id(guild).to_string()}, "context": 0,
        "attachment_size_limit": 10_485_760,
    })
}

fn channel_update(_: &mut World, random: &mut Rng, guild: u32) -> Value {
    let mut channel = channels::text_of_guild(guild);
    channel["topic"] = format!("topic {}", random.u16(..)).into();
    channel
}

fn channel_pins_update(world: &mut World, _: &mut Rng, guild: u32) -> Value {
    json!({"guild_id": guild_id(guild).to_string(), "channel_id": channel_id(guild, 1).to_string(),
        "last_pin_timestamp": world.timestamp()})
}

fn thread_create(world: &mut World, _: &mut Rng, guild: u32) -> Value {
    channels::thread(guild, world.snowflake(), &world.timestamp())
}

fn role_update(_: &mut World, _: &mut Rng, guild: u32) -> Value {
    json!({"guild_id": guild_id(guild).to_string(), "role": guilds::role(guild, 1)})
}

fn invite_create(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    json!({
        "channel_id": channel_id(guild, 1).to_string(), "guild_id": guild_id(guild).to_string(),
        "code": format!("{:08x}", random.u32(..)), "created_at": world.timestamp(), "expires_at": null,
        "inviter": people::user(member_id(guild, 0)), "max_age": 86_400, "max_uses": 0, "temporary": false,
        "uses": 0, "type": 0,
    })
}

fn audit_log_entry(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    json!({
        "id": world.snowflake().to_string(), "guild_id": guild_id(guild).to_string(),
        "user_id": member_id(guild, 0).to_string(), "target_id": member_id(guild, anyone(world, random)).to_string(),
        "action_type": 25, "changes": [{"key": "$add", "new_value":
            [{"id": role_id(guild, 1).to_string(), "name": "role 1"}]}],
    })
}

fn ban_add(world: &mut World, random: &mut Rng, guild: u32) -> Value {
    member_remove(world, random, guild)
}

fn webhooks_update(_: &mut World, _: &mut Rng, guild: u32) -> Value {
    json!({"guild_id": guild_id(guild).to_string(), "channel_id": channel_id(guild, 1).to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_mix_comes_to_contain_every_kind_and_is_repeated_by_its_seed() {
        let events = |seed| {
            let (mut world, mut random) = (World::new(3, 5, 0), Rng::with_seed(seed));
            (0..5000)
                .map(|_| {
                    let (guild, name, build) = draw(&world, &mut random).unwrap();
                    (guild, name, build(&mut world, &mut random, guild).to_string())
                })
                .collect::<Vec<_>>()
        };
        let first = events(7);
        assert_eq!(first, events(7));
        assert_ne!(first, events(8));
        let kinds: BTreeSet<_> = first.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(kinds.len(), MIX.len());
    }

    #[test]
    fn no_guild_no_event() {
        assert!(draw(&World::new(0, 2, 0), &mut Rng::with_seed(1)).is_none());
    }
}
