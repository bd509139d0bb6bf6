//! A session that goes on (Discord Docs, Gateway > Resuming).

use gateway_proto::health::Phase;
use gateway_proto::{Closed, Input};

use crate::support::{RESUME, Scenario, resume_message, secs, server};

/// After a lost connection: the session's own URL with the same parameters, Resume after Hello and not before, no permit
/// (serenity-rs/serenity#2832; twilight-rs/twilight#1973; Rapptz/discord.py@e2f4259; discord-jda/JDA#444).
#[test]
fn a_lost_connection_is_resumed_after_hello_and_without_a_permit() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.said();
    scenario.input(Input::Closed(Closed::Failed("reset".to_owned())));
    let lost = "disconnected: the connection failed: reset; resumable; retry in 0ns";
    assert_eq!(scenario.said(), [lost, "connecting to resume, attempt 1", RESUME]);
    scenario.input(Input::Opened);
    scenario.advance(secs(2));
    assert_eq!(scenario.said(), ["connected"]);
    scenario.server(&server::hello());
    assert_eq!(scenario.said(), ["hello 40s".to_owned(), "resuming from 2".to_owned(), resume_message(2)]);
    assert_eq!((scenario.shard.stats().identifies, scenario.shard.stats().resumes), (1, 1));
}

/// The replay is delivered in order with its own numbers; RESUMED ends it. Later events are new.
#[test]
fn the_replay_is_delivered_in_order_and_ends_with_resumed() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for sequence in 2..=4 {
        scenario.server(&server::message(sequence));
    }
    scenario.server(&server::resumed(5));
    scenario.server(&server::message(6));
    assert_eq!(
        scenario.said(),
        [
            "dispatch MESSAGE_CREATE 2",
            "dispatch MESSAGE_CREATE 3",
            "dispatch MESSAGE_CREATE 4",
            "dispatch RESUMED 5",
            "resumed, 3 replayed",
            "dispatch MESSAGE_CREATE 6",
        ]
    );
    assert_eq!(scenario.shard.session().unwrap().sequence(), 6);
    assert_eq!(scenario.shard.stats().resumed, 1);
}

/// RESUMED comes with `d` null, `{}` or `{_trace}`, with or without a number; the stream goes on after it (serenity-rs/serenity#3099).
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
        assert_eq!(scenario.said()[1], "resumed, 0 replayed", "{text}");
        scenario.server(&server::message(next));
        assert_eq!(scenario.said(), [format!("dispatch MESSAGE_CREATE {next}")]);
        assert_eq!(scenario.shard.phase(), Phase::Ready);
    }
}

/// What was delivered before the Resume is not delivered again.
#[test]
fn what_was_delivered_before_is_not_delivered_again() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.eof();
    scenario.open();
    scenario.said();
    scenario.server(&server::message(2));
    scenario.server(&server::message(3));
    assert_eq!(scenario.said(), ["notice DuplicateDropped { sequence: 2 }", "dispatch MESSAGE_CREATE 3"]);
    assert_eq!(scenario.shard.stats().duplicates, 1);
}

/// A server that answers Resume with READY has begun another session.
#[test]
fn ready_in_answer_to_resume_begins_another_session() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.server(&server::ready_with(
        r#""session_id":"other","resume_gateway_url":"wss://other.gateway.example""#,
    ));
    assert_eq!(scenario.said(), ["dispatch READY 1", "ready"]);
    scenario.eof();
    assert_eq!(scenario.next_connect(), "connect wss://other.gateway.example/?v=10&encoding=json");
}
