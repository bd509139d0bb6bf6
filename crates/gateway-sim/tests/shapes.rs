//! All dispatches are complete enough for a strict model of the events, in JSON and in ETF.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Seen, World, identify, identify_with, resume};
use gateway_codec::{Encoding, Envelope};
use gateway_sim::{ClientMessage, Config, Output};
use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use twilight_model::gateway::event::DispatchEventWithTypeDeserializer;

/// Events that the model does not know, and one for which it expects another shape than documented.
const UNKNOWN: [&str; 3] = ["SOUNDBOARD_SOUNDS", "CHANNEL_INFO", "RATE_LIMITED"];

fn busy() -> World {
    let mut config = Config::default();
    config.rate = 1000.0;
    config.missed_heartbeats = None;
    World::new(config)
}

/// Sends every request, and lets the background run for a while.
fn live(world: &mut World, send: impl Fn(&mut World, &Value)) {
    let guild = (300_000_000_000_u64 << 22).to_string();
    send(world, &identify());
    for (op, data) in [
        (8, json!({"guild_id": guild, "query": "", "limit": 0, "presences": true, "nonce": "n"})),
        (8, json!({"guild_id": guild, "query": "", "limit": 0})),
        (4, json!({"guild_id": guild, "channel_id": guild, "self_mute": false, "self_deaf": false})),
        (31, json!({"guild_ids": [guild]})),
        (43, json!({"guild_id": guild, "fields": ["status", "voice_start_time"]})),
    ] {
        send(world, &json!({"op": op, "d": data}));
    }
    world.wait(Duration::from_secs(10));
}

/// The text messages among the outputs.
fn texts(world: &mut World) -> Vec<String> {
    std::iter::from_fn(|| world.gateway.poll_output())
        .filter_map(|(_, output)| match output {
            Output::Send(message) => String::from_utf8(message.payload).ok(),
            _ => None,
        })
        .collect()
}

#[test]
fn twilight_model_decodes_every_event() {
    let mut world = busy();
    let id = world.connect();
    live(&mut world, |world, payload| world.send(id, payload));
    let mut texts = texts(&mut world);
    let first: Value = serde_json::from_str(&texts[0]).unwrap();
    let session = first["d"]["session_id"].as_str().unwrap();
    let newest = world.gateway.ledger().newest(1);
    world.client(id, ClientMessage::Gone);
    let id = world.connect();
    world.send(id, &resume(session, newest));
    texts.extend(self::texts(&mut world));
    let mut kinds = BTreeSet::new();
    for text in &texts {
        let envelope = Envelope::parse(text.as_bytes(), Encoding::Json).unwrap();
        let Some(name) = envelope.t.as_deref() else { continue };
        kinds.insert(name.to_owned());
        if UNKNOWN.contains(&name) {
            continue;
        }
        // Decodes the text itself: the order of keys matters to a strict model.
        let result = DispatchEventWithTypeDeserializer::new(name)
            .deserialize(&mut serde_json::Deserializer::from_slice(envelope.d.as_bytes()));
        assert!(result.is_ok(), "{name}: {:?}\n{text}", result.err());
    }
    // READY, RESUMED, the guilds, the answers, and the 21 kinds of the background.
    assert!(kinds.len() >= 28, "{kinds:?}");
}

#[test]
fn etf_and_json_have_the_same_content() {
    let mut json_world = busy();
    let json_id = json_world.connect();
    live(&mut json_world, |world, payload| world.send(json_id, payload));
    let mut etf_world = busy();
    let etf_id = etf_world.open("/?v=10&encoding=etf");
    while etf_world.gateway.poll_output().is_some() {}
    live(&mut etf_world, |world, payload| {
        let bytes = gateway_codec::encode(payload, Encoding::Etf).unwrap();
        world.client(etf_id, ClientMessage::Binary(&bytes));
    });
    let json: Vec<Value> = json_world
        .seen(json_id)
        .into_iter()
        .map(|seen| match seen {
            Seen::Payload(value) => value,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut count = 0;
    while let Some((_, output)) = etf_world.gateway.poll_output() {
        let Output::Send(message) = output else { panic!("{output:?}") };
        assert!(message.binary);
        let envelope = Envelope::parse(&message.payload, Encoding::Etf).unwrap();
        let data: Value = envelope.d.decode().unwrap();
        let expected = &json[count];
        assert_eq!(envelope.op, expected["op"]);
        assert_eq!(envelope.s, expected["s"].as_u64());
        assert_eq!(envelope.t.as_deref(), expected["t"].as_str());
        assert_eq!(data, expected["d"]);
        count += 1;
        let Some(name) = envelope.t.as_deref().filter(|name| !UNKNOWN.contains(name)) else { continue };
        let event = envelope.d.decode_seed(DispatchEventWithTypeDeserializer::new(name));
        assert!(event.is_ok(), "{name}: {:?}\n{expected}", event.err());
    }
    assert_eq!(count, json.len());
}

#[test]
fn etf_of_a_client_with_atom_keys_is_4002() {
    let mut world = World::plain();
    let id = world.open("/?v=10&encoding=etf");
    world.seen(id);
    // {op: 1, d: nil} with atoms as keys.
    let bytes =
        [131, 116, 0, 0, 0, 2, 100, 0, 2, b'o', b'p', 97, 1, 100, 0, 1, b'd', 100, 0, 3, b'n', b'i', b'l'];
    world.client(id, ClientMessage::Binary(&bytes));
    assert_eq!(world.seen(id), [Seen::Close(Some(4002))]);
}

#[test]
fn etf_as_text_is_4002_and_payload_compression_is_for_json_only() {
    let mut world = World::plain();
    let id = world.open("/?v=10&encoding=etf");
    world.seen(id);
    let identify = gateway_codec::encode(&identify_with(json!({"compress": true})), Encoding::Etf).unwrap();
    world.client(id, ClientMessage::Binary(&identify));
    for seen in world.seen(id) {
        let Seen::Binary(bytes) = seen else { panic!("{seen:?}") };
        assert_eq!(bytes[0], 131);
    }
    world.client(id, ClientMessage::Text("{\"op\":1,\"d\":null}"));
    assert_eq!(world.seen(id), [Seen::Close(Some(4002))]);
}
