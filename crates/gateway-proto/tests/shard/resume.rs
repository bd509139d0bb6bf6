//! Resumed sessions ([Discord Docs, Gateway > Resuming](https://discord.com/developers/docs/events/gateway#resuming)).

use gateway_proto::health::Phase;
use gateway_proto::{Closed, Input};

use crate::support::{RESUME, Scenario, replayed, resume_message, secs, server};

/// After a lost connection the shard uses the resume URL with the same parameters, sends Resume only after Hello, and
/// requests no permit (serenity-rs/serenity#2832; twilight-rs/twilight#1973; Rapptz/discord.py@e2f4259;
/// discord-jda/JDA#444).
#[test]
fn a_lost_connection_is_resumed_after_hello_and_without_a_permit() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.log();
    scenario.input(Input::Closed(Closed::Failed("reset".to_owned())));
    let lost = "disconnected: the connection failed: reset; resumable; retry in 0ns";
    assert_eq!(scenario.log(), [lost, "connecting to resume, attempt 1", RESUME]);
    scenario.input(Input::Opened);
    scenario.advance(secs(2));
    assert_eq!(scenario.log(), ["connected"]);
    scenario.server(&server::hello());
    assert_eq!(scenario.log(), ["hello 40s".to_owned(), "resuming from 2".to_owned(), resume_message(2)]);
    assert_eq!((scenario.shard.stats().identifies, scenario.shard.stats().resumes), (1, 1));
}

/// The replay is delivered in order with its own numbers, and RESUMED ends it. Later events are new.
#[test]
fn the_replay_is_delivered_in_order_and_ends_with_resumed() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.replay(2..=4);
    assert_eq!(scenario.log(), replayed(2..=4));
    scenario.server(&server::message(6));
    assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 6"]);
    assert_eq!(scenario.shard.session().unwrap().sequence(), 6);
    assert_eq!(scenario.shard.stats().resumed, 1);
}

/// RESUMED may have `d` null, `{}` or `{_trace}`, with or without a number; later events are delivered
/// (serenity-rs/serenity#3099).
#[test]
fn resumed_counts_in_any_form() {
    for (text, next) in [
        (r#"{"t":"RESUMED","s":2,"op":0,"d":null}"#, 3),
        (r#"{"t":"RESUMED","s":2,"op":0,"d":{}}"#, 3),
        (r#"{"d":{"_trace":["x"],"op":9},"op":0,"s":2,"t":"RESUMED"}"#, 3),
        (r#"{"t":"RESUMED","s":null,"op":0,"d":null}"#, 2),
        (r#"{"t":"RESUMED","op":0}"#, 2),
    ] {
        let mut scenario = Scenario::at(Phase::Resuming);
        scenario.server(text);
        assert_eq!(scenario.log()[1], "resumed, 0 replayed", "{text}");
        scenario.server(&server::message(next));
        assert_eq!(scenario.log(), [format!("dispatch MESSAGE_CREATE {next}")]);
        assert_eq!(scenario.shard.phase(), Phase::Ready);
    }
}

/// Events that were delivered before the Resume are not delivered again.
#[test]
fn what_was_delivered_before_is_not_delivered_again() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.eof();
    scenario.open();
    scenario.log();
    scenario.server(&server::message(2));
    scenario.server(&server::message(3));
    assert_eq!(scenario.log(), ["notice DuplicateDropped { sequence: 2 }", "dispatch MESSAGE_CREATE 3"]);
    assert_eq!(scenario.shard.stats().duplicates, 1);
}

/// A server that answers Resume with READY has started another session.
#[test]
fn ready_in_answer_to_resume_begins_another_session() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.server(&server::ready_with(
        r#""session_id":"other","resume_gateway_url":"wss://other.gateway.example""#,
    ));
    assert_eq!(scenario.log(), ["dispatch READY 1", "ready"]);
    scenario.eof();
    assert_eq!(scenario.next_connect(), "connect wss://other.gateway.example/?v=10&encoding=json");
}
