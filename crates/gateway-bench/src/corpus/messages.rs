//! MESSAGE_CREATE and MESSAGE_UPDATE.

use fastrand::Rng;
use gateway_sim::iso8601;
use serde_json::{Value, json};

use super::attachments::{attachment, embed, link_preview, rich_embed};
use super::channels;
use super::draw::{around, chance, hex, pick, skewed};
use super::guilds::{Guild, Recent};
use super::text;
use super::time::{Clock, old_snowflake};

/// A message object without the fields that MESSAGE_CREATE adds
/// ([Discord Docs, Messages Resource > Message Object](https://discord.com/developers/docs/resources/message#message-object)).
fn message(guild: &Guild, recent: &Recent) -> Value {
    json!({
        "type": 0, "tts": false, "timestamp": iso8601(recent.sent_at_ms), "pinned": false, "mentions": [],
        "mention_roles": [], "mention_everyone": false, "id": recent.id.to_string(), "flags": 0, "embeds": [],
        "edited_timestamp": null, "content": recent.content, "components": [],
        "channel_id": guild.channels[recent.channel].id.to_string(),
        "author": guild.people[recent.author].user(), "attachments": [],
    })
}

/// Adds the fields that both events have besides the message.
fn add_guild(guild: &Guild, author: usize, message: &mut Value) {
    message["member"] = guild.people[author].partial_member();
    message["guild_id"] = guild.id.to_string().into();
    message["channel_type"] = 0.into();
}

/// The `d` of MESSAGE_CREATE.
pub(super) fn create(guild: &mut Guild, random: &mut Rng, clock: &mut Clock, application: u64) -> Value {
    let recent = Recent {
        id: clock.snowflake(random),
        channel: guild.text_channel(random),
        author: guild.anyone(random),
        sent_at_ms: clock.now_ms,
        content: text::content(random),
    };
    let mut value = message(guild, &recent);
    add_guild(guild, recent.author, &mut value);
    match random.u8(0..200) {
        0..34 => reply(guild, random, &mut value),
        34..54 => answer_of_a_bot(guild, random, clock, application, &mut value),
        54..58 => webhook(random, clock, &mut value),
        58..61 => sticker(random, clock, &mut value),
        61..63 => poll(random, clock, &mut value),
        63..64 => crosspost(guild, random, clock, &mut value),
        64..96 => add_attachments(guild, &recent, random, clock, &mut value),
        96..120 => value["embeds"] = json!([link_preview(random)]),
        _ => {}
    }
    if chance(random, 18) {
        mention(guild, random, &mut value);
    }
    if value.get("webhook_id").is_none() && chance(random, 85) {
        value["nonce"] = clock.snowflake(random).to_string().into();
    }
    if chance(random, 8) {
        value["position"] = random.u8(..).into();
        value["channel_type"] = 11.into();
    }
    guild.remember(recent);
    value
}

/// The `d` of MESSAGE_UPDATE: an edit, or link previews that Discord has loaded.
pub(super) fn update(guild: &Guild, random: &mut Rng, clock: &mut Clock) -> Value {
    let recent = match guild.recent.len() {
        0 => Recent {
            id: clock.snowflake(random),
            channel: guild.text_channel(random),
            author: guild.anyone(random),
            sent_at_ms: clock.now_ms,
            content: text::content(random),
        },
        length => guild.recent[length - 1 - skewed(random, length)].clone(),
    };
    let mut value = message(guild, &recent);
    add_guild(guild, recent.author, &mut value);
    match random.u8(0..10) {
        0..4 => value["embeds"] = (0..random.usize(1..3)).map(|_| link_preview(random)).collect(),
        4..7 => {
            value["embeds"] = json!([rich_embed(random, clock)]);
            value["components"] = components(random);
            value["edited_timestamp"] = iso8601(clock.now_ms).into();
        }
        7 => {
            add_attachments(guild, &recent, random, clock, &mut value);
            value["edited_timestamp"] = iso8601(clock.now_ms).into();
        }
        8 => {
            value["flags"] = 32.into();
            let parent = &guild.channels[recent.channel];
            let owner = guild.people[recent.author].id;
            value["thread"] = channels::thread(random, recent.id, guild.id, parent, owner, clock.now_ms);
        }
        _ => {
            value["content"] = text::content(random).into();
            value["edited_timestamp"] = iso8601(clock.now_ms).into();
        }
    }
    if chance(random, 25) {
        value["reactions"] = (0..around(random, 2).max(1)).map(|_| reaction(guild, random)).collect();
    }
    if chance(random, 20) {
        reply(guild, random, &mut value);
    }
    if chance(random, 20) {
        mention(guild, random, &mut value);
    }
    value
}

/// A message with components, as in interactions with them.
pub(super) fn with_components(guild: &Guild, random: &mut Rng, clock: &mut Clock, application: u64) -> Value {
    let author = guild.people.iter().position(|person| person.bot).unwrap_or(0);
    let recent = Recent {
        id: clock.snowflake(random),
        channel: guild.text_channel(random),
        author,
        sent_at_ms: clock.now_ms,
        content: text::words(random, 8),
    };
    let mut value = message(guild, &recent);
    value["embeds"] = json!([embed(random, clock)]);
    value["components"] = components(random);
    value["application_id"] = application.to_string().into();
    value
}

fn reply(guild: &Guild, random: &mut Rng, value: &mut Value) {
    let Some(length) = guild.recent.len().checked_sub(1) else { return };
    let recent = &guild.recent[length - skewed(random, length + 1)];
    value["type"] = 19.into();
    value["message_reference"] = json!({
        "type": 0, "message_id": recent.id.to_string(), "guild_id": guild.id.to_string(),
        "channel_id": guild.channels[recent.channel].id.to_string(),
    });
    if chance(random, 4) {
        // The message was deleted.
        value["referenced_message"] = Value::Null;
        return;
    }
    let mut mentioned = guild.people[recent.author].user();
    mentioned["member"] = guild.people[recent.author].partial_member();
    value["mentions"] = json!([mentioned]);
    value["referenced_message"] = message(guild, recent);
}

fn mention(guild: &Guild, random: &mut Rng, value: &mut Value) {
    let person = &guild.people[guild.anyone(random)];
    let mut content = format!("<@{}> {}", person.id, value["content"].as_str().unwrap_or_default());
    if chance(random, 20) {
        let role = guild.role_ids[skewed(random, guild.role_ids.len() - 1) + 1];
        content.push_str(&format!(" <@&{role}>"));
        value["mention_roles"] = json!([role.to_string()]);
    }
    let emoji = &guild.emojis[skewed(random, guild.emojis.len())];
    if chance(random, 30) {
        content.push_str(&format!(
            " <{}:{}:{}>",
            if emoji.animated { "a" } else { "" },
            emoji.name,
            emoji.id
        ));
    }
    value["content"] = content.into();
    value["mention_everyone"] = chance(random, 4).into();
    let mut user = person.user();
    user["member"] = person.partial_member();
    let mentioned = value["mentions"]
        .as_array()
        .is_some_and(|mentions| mentions.iter().any(|mention| mention["id"] == user["id"]));
    if !mentioned && let Some(mentions) = value["mentions"].as_array_mut() {
        mentions.push(user);
    }
}

fn answer_of_a_bot(guild: &Guild, random: &mut Rng, clock: &mut Clock, application: u64, value: &mut Value) {
    value["author"]["bot"] = true.into();
    value["embeds"] = json!([rich_embed(random, clock)]);
    if random.bool() {
        value["components"] = components(random);
    }
    value["application_id"] = application.to_string().into();
    if random.bool() {
        let invoker = &guild.people[guild.anyone(random)];
        value["type"] = 20.into();
        value["webhook_id"] = application.to_string().into();
        value["interaction_metadata"] = json!({
            "user": invoker.user(), "type": 2, "name": "play", "id": clock.snowflake(random).to_string(),
            "command_type": 1, "authorizing_integration_owners": {"0": guild.id.to_string()},
        });
    }
}

fn webhook(random: &mut Rng, clock: &Clock, value: &mut Value) {
    let id = old_snowflake(random, clock.now_ms).to_string();
    let name = text::title(random);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("member");
    }
    value["author"] = json!({
        "username": name, "public_flags": 0, "primary_guild": null, "id": id, "global_name": null, "flags": 0,
        "discriminator": "0000", "collectibles": null, "bot": true, "avatar_decoration_data": null,
        "avatar": null,
    });
    value["webhook_id"] = id.into();
    value["embeds"] = json!([rich_embed(random, clock)]);
}

fn sticker(random: &mut Rng, clock: &mut Clock, value: &mut Value) {
    value["content"] = "".into();
    value["sticker_items"] = json!([{
        "name": text::username(random), "id": old_snowflake(random, clock.now_ms).to_string(),
        "format_type": 1,
    }]);
}

fn poll(random: &mut Rng, clock: &Clock, value: &mut Value) {
    let answers: Vec<Value> = (1..random.u8(3..7))
        .map(|number| {
            let mut media = json!({"text": text::words(random, 3)});
            if random.bool() {
                media["emoji"] = json!({"name": pick(random, &text::EMOJI)});
            }
            json!({"poll_media": media, "answer_id": number})
        })
        .collect();
    value["content"] = "".into();
    value["poll"] = json!({
        "question": {"text": text::words(random, 8)}, "layout_type": 1, "answers": answers,
        "expiry": iso8601(clock.now_ms + 86_400_000), "allow_multiselect": random.bool(),
    });
}

/// A message of a followed channel in another guild.
fn crosspost(guild: &Guild, random: &mut Rng, clock: &Clock, value: &mut Value) {
    webhook(random, clock, value);
    let mut id = || old_snowflake(random, clock.now_ms).to_string();
    let (from, channel, message) = (id(), id(), id());
    value["flags"] = 2.into();
    value["mention_channels"] = json!([{
        "type": 0, "name": guild.channels[1].name, "id": guild.channels[1].id.to_string(), "guild_id": from,
    }]);
    value["message_reference"] =
        json!({"type": 0, "message_id": message, "guild_id": from, "channel_id": channel});
}

fn add_attachments(guild: &Guild, recent: &Recent, random: &mut Rng, clock: &mut Clock, value: &mut Value) {
    let channel = guild.channels[recent.channel].id;
    let count = if chance(random, 20) { random.usize(2..5) } else { 1 };
    value["attachments"] = (0..count).map(|_| attachment(random, clock, channel)).collect();
}

fn reaction(guild: &Guild, random: &mut Rng) -> Value {
    let count = around(random, 4).max(1);
    json!({
        "me_burst": false, "me": chance(random, 10), "emoji": guild.reaction_emoji(random), "count": count,
        "count_details": {"normal": count, "burst": 0}, "burst_me": false, "burst_count": 0,
        "burst_colors": [],
    })
}

/// Action rows with buttons, or with a menu
/// ([Discord Docs, Components > Component Reference](https://discord.com/developers/docs/components/reference)).
fn components(random: &mut Rng) -> Value {
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    let row = if chance(random, 25) {
        let options: Vec<Value> = (0..random.usize(2..6))
            .map(|number| {
                json!({"value": format!("option-{number}"), "label": text::title(random),
                    "emoji": {"name": "🎲"},
                    "description": text::words(random, 4), "default": false})
            })
            .collect();
        json!([{"type": 3, "placeholder": text::words(random, 4), "options": options, "min_values": 1,
            "id": next(),
            "max_values": 1, "custom_id": format!("menu:{}", hex(random, 12))}])
    } else {
        let mut buttons: Vec<Value> = (0..random.usize(1..4))
            .map(|number| {
                json!({"type": 2, "style": random.u8(1..5), "label": text::title(random), "id": next(),
                    "custom_id": format!("button:{number}:{}", hex(random, 8))})
            })
            .collect();
        if random.bool() {
            buttons.push(
                json!({"type": 2, "style": 5, "label": "Open", "id": next(), "url": text::link(random)}),
            );
        }
        buttons.into()
    };
    json!([{"type": 1, "id": next(), "components": row}])
}
