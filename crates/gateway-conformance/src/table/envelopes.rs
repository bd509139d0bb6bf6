//! Envelopes that the documentation does not describe: unknown opcodes and names, and fields that are unknown, null or
//! missing.

use gateway_driver::proto::Notice;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Point};
use serde_json::json;

use crate::scenario::{BOTH, Scenario};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("an-unknown-opcode", "twilight-rs/twilight#1995: the payload is delivered, without an error").steps([
            session(),
            payload(json!({"op": 4242, "d": {"x": 1}, "s": null, "t": null})),
            sees!(Event::Unknown(message) if message.op == 4242),
            emits(1),
            messages(2, 1),
        ]),
        Scenario::new("an-unknown-event", "Discord Docs, Gateway > List of Intents; twilight-rs/twilight#1995: the name and the raw data are delivered").steps([
            session(),
            emits_event("AN_UNKNOWN_EVENT", json!({"deep": [{"x": 1}]})),
            delivers("AN_UNKNOWN_EVENT", json!({"deep": [{"x": 1}]})),
            beats(2),
        ]),
        Scenario::new("an-event-of-an-unexpected-shape", "twilight-rs/twilight#1995: the connection continues").steps([
            session(),
            emits_event("MESSAGE_CREATE", json!([1, "two", null])),
            dispatches("MESSAGE_CREATE", 2),
            beats(2),
        ]),
        Scenario::new("an-event-without-data", "twilight-rs/twilight#1995: d is null").steps([
            session(),
            emits_event("TYPING_START", json!(null)),
            sees!(Event::Dispatch(dispatch) if dispatch.data().value().is_ok_and(|value| value.is_null())),
        ]),
        Scenario::new("a-dispatch-without-d", "twilight-rs/twilight#1995: d is missing").steps([
            session(),
            payload(json!({"op": 0, "s": 2, "t": "TYPING_START"})),
            sees!(Event::Dispatch(dispatch) if dispatch.data().value().is_ok_and(|value| value.is_null())),
            beats(2),
        ]),
        Scenario::new("a-dispatch-with-a-null-sequence", "the dispatch is delivered, and the sequence number is unchanged")
            .steps([
                session(),
                payload(json!({"op": 0, "s": null, "t": "TYPING_START", "d": {}})),
                dispatches("TYPING_START", None),
                beats(1),
            ]),
        Scenario::new("a-dispatch-without-a-sequence", "the dispatch is delivered, and the sequence number is unchanged")
            .steps([
                session(),
                payload(json!({"op": 0, "t": "TYPING_START", "d": {}})),
                dispatches("TYPING_START", None),
                beats(1),
            ]),
        Scenario::new("a-dispatch-without-a-name", "the dispatch is delivered with an empty name").steps([
            session(),
            payload(json!({"op": 0, "s": 2, "d": {"x": 1}})),
            delivers("", json!({"x": 1})),
            beats(2),
        ]),
        Scenario::new("more-fields-than-expected", "twilight-rs/twilight#1995: extra fields in the envelope").steps([
            session(),
            payload(json!({"op": 0, "s": 2, "t": "TYPING_START", "d": {}, "z": [1], "a": {"op": 7}})),
            dispatches("TYPING_START", 2),
            beats(2),
        ]),
        Scenario::new("a-sequence-number-on-another-opcode", "s counts only with opcode 0").steps([
            session(),
            payload(json!({"op": 11, "s": 77, "d": null, "t": null})),
            beats(1),
        ]),
        Scenario::new("hello-without-an-interval", "the default interval, and a notice").steps([
            once(Point::Connect, Action::Ignore),
            opens_base_url(),
            payload(json!({"op": 10, "d": {}})),
            sees!(Event::Notice(Notice::HeartbeatIntervalClamped { asked_ms: None, .. })),
            sends(IDENTIFY, json!({})),
            readies(),
            beats(1).between(seconds(0), milliseconds(41_250)),
            beats(1).after(milliseconds(41_250)),
        ]),
        Scenario::new("hello-with-a-float", "20000.0 is 20 s, without a notice").steps([
            once(Point::Connect, Action::Ignore),
            opens_base_url(),
            payload(json!({"op": 10, "d": {"heartbeat_interval": 20000.0}})),
            sends(IDENTIFY, json!({})),
            readies(),
            beats(1).between(seconds(0), seconds(20)),
            beats(1).after(seconds(20)),
        ]),
        Scenario::new("hello-with-an-interval-of-zero", "an interval below 1 s is read as 1 s")
            .gateway(|config| {
                config.heartbeat_interval = milliseconds(1);
                config.missed_heartbeats = None;
            })
            .steps([
                sees!(Event::Notice(Notice::HeartbeatIntervalClamped { asked_ms: Some(1), .. })),
                session(),
                beats(1).between(seconds(0), seconds(1)),
                beats(1).after(seconds(1)),
            ]),
        Scenario::new("hello-with-an-interval-of-a-day", "an interval above 10 min is read as 10 min")
            .variants(BOTH)
            .gateway(|config| config.heartbeat_interval = seconds(86_400))
            .steps([
                sees!(Event::Notice(Notice::HeartbeatIntervalClamped { asked_ms: Some(86_400_000), .. })),
                session(),
                holds!(|probe| probe.stats.undecodable == 0),
            ]),
        Scenario::new(
            "the-same-message-fails-twice",
            "after two failures at one sequence number the shard identifies",
        )
        .steps([
            session(),
            once(Point::Resume, Action::Ignore),
            payload(json!({"d": null})),
            closes(4000),
            loses!(DisconnectReason::Undecodable(_)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            payload(json!({"d": null})),
            closes(4000),
            sees!(Event::Notice(Notice::ReplayGivenUp { after: 1 })),
            loses_all!(DisconnectReason::Undecodable(_)),
            session(),
        ]),
    ]
}
