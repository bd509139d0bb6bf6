//! Sessions on a virtual clock: Hello, Identify, Resume, replay, expiry, and rejected payloads.

mod common;

use std::time::Duration;

use common::{Seen, World, data, dispatches, heartbeat, identify, identify_with, name, op, resume};
use gateway_sim::{ClientMessage, Config, Control};
use serde_json::json;

#[test]
fn hello_ready_and_guilds_come_in_order() {
    let mut config = Config::default();
    config.guilds = 3;
    let mut world = World::new(config);
    let id = world.connect();
    world.send(id, &identify());
    let seen = world.seen(id);
    let names: Vec<_> = seen.iter().filter_map(name).collect();
    assert_eq!(names, ["READY", "GUILD_CREATE", "GUILD_CREATE", "GUILD_CREATE"]);
    let sequences: Vec<_> = dispatches(&seen).into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(data(&seen[0])["guilds"].as_array().unwrap().len(), 3);
    assert!(data(&seen[0]).get("shard").is_none(), "no shard unless one was sent");
}

#[test]
fn a_resume_replays_missed_events_and_ends_with_resumed() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    world.control(Control::Emit { count: 3, padding: 0 });
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    let seen = world.seen(id);
    let expected: Vec<_> =
        [("MESSAGE_CREATE", 4), ("MESSAGE_CREATE", 5), ("MESSAGE_CREATE", 6), ("RESUMED", 7)]
            .map(|(name, sequence)| (name.to_owned(), sequence))
            .into();
    assert_eq!(dispatches(&seen), expected);
    assert!(data(&seen[3]).is_object());
}

#[test]
fn lost_events_are_replayed_and_skipped_numbers_are_not() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Lose { count: 2 });
    world.control(Control::Skip { count: 1 });
    assert_eq!(world.seen(id), []);
    world.control(Control::Emit { count: 1, padding: 0 });
    let message = |sequence| ("MESSAGE_CREATE".to_owned(), sequence);
    assert_eq!(dispatches(&world.seen(id)), [message(7)]);
    world.client(id, ClientMessage::Gone);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    let replay = [message(4), message(5), message(7), ("RESUMED".to_owned(), 8)];
    assert_eq!(dispatches(&world.seen(id)), replay);
}

#[test]
fn closing_with_1000_or_1001_ends_the_session_and_other_codes_keep_it() {
    for (code, kept) in [(1000, false), (1001, false), (4000, true), (1012, true)] {
        let mut world = World::plain();
        let (id, session) = world.start();
        world.client(id, ClientMessage::Close(Some(code)));
        assert_eq!(world.seen(id), [Seen::Close(Some(code)), Seen::End("drop")]);
        let id = world.connect();
        world.send(id, &resume(&session, 3));
        let seen = world.seen(id);
        if kept {
            assert_eq!(name(&seen[0]), Some("RESUMED"), "{code}");
        } else {
            assert_eq!((op(&seen[0]), data(&seen[0])), (Some(9), &json!(false)), "{code}");
        }
    }
}

#[test]
fn the_echo_of_a_server_close_ends_no_session() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Close { code: Some(4000) });
    world.client(id, ClientMessage::Close(Some(1000)));
    assert_eq!(world.seen(id), [Seen::Close(Some(4000)), Seen::End("drop")]);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(name(&world.seen(id)[0]), Some("RESUMED"));
}

#[test]
fn a_session_expires_without_a_connection_and_not_with_one() {
    let mut config = Config::default();
    config.missed_heartbeats = None;
    config.session_expiry = Duration::from_secs(60);
    let mut world = World::new(config);
    let (id, session) = world.start();
    world.wait(Duration::from_secs(600));
    world.client(id, ClientMessage::Gone);
    world.wait(Duration::from_secs(59));
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(name(&world.seen(id)[0]), Some("RESUMED"));
    // The expiry set at the first loss must not end the resumed session.
    world.wait(Duration::from_secs(2));
    assert_eq!(world.gateway.session_of(id), Some(1));
    world.client(id, ClientMessage::Gone);
    world.wait(Duration::from_secs(60));
    let id = world.connect();
    world.send(id, &resume(&session, 4));
    assert_eq!(data(&world.seen(id)[0]), &json!(false));
}

#[test]
fn an_incomplete_replay_is_refused() {
    let mut config = Config::default();
    config.replay_limit = Some(5);
    let mut world = World::new(config);
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    world.control(Control::Emit { count: 6, padding: 0 });
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!((op(&world.seen(id)[0])), Some(9));
}

#[test]
fn a_sequence_from_the_future_is_4007() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    let id = world.connect();
    world.send(id, &resume(&session, 4));
    assert_eq!(world.seen(id), [Seen::Close(Some(4007))]);
}

#[test]
fn invalid_identifies_are_closed() {
    let cases = [
        (json!({"token": "wrong"}), 4004),
        (json!({"shard": [2, 2]}), 4010),
        (json!({"shard": [0, 0]}), 4010),
        (json!({"shard": [0]}), 4010),
        (json!({"intents": null}), 4013),
        (json!({"intents": 1_u64 << 40}), 4013),
        (json!({"intents": 1 << 15}), 4014),
        (json!({"properties": null}), 4001),
        (json!({"token": null}), 4001),
    ];
    for (changes, code) in cases {
        let mut config = Config::default();
        config.disallowed_intents = 1 << 15;
        let mut world = World::new(config);
        let id = world.connect();
        let changes_text = changes.to_string();
        let mut payload = identify_with(json!({"intents": 513}));
        let changed = identify_with(changes);
        for (key, value) in changed["d"].as_object().unwrap() {
            if key != "intents" || changes_text.contains("intents") {
                payload["d"][key] = value.clone();
            }
        }
        for key in ["token", "intents", "properties"] {
            if changed["d"].get(key).is_none() {
                payload["d"].as_object_mut().unwrap().remove(key);
            }
        }
        world.send(id, &payload);
        assert_eq!(world.seen(id), [Seen::Close(Some(code))], "{changes_text}");
    }
}

#[test]
fn too_many_guilds_for_a_shard_is_4011() {
    let mut config = Config::default();
    config.guilds = 11;
    config.guilds_per_shard = 10;
    let mut world = World::new(config);
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(world.seen(id), [Seen::Close(Some(4011))]);
    let id = world.connect();
    world.send(id, &identify_with(json!({"shard": [0, 2]})));
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));
}

#[test]
fn identifies_of_one_bucket_are_spaced_and_buckets_are_independent() {
    let mut config = Config::default();
    config.max_concurrency = 2;
    let mut world = World::new(config);
    let try_shard = |world: &mut World, shard: u32| {
        let id = world.connect();
        world.send(id, &identify_with(json!({"shard": [shard, 4]})));
        op(&world.seen(id)[0]) == Some(0)
    };
    assert!(try_shard(&mut world, 0));
    assert!(try_shard(&mut world, 1));
    assert!(!try_shard(&mut world, 2));
    world.wait(Duration::from_millis(4999));
    assert!(!try_shard(&mut world, 2));
    world.wait(Duration::from_millis(1));
    assert!(try_shard(&mut world, 2));
    assert!(try_shard(&mut world, 3));
}

#[test]
fn session_starts_run_out_and_come_back_after_a_day() {
    let mut config = Config::default();
    config.session_starts = 1;
    let mut world = World::new(config);
    world.start();
    world.wait(Duration::from_secs(6));
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(world.seen(id), [Seen::Close(Some(4004))]);
    world.wait(Duration::from_secs(24 * 60 * 60));
    world.start();
}

#[test]
fn a_second_identify_or_a_resume_on_a_live_session_is_4005() {
    for payload in [identify(), resume("anything", 0)] {
        let mut world = World::plain();
        let (id, _) = world.start();
        world.send(id, &payload);
        assert_eq!(world.seen(id), [Seen::Close(Some(4005))]);
    }
}

#[test]
fn invalid_payloads_are_closed() {
    let long = json!({"op": 3, "d": "x".repeat(4096)}).to_string();
    let cases = [
        ("not json", 4002),
        ("[]", 4002),
        (r#"{"d":null}"#, 4002),
        (r#"{"op":"1"}"#, 4002),
        (long.as_str(), 4002),
        (r#"{"op":5,"d":null}"#, 4001),
        (r#"{"op":99,"d":null}"#, 4001),
        (r#"{"op":3,"d":{"status":"online","activities":[],"afk":false}}"#, 4001),
        (r#"{"op":8,"d":{"guild_id":"1"}}"#, 4001),
        (r#"{"op":4,"d":{}}"#, 4001),
        (r#"{"op":31,"d":{}}"#, 4001),
        (r#"{"op":43,"d":{}}"#, 4001),
    ];
    for (text, code) in cases {
        let mut world = World::plain();
        let (id, _) = world.start();
        world.client(id, ClientMessage::Text(text));
        assert_eq!(world.seen(id), [Seen::Close(Some(code))], "{text}");
    }
}

#[test]
fn commands_before_identify_are_4003_and_heartbeats_are_not() {
    let mut world = World::plain();
    let id = world.connect();
    world.send(id, &heartbeat(None));
    assert_eq!(op(&world.seen(id)[0]), Some(11));
    world.send(id, &json!({"op": 4, "d": {"guild_id": "1", "channel_id": null}}));
    assert_eq!(world.seen(id), [Seen::Close(Some(4003))]);
}

#[test]
fn the_121st_message_in_a_minute_is_4008() {
    let mut world = World::plain();
    let (id, _) = world.start();
    for _ in 0..119 {
        world.send(id, &heartbeat(None));
    }
    assert!(world.seen(id).iter().all(|seen| op(seen) == Some(11)));
    world.wait(Duration::from_secs(60));
    for _ in 0..120 {
        world.send(id, &heartbeat(None));
    }
    assert!(world.seen(id).iter().all(|seen| op(seen) == Some(11)));
    world.send(id, &heartbeat(None));
    assert_eq!(world.seen(id), [Seen::Close(Some(4008))]);
}

#[test]
fn versions_other_than_9_and_10_are_4012() {
    for (target, served) in [("/?v=9", true), ("/?v=10", true), ("/?v=8", false), ("/", false)] {
        let mut world = World::plain();
        let id = world.open(target);
        let seen = world.seen(id);
        assert_eq!(seen[0], Seen::Accept);
        assert_eq!(seen[1] == Seen::Close(Some(4012)), !served, "{target}");
    }
}

#[test]
fn without_heartbeats_the_session_times_out() {
    let mut config = Config::default();
    config.heartbeat_interval = Duration::from_secs(10);
    let mut world = World::new(config);
    let (id, session) = world.start();
    for _ in 0..10 {
        world.wait(Duration::from_secs(29));
        world.send(id, &heartbeat(Some(3)));
        assert_eq!(op(&world.seen(id)[0]), Some(11));
    }
    world.wait(Duration::from_secs(30));
    assert_eq!(world.seen(id), [Seen::Close(Some(4009))]);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(data(&world.seen(id)[0]), &json!(false));
}

#[test]
fn an_unanswered_close_ends_after_a_timeout() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Close { code: None });
    assert_eq!(world.seen(id), [Seen::Close(None)]);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.seen(id), [Seen::End("drop")]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut config = Config::default();
        config.seed = seed;
        config.rate = 20.0;
        let mut world = World::new(config);
        let (id, session) = world.start();
        world.wait(Duration::from_secs(30));
        (session, format!("{:?}", world.seen(id)))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
