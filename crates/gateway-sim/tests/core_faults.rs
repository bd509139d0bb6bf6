//! Faults on a virtual clock: each has its documented effect on its targets.

mod common;

use std::time::Duration;

use common::{Seen, URL, World, data, dispatches, heartbeat, identify, identify_with, name, op, resume};
use gateway_sim::{
    Action, ByteEffect, ByteFault, ClientMessage, Config, Control, KeyOrder, Output, Point, Response, Rule,
    ScriptStep, Target, When,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn with_rule(rule: Rule) -> World {
    let mut world = World::plain();
    world.control(Control::Rule(rule));
    world
}

#[test]
fn reconnect_when_idle_sends_op_7_and_what_follows_it() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Reconnect { then_emit: 2 });
    let seen = world.seen(id);
    assert_eq!(op(&seen[0]), Some(7));
    assert_eq!(dispatches(&seen).len(), 2);
}

#[test]
fn reconnect_before_hello_comes_instead_of_it() {
    let mut world = with_rule(Rule::once(Point::Connect, Action::Reconnect));
    let id = world.open(URL);
    let seen = world.seen(id);
    assert_eq!((seen.len(), op(&seen[1])), (2, Some(7)));
}

#[test]
fn reconnect_in_the_middle_of_a_replay() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    world.control(Control::Emit { count: 4, padding: 0 });
    world.control(Control::Rule(Rule { after: 2, ..Rule::once(Point::Replay, Action::Reconnect) }));
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    let ops: Vec<_> = world.seen(id).iter().filter_map(op).collect();
    assert_eq!(ops, [0, 0, 7, 0, 0, 0]);
}

#[test]
fn a_replay_can_be_broken_off() {
    for (action, end) in [
        (Action::Close(Some(4000)), vec![Seen::Close(Some(4000))]),
        (Action::Abort, vec![Seen::End("abort")]),
        (Action::Ignore, vec![]),
    ] {
        let mut world = World::plain();
        let (id, session) = world.start();
        world.client(id, ClientMessage::Gone);
        world.control(Control::Emit { count: 4, padding: 0 });
        world.control(Control::Rule(Rule { after: 1, ..Rule::once(Point::Replay, action) }));
        let id = world.connect();
        world.send(id, &resume(&session, 3));
        let seen = world.seen(id);
        assert_eq!(dispatches(&seen), [("MESSAGE_CREATE".to_owned(), 4)]);
        assert_eq!(seen[1..], end[..]);
    }
}

#[test]
fn invalid_true_keeps_the_session_and_false_ends_it() {
    for resumable in [true, false] {
        let mut world = World::plain();
        let (id, session) = world.start();
        world.control(Control::Invalid { resumable });
        assert_eq!(data(&world.seen(id)[0]), &json!(resumable));
        // The connection is still open, without a session.
        world.send(
            id,
            &json!({"op": 3, "d": {"since": null, "activities": [], "status": "online", "afk": false}}),
        );
        assert_eq!(world.seen(id), [Seen::Close(Some(4003))]);
        let id = world.connect();
        world.send(id, &resume(&session, 3));
        let resumed = name(&world.seen(id)[0]) == Some("RESUMED");
        assert_eq!(resumed, resumable);
    }
}

#[test]
fn closes_with_any_code_and_with_none() {
    for code in [None, Some(1000), Some(1001), Some(3000), Some(4000), Some(4999)] {
        let mut world = World::plain();
        let (id, session) = world.start();
        world.control(Control::Close { code });
        assert_eq!(world.seen(id), [Seen::Close(code)]);
        let id = world.connect();
        world.send(id, &resume(&session, 3));
        assert_eq!(name(&world.seen(id)[0]), Some("RESUMED"), "{code:?}");
    }
}

#[test]
fn a_code_that_no_frame_may_have_is_an_error_of_the_caller() {
    let mut world = World::plain();
    let (id, _) = world.start();
    for code in [0, 999, 1004, 1005, 1006, 2999, 5000] {
        let control = Control::Close { code: Some(code) };
        assert!(world.gateway.control(Target::All, control, world.now).is_err(), "{code}");
    }
    assert_eq!(world.seen(id), []);
}

#[test]
fn connections_end_by_reset_by_eof_and_within_a_message() {
    for (control, end) in [(Control::Abort, "abort"), (Control::Drop, "drop"), (Control::Cut, "cut")] {
        let mut world = World::plain();
        let (id, session) = world.start();
        world.control(control);
        assert_eq!(world.seen(id), [Seen::End(end)]);
        assert_eq!(world.gateway.connections().count(), 0);
        let id = world.connect();
        world.send(id, &resume(&session, 3));
        // The message was only half received, so it is replayed.
        let replayed = world.seen(id).iter().filter(|seen| name(seen) == Some("MESSAGE_CREATE")).count();
        assert_eq!(replayed, usize::from(end == "cut"));
    }
}

#[test]
fn mute_suppresses_only_acks() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Mute(true));
    world.send(id, &heartbeat(None));
    world.control(Control::Emit { count: 1, padding: 0 });
    let seen = world.seen(id);
    assert_eq!((seen.len(), op(&seen[0])), (1, Some(0)));
    world.control(Control::Mute(false));
    world.send(id, &heartbeat(None));
    assert_eq!(op(&world.seen(id)[0]), Some(11));
}

#[test]
fn silence_suppresses_everything_and_keeps_the_session() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Silence);
    assert_eq!(world.seen(id), [Seen::End("silence")]);
    world.send(id, &heartbeat(None));
    world.control(Control::Emit { count: 2, padding: 0 });
    world.control(Control::Beat);
    world.client(id, ClientMessage::Close(Some(4000)));
    assert_eq!(world.seen(id), []);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(dispatches(&world.seen(id)).len(), 3);
}

#[test]
fn a_heartbeat_is_requested() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Beat);
    assert_eq!(op(&world.seen(id)[0]), Some(1));
}

#[test]
fn acks_can_be_late() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::AckDelay(SECOND));
    world.send(id, &heartbeat(None));
    world.wait(Duration::from_millis(999));
    assert_eq!(world.seen(id), []);
    world.wait(Duration::from_millis(1));
    assert_eq!(op(&world.seen(id)[0]), Some(11));
}

#[test]
fn hello_can_be_late_or_never_come() {
    let mut world = with_rule(Rule::once(Point::Connect, Action::Delay(SECOND)));
    let id = world.open(URL);
    assert_eq!(world.seen(id), [Seen::Accept]);
    world.wait(SECOND);
    assert_eq!(op(&world.seen(id)[0]), Some(10));

    let mut world = with_rule(Rule::once(Point::Connect, Action::Ignore));
    let id = world.open(URL);
    world.wait(SECOND * 3600);
    assert_eq!(world.seen(id), [Seen::Accept]);
}

#[test]
fn a_second_hello_has_the_new_interval() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::HeartbeatInterval(SECOND));
    world.control(Control::Hello);
    assert_eq!(data(&world.seen(id)[0])["heartbeat_interval"], 1000);
}

#[test]
fn identify_and_resume_can_be_ignored_refused_and_delayed() {
    let mut world = with_rule(Rule::once(Point::Identify, Action::Ignore));
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(world.seen(id), []);

    let mut world = with_rule(Rule::once(Point::Identify, Action::Delay(SECOND)));
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(world.seen(id), []);
    world.wait(SECOND);
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));

    let (_, session) = {
        world.client(id, ClientMessage::Gone);
        world.control(Control::Rule(Rule::once(Point::Resume, Action::Invalid(true))));
        world.control(Control::Rule(Rule::once(Point::Resume, Action::Delay(SECOND))));
        (id, world.gateway.state()["sessions"][0]["session"].clone())
    };
    assert_eq!(session, 1);
    let id = world.connect();
    world.send(id, &resume("whatever", 3));
    assert_eq!(data(&world.seen(id)[0]), &json!(true));
    world.send(id, &resume("whatever", 3));
    assert_eq!(world.seen(id), []);
    world.wait(SECOND);
    assert_eq!(data(&world.seen(id)[0]), &json!(false));
}

#[test]
fn a_rule_for_one_shard_does_not_affect_the_others() {
    let mut config = Config::default();
    config.max_concurrency = 2;
    let mut world = World::new(config);
    world.control(Control::Rule(Rule { shard: Some(1), ..Rule::always(Point::Identify, Action::Abort) }));
    for (shard, served) in [(0, true), (1, false)] {
        let id = world.connect();
        world.send(id, &identify_with(json!({"shard": [shard, 2]})));
        let seen = world.seen(id);
        assert_eq!(seen[0] != Seen::End("abort"), served, "{shard}");
    }
}

#[test]
fn upgrades_can_be_refused_delayed_and_left_unanswered() {
    let refusal = Response::empty(429).header("Retry-After", "3");
    let mut world = with_rule(Rule::once(Point::Upgrade, Action::Http(refusal.clone())));
    let id = world.open(URL);
    assert_eq!(world.gateway.poll_output(), Some((id, Output::Refuse(refusal))));

    let mut world = with_rule(Rule::once(Point::Upgrade, Action::Delay(SECOND)));
    let id = world.open(URL);
    assert_eq!(world.seen(id), []);
    world.wait(SECOND);
    assert_eq!(op(&world.seen(id)[1]), Some(10));

    let mut world = with_rule(Rule::once(Point::Upgrade, Action::Ignore));
    let id = world.open(URL);
    world.wait(SECOND * 3600);
    assert_eq!(world.seen(id), []);
}

#[test]
fn a_close_can_stay_unanswered() {
    let mut world = with_rule(Rule::once(Point::Close, Action::Ignore));
    let (id, _) = world.start();
    world.client(id, ClientMessage::Close(Some(4000)));
    world.wait(SECOND * 3600);
    assert_eq!(world.seen(id), []);
}

#[test]
fn after_an_outage_the_missed_events_are_replayed() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Down { duration: SECOND * 10, emit: 3 });
    assert_eq!(world.seen(id), [Seen::End("abort")]);
    let refused = world.open(URL);
    assert_eq!(world.seen(refused), [Seen::End("abort")]);
    world.wait(SECOND * 10);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(dispatches(&world.seen(id)).len(), 4);
}

#[test]
fn raw_text_and_raw_bytes_are_sent_unchanged() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Raw("{\"op\":77,\"d\":{}}".to_owned()));
    world.control(Control::Raw("not json".to_owned()));
    world.control(Control::RawBytes(vec![0, 159]));
    let seen = world.seen(id);
    assert_eq!(op(&seen[0]), Some(77));
    assert_eq!(seen[1..], [Seen::Binary(b"not json".to_vec()), Seen::Binary(vec![0, 159])]);
}

#[test]
fn any_event_can_be_sent_to_one_session() {
    let mut config = Config::default();
    config.max_concurrency = 2;
    let mut world = World::new(config);
    let mut ids = Vec::new();
    for shard in 0..2 {
        let id = world.connect();
        world.send(id, &identify_with(json!({"shard": [shard, 2]})));
        ids.push(id);
    }
    world.seen(ids[0]);
    let event = Control::Event { name: "BRAND_NEW".to_owned(), data: json!({"s": 1, "op": null}) };
    world.gateway.control(Target::Shard(1), event, world.now).unwrap();
    let (id, output) = world.gateway.poll_output().unwrap();
    assert_eq!(id, ids[1]);
    let Output::Send(message) = output else { panic!("{output:?}") };
    assert!(message.payload.starts_with(br#"{"t":"BRAND_NEW","s":3,"op":0,"d":{"#));
    assert_eq!(world.gateway.poll_output(), None);
}

#[test]
fn messages_can_be_of_many_megabytes() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Emit { count: 1, padding: 5_000_000 });
    let seen = world.seen(id);
    assert!(data(&seen[0])["content"].as_str().unwrap().len() > 5_000_000);
}

#[test]
fn the_order_of_keys_does_not_change_the_content() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::KeyOrder(KeyOrder::DataFirst));
    world.control(Control::Emit { count: 1, padding: 0 });
    let Some((_, Output::Send(message))) = std::iter::from_fn(|| world.gateway.poll_output()).next() else {
        panic!("nothing was sent")
    };
    assert!(message.payload.starts_with(br#"{"d":{"#));
    world.control(Control::KeyOrder(KeyOrder::Changing));
    world.control(Control::Emit { count: 24, padding: 0 });
    let sequences: Vec<_> = dispatches(&world.seen(id)).into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(sequences, (5..29).collect::<Vec<u64>>());
}

#[test]
fn byte_faults_are_passed_to_the_caller() {
    let fault = ByteFault { at: 3, effect: ByteEffect::Reset };
    let mut world = with_rule(Rule::once(Point::Upgrade, Action::Bytes(fault)));
    let id = world.open(URL);
    assert_eq!(world.gateway.poll_output(), Some((id, Output::Bytes(fault))));
    assert_eq!(world.gateway.poll_output(), Some((id, Output::Accept)));
}

#[test]
fn a_pump_sends_exactly_at_its_rate() {
    let mut world = World::plain();
    let (id, _) = world.start();
    world.control(Control::Pump { rate: 10.0, duration: SECOND * 3, padding: 0 });
    world.wait(SECOND);
    assert_eq!(dispatches(&world.seen(id)).len(), 10);
    world.wait(SECOND * 10);
    assert_eq!(dispatches(&world.seen(id)).len(), 20);
}

#[test]
fn background_events_come_at_their_rate_and_only_with_their_intents() {
    let mut config = Config::default();
    config.rate = 100.0;
    let mut world = World::new(config);
    let (id, _) = world.start();
    world.wait(SECOND * 10);
    assert_eq!(dispatches(&world.seen(id)).len(), 1000);
    world.send(id, &heartbeat(None));
    world.client(id, ClientMessage::Close(Some(1000)));
    let id = world.connect();
    world.send(id, &identify_with(json!({"intents": 1 << 9})));
    world.seen(id);
    world.wait(SECOND * 10);
    let seen = world.seen(id);
    let mut names: Vec<_> = seen.iter().filter_map(name).collect();
    assert!(names.len() > 100);
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        ["INTERACTION_CREATE", "MESSAGE_CREATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK", "MESSAGE_UPDATE"]
    );
    let content = |seen: &&Seen| name(seen) == Some("MESSAGE_CREATE") && data(seen)["content"] != "";
    assert_eq!(seen.iter().filter(content).count(), 0, "content needs its own intent");
    world.control(Control::Rate(0.0));
    world.wait(SECOND * 10);
    assert_eq!(world.seen(id), []);
}

#[test]
fn a_script_is_taken_step_by_step() {
    let mut config = Config::default();
    config.script = vec![
        ScriptStep::new(
            When::Reached { point: Point::Ready, number: 1, after: SECOND },
            Control::Emit { count: 2, padding: 0 },
        ),
        ScriptStep::new(When::Start(SECOND * 2), Control::Abort),
        ScriptStep::new(
            When::Reached { point: Point::Resumed, number: 1, after: Duration::ZERO },
            Control::Close { code: Some(4000) },
        ),
    ];
    let mut world = World::new(config);
    let (id, session) = world.start();
    world.wait(SECOND);
    assert_eq!(dispatches(&world.seen(id)).len(), 2);
    world.wait(SECOND);
    assert_eq!(world.seen(id), [Seen::End("abort")]);
    let id = world.connect();
    world.send(id, &resume(&session, 5));
    world.wait(Duration::ZERO);
    let seen = world.seen(id);
    assert_eq!(name(&seen[0]), Some("RESUMED"));
    assert_eq!(seen[1], Seen::Close(Some(4000)));
}

#[test]
fn expired_sessions_cannot_be_resumed() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Expire);
    world.client(id, ClientMessage::Gone);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert_eq!(data(&world.seen(id)[0]), &json!(false));
}

#[test]
fn a_payload_is_sent_in_the_encoding_of_the_connection() {
    let mut world = World::plain();
    let json = world.open(URL);
    let etf = world.open("/?v=10&encoding=etf");
    world.control(Control::Payload(json!({"op": 99, "d": null})));
    let mut last = std::collections::BTreeMap::new();
    while let Some((id, output)) = world.gateway.poll_output() {
        if let Output::Send(message) = output {
            last.insert(id, message);
        }
    }
    assert_eq!(last[&json].payload, br#"{"d":null,"op":99}"#);
    assert!(last[&etf].binary && last[&etf].payload.starts_with(&[131, 116]));
    assert_eq!(last[&etf].about.op, Some(99));
    let mistake = Control::Payload(json!([]));
    assert!(world.gateway.control(Target::All, mistake, world.now).is_err());
}
