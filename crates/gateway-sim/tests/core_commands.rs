//! Commands of a bot with a session: opcodes 3, 4, 8, 31 and 43.

mod common;

use std::time::Duration;

use common::{Seen, World, data, identify_with, name, op};
use gateway_sim::{Config, ConnectionId};
use serde_json::{Value, json};

fn guild_id(world: &World) -> String {
    let id = 300_000_000_000_u64 << 22;
    assert_eq!(world.gateway.config().guilds, 2);
    id.to_string()
}

fn ask(world: &mut World, id: ConnectionId, op: u64, data: Value) -> Vec<Seen> {
    world.send(id, &json!({"op": op, "d": data}));
    world.seen(id)
}

fn world_of(members: u32) -> World {
    let mut config = Config::default();
    config.members = members;
    World::new(config)
}

#[test]
fn joining_voice_gives_a_state_and_a_server_and_leaving_a_state() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let guild = guild_id(&world);
    let seen = ask(
        &mut world,
        id,
        4,
        json!({"guild_id": guild, "channel_id": "5", "self_mute": true, "self_deaf": false}),
    );
    assert_eq!(
        seen.iter().filter_map(name).collect::<Vec<_>>(),
        ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]
    );
    assert_eq!(data(&seen[0])["channel_id"], "5");
    assert_eq!(data(&seen[0])["self_mute"], true);
    let seen = ask(
        &mut world,
        id,
        4,
        json!({"guild_id": guild, "channel_id": null, "self_mute": false, "self_deaf": false}),
    );
    assert_eq!(seen.iter().filter_map(name).collect::<Vec<_>>(), ["VOICE_STATE_UPDATE"]);
    assert_eq!(data(&seen[0])["channel_id"], Value::Null);
}

#[test]
fn all_members_come_in_chunks_of_a_thousand() {
    let mut world = world_of(2500);
    let (id, _) = world.start();
    let guild = guild_id(&world);
    let request = json!({"guild_id": guild, "query": "", "limit": 0, "presences": true, "nonce": "n"});
    let seen = ask(&mut world, id, 8, request);
    let sizes: Vec<_> = seen.iter().map(|seen| data(seen)["members"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    for (index, chunk) in seen.iter().enumerate() {
        assert_eq!(data(chunk)["chunk_index"], index);
        assert_eq!(data(chunk)["chunk_count"], 3);
        assert_eq!(data(chunk)["nonce"], "n");
        assert_eq!(data(chunk)["presences"].as_array().unwrap().len(), sizes[index]);
    }
}

#[test]
fn all_members_of_one_guild_can_be_asked_for_twice_a_minute() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let guild = guild_id(&world);
    let request = json!({"guild_id": guild, "query": "", "limit": 0, "nonce": "n"});
    assert_eq!(name(&ask(&mut world, id, 8, request.clone())[0]), Some("GUILD_MEMBERS_CHUNK"));
    world.wait(Duration::from_secs(10));
    let seen = ask(&mut world, id, 8, request.clone());
    assert_eq!(name(&seen[0]), Some("RATE_LIMITED"));
    assert_eq!(
        data(&seen[0]),
        &json!({"opcode": 8, "retry_after": 20.0, "meta": {"guild_id": guild, "nonce": "n"}})
    );
    world.wait(Duration::from_secs(20));
    assert_eq!(name(&ask(&mut world, id, 8, request)[0]), Some("GUILD_MEMBERS_CHUNK"));
}

#[test]
fn members_are_found_by_id_and_by_name() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let guild = guild_id(&world);
    let by_name = ask(&mut world, id, 8, json!({"guild_id": guild, "query": "simulated", "limit": 10}));
    let bot = data(&by_name[0])["members"][0]["user"]["id"].clone();
    assert_eq!(data(&by_name[0])["members"].as_array().unwrap().len(), 1);
    let by_id = ask(&mut world, id, 8, json!({"guild_id": guild, "user_ids": [bot, "5", 123_123]}));
    assert_eq!(data(&by_id[0])["members"].as_array().unwrap().len(), 1);
    assert_eq!(data(&by_id[0])["not_found"], json!(["5", 123_123]));
    let by_one_id = ask(&mut world, id, 8, json!({"guild_id": guild, "user_ids": bot}));
    assert_eq!(data(&by_one_id[0])["members"].as_array().unwrap().len(), 1);
}

#[test]
fn a_request_for_all_members_without_the_intent_is_not_answered() {
    let mut world = World::plain();
    let id = world.connect();
    world.send(id, &identify_with(json!({"intents": 1})));
    world.seen(id);
    let guild = guild_id(&world);
    assert_eq!(ask(&mut world, id, 8, json!({"guild_id": guild, "query": "", "limit": 0})), []);
}

#[test]
fn ids_that_are_not_numbers_end_the_session() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let seen = ask(&mut world, id, 8, json!({"guild_id": "many", "query": "", "limit": 0}));
    assert_eq!((op(&seen[0]), data(&seen[0])), (Some(9), &json!(false)));
    assert_eq!(world.gateway.session_of(id), None);
}

#[test]
fn sounds_and_channels_are_answered() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let guild = guild_id(&world);
    let sounds = ask(&mut world, id, 31, json!({"guild_ids": [guild, "1"]}));
    assert_eq!(sounds.iter().filter_map(name).collect::<Vec<_>>(), ["SOUNDBOARD_SOUNDS"]);
    let info = ask(&mut world, id, 43, json!({"guild_id": guild, "fields": ["status"]}));
    assert_eq!(name(&info[0]), Some("CHANNEL_INFO"));
    assert!(data(&info[0])["channels"][0].get("voice_start_time").is_none());
    assert_eq!(data(&info[0])["channels"][0]["status"], Value::Null);
}

#[test]
fn a_complete_presence_has_no_answer() {
    let mut world = World::plain();
    let (id, _) = world.start();
    let presence = json!({"since": null, "activities": [], "status": "idle", "afk": false});
    assert_eq!(ask(&mut world, id, 3, presence), []);
    assert_eq!(world.gateway.counters().commands, 1);
}
