//! INTERACTION_CREATE.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::channels::permissions;
use super::draw::{base64, chance, hex, pick};
use super::guilds::Guild;
use super::messages;
use super::text;
use super::time::{Clock, old_snowflake};

/// The `d` of INTERACTION_CREATE
/// ([Discord Docs, Receiving and Responding to Interactions > Interaction Structure](https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-object-interaction-structure)).
pub(super) fn create(guild: &Guild, random: &mut Rng, clock: &mut Clock, application: u64) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let channel = &guild.channels[guild.text_channel(random)];
    let (kind, data) = match random.u8(0..20) {
        0..16 => (2, command(guild, random, clock)),
        16..17 => (3, component(guild, random)),
        17..19 => (4, autocomplete(random, clock)),
        _ => (5, modal(random)),
    };
    let mut interaction = json!({
        "version": 1, "type": kind, "token": base64(random, 218),
        "member": person.member_with_permissions(permissions(random)),
        "locale": pick(random, &["en-US", "de", "ja"]),
        "id": clock.snowflake(random).to_string(), "guild_locale": "en-US", "guild_id": guild.id.to_string(),
        "guild": {"locale": "en-US", "id": guild.id.to_string(),
        "features": ["COMMUNITY", "NEWS", "SOUNDBOARD"]},
        "entitlements": [], "entitlement_sku_ids": [], "data": data, "context": 0,
        "channel_id": channel.id.to_string(), "channel": channel.of_interaction(guild.id),
        "authorizing_integration_owners": {"0": guild.id.to_string()}, "attachment_size_limit": 10_485_760,
        "application_id": application.to_string(), "app_permissions": "2248473465835073",
    });
    if chance(random, 10) {
        interaction["entitlements"] = json!([{
            "user_id": person.id.to_string(), "type": 8, "starts_at": null, "ends_at": null, "deleted": false,
            "sku_id": old_snowflake(random, clock.now_ms).to_string(), "consumed": false, "guild_id": null,
            "id": old_snowflake(random, clock.now_ms).to_string(), "application_id": application.to_string(),
        }]);
    }
    if kind == 3 {
        let mut message = messages::with_components(guild, random, clock, application);
        message["channel_id"] = channel.id.to_string().into();
        interaction["message"] = message;
    }
    interaction
}

/// A slash command with options of several types, and the objects that its ids refer to.
fn command(guild: &Guild, random: &mut Rng, clock: &Clock) -> Value {
    let (mut options, mut resolved) = (Vec::new(), Map::new());
    for (percent, kind) in [(50, 3), (25, 6), (25, 4), (15, 5), (8, 7), (5, 8), (5, 10)] {
        if !chance(random, percent) {
            continue;
        }
        let value: Value = match kind {
            3 => text::words(random, 8).into(),
            4 => random.i32(-1000..100_000).into(),
            5 => random.bool().into(),
            6 => user_option(guild, random, &mut resolved),
            7 => {
                let channel = &guild.channels[guild.text_channel(random)];
                let id = channel.id.to_string();
                let mut object = channel.of_interaction(guild.id);
                object["permissions"] = permissions(random).to_string().into();
                resolved.insert("channels".to_owned(), json!({&id: object}));
                id.into()
            }
            8 => {
                let role = guild.role(random.usize(0..guild.role_ids.len()));
                let id = role["id"].as_str().unwrap_or_default();
                resolved.insert("roles".to_owned(), json!({id: role}));
                id.into()
            }
            _ => (f64::from(random.i32(-4000..4000)) / 16.0 + 0.03125).into(),
        };
        let name = ["query", "amount", "silent", "user", "channel", "role", "", "ratio"][kind - 3];
        options.push(json!({"value": value, "type": kind, "name": name}));
    }
    if chance(random, 30) {
        options = vec![json!({"type": 1, "options": options, "name": "add"})];
    }
    let mut data = json!({
        "type": 1, "options": options, "name": pick(random, &["play", "ban", "rank", "remind", "ticket"]),
        "id": old_snowflake(random, clock.now_ms).to_string(),
    });
    if !resolved.is_empty() {
        data["resolved"] = resolved.into();
    }
    data
}

/// The value of a user option. It is text, even where other ids are integers.
fn user_option(guild: &Guild, random: &mut Rng, resolved: &mut Map<String, Value>) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let id = person.id.to_string();
    let mut member = person.partial_member();
    member["permissions"] = permissions(random).to_string().into();
    if let Some(fields) = member.as_object_mut() {
        fields.remove("deaf");
        fields.remove("mute");
    }
    resolved.insert("users".to_owned(), json!({&id: person.user()}));
    resolved.insert("members".to_owned(), json!({&id: member}));
    id.into()
}

fn component(guild: &Guild, random: &mut Rng) -> Value {
    match random.u8(0..4) {
        0 => {
            json!({"values": ["option-1"], "id": 2, "custom_id": format!("menu:{}", hex(random, 12)),
                "component_type": 3})
        }
        1 => {
            let mut resolved = Map::new();
            let user = user_option(guild, random, &mut resolved);
            json!({"values": [user], "resolved": resolved, "id": 2, "custom_id": "choose",
                "component_type": 5})
        }
        _ => json!({"id": 2, "custom_id": format!("button:0:{}", hex(random, 8)), "component_type": 2}),
    }
}

fn autocomplete(random: &mut Rng, clock: &Clock) -> Value {
    json!({
        "type": 1, "options": [{"value": text::words(random, 2), "type": 3, "name": "query",
        "focused": true}],
        "name": "play", "id": old_snowflake(random, clock.now_ms).to_string(),
    })
}

fn modal(random: &mut Rng) -> Value {
    let rows: Vec<Value> = (0..random.usize(1..4))
        .map(|number| {
            json!({"type": 1, "id": number * 2 + 1, "components": [{"value": text::content(random), "type": 4,
                "id": number * 2 + 2, "custom_id": format!("field:{number}")}]})
        })
        .collect();
    json!({"custom_id": format!("modal:{}", hex(random, 8)), "components": rows})
}
