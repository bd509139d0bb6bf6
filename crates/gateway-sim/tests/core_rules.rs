//! Rules on a virtual clock: each has the effect described in README.md, or is rejected.

mod common;

use std::time::Duration;

use common::{Seen, URL, World, dispatches, heartbeat, identify, name, op, resume};
use gateway_codec::{Encoding, Envelope};
use gateway_sim::{
    Action, ByteEffect, ByteFault, ClientMessage, ConnectionId, Control, Output, Point, Response, Rule,
    Target,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn with_rule(rule: Rule) -> World {
    let mut world = World::plain();
    world.control(Control::Rule(rule));
    world
}

fn names(seen: &[Seen]) -> Vec<&str> {
    seen.iter().filter_map(name).collect()
}

#[test]
fn the_guilds_can_be_late() {
    let mut world = with_rule(Rule::once(Point::Ready, Action::Delay(SECOND * 5)));
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(names(&world.seen(id)), ["READY"]);
    world.wait(Duration::from_millis(4999));
    assert_eq!(world.seen(id), []);
    world.wait(Duration::from_millis(1));
    assert_eq!(names(&world.seen(id)), ["GUILD_CREATE", "GUILD_CREATE"]);
}

#[test]
fn guilds_that_are_late_are_kept_if_the_connection_is_lost_meanwhile() {
    let mut world = with_rule(Rule::once(Point::Ready, Action::Delay(SECOND)));
    let id = world.connect();
    world.send(id, &identify());
    let session = common::session_id(&world.seen(id)[0]);
    world.client(id, ClientMessage::Gone);
    world.wait(SECOND);
    let id = world.connect();
    world.send(id, &resume(&session, 1));
    assert_eq!(names(&world.seen(id)), ["GUILD_CREATE", "GUILD_CREATE", "RESUMED"]);
}

#[test]
fn an_action_at_ready_precedes_the_guilds() {
    let mut world = with_rule(Rule::once(Point::Ready, Action::Reconnect));
    let id = world.connect();
    world.send(id, &identify());
    assert_eq!(world.seen(id).iter().filter_map(op).collect::<Vec<_>>(), [0, 7, 0, 0]);
    let mut world = with_rule(Rule::once(Point::Ready, Action::Ignore));
    let id = world.connect();
    world.send(id, &identify());
    world.wait(SECOND);
    assert_eq!(names(&world.seen(id)), ["READY"]);
}

/// A session that has missed four events, and a connection that resumes from 3.
fn replaying(rule: Rule) -> (World, ConnectionId, String) {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    world.control(Control::Emit { count: 4, padding: 0 });
    world.control(Control::Rule(rule));
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    (world, id, session)
}

fn late_after_two() -> Rule {
    Rule { after: 2, ..Rule::once(Point::Replay, Action::Delay(SECOND * 5)) }
}

#[test]
fn the_rest_of_a_replay_can_be_late_and_later_events_follow_it() {
    let (mut world, id, _) = replaying(late_after_two());
    assert_eq!(names(&world.seen(id)), ["MESSAGE_CREATE"; 2]);
    world.control(Control::Event { name: "MEANWHILE".to_owned(), data: json!({}) });
    world.send(id, &heartbeat(Some(5)));
    let seen = world.seen(id);
    assert_eq!((seen.len(), op(&seen[0])), (1, Some(11)), "only events wait");
    world.wait(Duration::from_millis(4999));
    assert_eq!(world.seen(id), []);
    world.wait(Duration::from_millis(1));
    let rest = [("MESSAGE_CREATE", 6), ("MESSAGE_CREATE", 7), ("MEANWHILE", 8), ("RESUMED", 9)];
    assert_eq!(dispatches(&world.seen(id)), rest.map(|(name, sequence)| (name.to_owned(), sequence)));
    world.control(Control::Emit { count: 1, padding: 0 });
    assert_eq!(dispatches(&world.seen(id)).len(), 1, "afterwards nothing waits");
}

#[test]
fn a_late_replay_is_dropped_if_the_connection_is_lost_meanwhile() {
    let (mut world, id, session) = replaying(late_after_two());
    world.client(id, ClientMessage::Gone);
    let other = world.connect();
    world.send(other, &resume(&session, 5));
    assert_eq!(names(&world.seen(other)), ["MESSAGE_CREATE", "MESSAGE_CREATE", "RESUMED"]);
    world.wait(SECOND * 6);
    assert_eq!(world.seen(other), []);
}

#[test]
fn a_byte_fault_does_not_replace_the_usual_action() {
    let fault = ByteFault { at: 3, effect: ByteEffect::Corrupt };
    let bytes = |point| Control::Rule(Rule::once(point, Action::Bytes(fault)));
    for point in [Point::Connect, Point::Hello, Point::Identify, Point::Ready, Point::Heartbeat, Point::Close]
    {
        let mut world = World::plain();
        world.control(bytes(point));
        let id = world.open(URL);
        world.send(id, &identify());
        world.send(id, &heartbeat(None));
        world.client(id, ClientMessage::Close(Some(4000)));
        let outputs: Vec<Output> =
            std::iter::from_fn(|| world.gateway.poll_output()).map(|(_, output)| output).collect();
        let faults = outputs.iter().filter(|output| **output == Output::Bytes(fault)).count();
        // The answer to the upgrade, Hello, READY, two guilds, the ACK, the close frame, the end.
        assert_eq!((faults, outputs.len()), (1, 1 + 8), "{point}: {outputs:?}");
    }
}

#[test]
fn a_rule_without_effect_is_an_error_of_the_caller() {
    let mut world = World::plain();
    for rule in [
        Rule::once(Point::Connect, Action::Http(Response::empty(500))),
        Rule::once(Point::Upgrade, Action::Http(Response::empty(1000))),
        Rule::once(Point::Resumed, Action::Delay(SECOND)),
        Rule::once(Point::Hello, Action::Close(Some(1005))),
    ] {
        let text = format!("{rule:?}");
        assert!(world.gateway.control(Target::All, Control::Rule(rule), world.now).is_err(), "{text}");
    }
    assert_eq!(world.gateway.state()["rules"], 0);
}

#[test]
fn a_target_must_exist() {
    let mut world = World::plain();
    let (id, _) = world.start();
    for (target, sentence) in [
        (Target::Connection(ConnectionId(9)), "there is no connection 9"),
        (Target::Session(2), "there is no session 2"),
    ] {
        let error = world.gateway.control(target, Control::Abort, world.now).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    assert_eq!(world.seen(id), []);
    // A shard may be absent at the moment.
    let answer = world.gateway.control(Target::Shard(7), Control::Abort, world.now).unwrap();
    assert_eq!(answer["concerned"], 0);
}

#[test]
fn a_payload_is_sent_in_the_encoding_of_each_connection() {
    let mut world = World::plain();
    let etf = world.open("/?v=10&encoding=etf");
    let json = world.connect();
    while world.gateway.poll_output().is_some() {}
    let payload = json!({"op": 77, "d": {"new": null, "id": 5}, "more": [true]});
    world.control(Control::Payload(payload.clone()));
    let mut sent = std::iter::from_fn(|| world.gateway.poll_output());
    let Some((id, Output::Send(message))) = sent.next() else { panic!("nothing was sent") };
    assert_eq!((id, message.binary), (etf, true));
    let envelope = Envelope::parse(&message.payload, Encoding::Etf).unwrap();
    assert_eq!(envelope.op, 77);
    assert_eq!(envelope.d.decode::<Value>().unwrap(), payload["d"]);
    let whole: Value = gateway_codec::decode(&message.payload, Encoding::Etf).unwrap();
    assert_eq!(whole, payload);
    let Some((id, Output::Send(message))) = sent.next() else { panic!("nothing was sent") };
    assert_eq!((id, message.binary), (json, false));
    assert_eq!(serde_json::from_slice::<Value>(&message.payload).unwrap(), payload);
    assert!(world.gateway.control(Target::All, Control::Payload(json!([])), world.now).is_err());
}
