//! From Hello to READY
//! ([Discord Docs, Gateway > Identifying](https://discord.com/developers/docs/events/gateway#identifying)).

use gateway_proto::command::{Activity, ActivityKind, Presence, Status};
use gateway_proto::config::ResumeHosts;
use gateway_proto::health::Phase;
use gateway_proto::identify::IdentifyRefused;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Closed, Command, Input, Reconnect, ShardConfig, Shutdown, StopReason};

use crate::support::{
    BASE, HEARTBEAT_NULL, PHASES, RESUME_URL, SESSION, Scenario, Step, config, secs, server,
};

/// The shard requests a permit after Hello, and sends Identify as soon as it is granted, without waiting for the first
/// heartbeat.
#[test]
fn identify_is_sent_after_hello_with_the_permit() {
    let mut scenario = Scenario::at(Phase::Connecting);
    scenario.input(Input::Opened);
    assert_eq!(scenario.log(), ["connected"]);
    scenario.advance(secs(2));
    assert_eq!(scenario.log(), [""; 0]);
    scenario.server(&server::hello());
    assert_eq!(scenario.log(), ["hello 40s", "acquire identify"]);
    scenario.input(Input::IdentifyGranted);
    let log = scenario.log();
    assert_eq!(log[0], "identifying");
    assert!(log[1].starts_with(r#"send {"op":2,"#), "{log:?}");
    assert_eq!((log.len(), scenario.elapsed()), (2, secs(2)));
    assert_eq!(scenario.shard.stats().identifies, 1);
}

/// A permit that was not requested has no effect: a second Identify would be answered with 4005.
#[test]
fn a_permit_that_was_not_requested_is_not_used() {
    for phase in PHASES.into_iter().filter(|phase| *phase != Phase::AwaitingIdentify) {
        let mut scenario = Scenario::at(phase);
        scenario.input(Input::IdentifyGranted);
        assert_eq!((scenario.log(), scenario.shard.phase()), (Vec::new(), phase));
    }
}

/// If a connection ends while it waits for its permit, the request is cancelled once (DSharpPlus/DSharpPlus#279).
#[test]
fn a_lost_connection_cancels_its_permit_request() {
    let ends: [(&str, Step); 11] = [
        ("refused", |scenario| scenario.input(Input::IdentifyRefused(IdentifyRefused::new(0, 0, secs(60))))),
        ("sleep", |scenario| {
            scenario.input(Input::WallClock(secs(0)));
            scenario.input(Input::WallClock(secs(3_600)));
        }),
        ("close frame", |scenario| scenario.closed(4000)),
        ("end of stream", Scenario::eof),
        ("too large", |scenario| scenario.input(Input::Closed(Closed::MessageTooLarge))),
        ("op 7", |scenario| scenario.server(&server::reconnect())),
        ("op 9", |scenario| scenario.server(&server::invalid_session(false))),
        ("garbage", |scenario| scenario.server("garbage")),
        ("zombie", |scenario| scenario.advance(secs(81))),
        ("shutdown", |scenario| scenario.shard.shutdown(Shutdown::LogOff)),
        ("reconnect", |scenario| scenario.shard.reconnect(Reconnect::Fresh)),
    ];
    for (name, end) in ends {
        let mut scenario = Scenario::at(Phase::AwaitingIdentify);
        end(&mut scenario);
        scenario.settle();
        let log = scenario.log();
        assert_eq!(log.iter().filter(|line| *line == "cancel identify").count(), 1, "{name}: {log:?}");
    }
}

/// A refused permit stops the shard, and later events are not delivered.
#[test]
fn a_refused_permit_stops_the_shard() {
    let mut scenario = Scenario::at(Phase::AwaitingIdentify);
    let refused = IdentifyRefused::new(0, 0, secs(60));
    scenario.input(Input::IdentifyRefused(refused));
    scenario.log();
    scenario.server(&server::message(2));
    assert_eq!(scenario.log(), [""; 0]);
    scenario.eof();
    assert_eq!(scenario.log()[1], format!("stopped: {}", StopReason::IdentifyRefused(refused)));
}

/// READY begins a session: its id, URL and number are stored, and the dispatch is delivered before the event `Ready`.
#[test]
fn ready_begins_a_session() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    assert_eq!(scenario.shard.session(), None);
    scenario.server(&server::ready());
    assert_eq!(scenario.log(), ["dispatch READY 1", "ready"]);
    let session = serde_json::to_value(scenario.shard.session().unwrap()).unwrap();
    assert_eq!(session["session_id"], SESSION);
    assert_eq!(session["resume_gateway_url"], "wss://resume-s3cret.gateway.example/");
    assert_eq!(
        (session["sequence"].clone(), session["shard"].clone()),
        (1.into(), serde_json::json!([0, 1]))
    );
    assert_eq!(RESUME_URL, "wss://resume-s3cret.gateway.example");
}

/// After READY the shard does not identify again, regardless of the server's messages.
#[test]
fn a_second_ready_replaces_the_session_and_identifies_nothing() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.server(&server::hello());
    scenario.server(&server::ready_with(
        r#""session_id":"other","resume_gateway_url":"wss://other.gateway.example""#,
    ));
    let log = scenario.log();
    assert_eq!(log, ["dispatch MESSAGE_CREATE 2", "hello 40s", "dispatch READY 1", "ready"]);
    assert_eq!(scenario.shard.session().unwrap().sequence(), 1);
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), "connect wss://other.gateway.example/?v=10&encoding=json");
}

/// With a READY without a usable session the shard works, but cannot resume.
#[test]
fn a_ready_without_a_session_id_cannot_be_resumed() {
    let long = format!(r#""session_id":"{}""#, "x".repeat(513));
    for fields in [r#""x":0"#, r#""session_id":null"#, r#""session_id":5"#, r#""session_id":"""#, &long] {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(fields));
        let log = scenario.log();
        assert_eq!(log, ["notice SessionNotResumable", "dispatch READY 1", "ready"], "{fields}");
        scenario.server(&server::message(2));
        scenario.eof();
        scenario.open();
        let log = scenario.log();
        assert!(log.contains(
            &"disconnected: the stream ended without a close frame; no session; retry in 0ns".into()
        ));
        assert!(log.contains(&BASE.to_owned()) && log.contains(&"acquire identify".to_owned()), "{log:?}");
    }
}

/// A resume URL that cannot be used is replaced by the base URL. `ws` would send the token without TLS.
#[test]
fn an_unusable_resume_url_is_replaced_by_the_base_url() {
    let port = r#""wss://x:99999""#;
    for url in
        ["null", "5", r#""""#, r#""https://x""#, r#""ws://plain.example""#, r#""wss://""#, r#""a b""#, port]
    {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(&format!(r#""session_id":"x","resume_gateway_url":{url}"#)));
        assert_eq!(scenario.log()[0], "notice ResumeUrlUnusable", "{url}");
        scenario.eof();
        assert_eq!(scenario.log()[1..], ["connecting to resume, attempt 1", BASE], "{url}");
    }
}

/// The same for a saved resume URL.
#[test]
fn an_unusable_saved_resume_url_is_replaced_by_the_base_url() {
    for url in ["wss://gateway.example:0", "ws://gateway.example", "wss://evil.example"] {
        let mut config = config();
        config.session =
            Some(SessionSnapshot::new(SESSION.to_owned(), Some(url.to_owned()), 5, config.shard));
        let log = Scenario::new(config).log();
        assert_eq!(log, ["notice ResumeUrlUnusable", "connecting to resume, attempt 0", BASE], "{url}");
    }
}

/// The token is sent only to hosts that belong to the base URL. `resume_hosts::tests` has more hosts.
#[test]
fn a_resume_url_at_a_foreign_host_is_replaced_by_the_base_url() {
    for url in [
        "wss://evil.example",
        "wss://gateway.example.evil.example",
        "wss://evilgateway.example",
        "wss://gateway.example@evil.example",
        "wss://127.0.0.1",
    ] {
        let fields = format!(r#""session_id":"x","resume_gateway_url":"{url}""#);
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(&fields));
        assert_eq!(scenario.log(), ["notice ResumeUrlUnusable", "dispatch READY 1", "ready"], "{url}");
        scenario.eof();
        assert_eq!(scenario.log()[1..], ["connecting to resume, attempt 1", BASE], "{url}");
        let saved = serde_json::to_value(scenario.shard.session().unwrap()).unwrap();
        assert_eq!(saved["resume_gateway_url"], serde_json::Value::Null);
    }
}

/// The application may allow any host.
#[test]
fn a_foreign_host_can_be_allowed() {
    let any = |config: &mut ShardConfig| config.resume_hosts = ResumeHosts::Any;
    let mut scenario = Scenario::with(Phase::AwaitingReady, any);
    scenario.server(&server::ready_with(r#""session_id":"x","resume_gateway_url":"wss://r.elsewhere""#));
    assert_eq!(scenario.log(), ["dispatch READY 1", "ready"]);
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), "connect wss://r.elsewhere/?v=10&encoding=json");
    let mut scenario = Scenario::with(Phase::AwaitingReady, any);
    scenario.server(&server::ready_with(r#""session_id":"x","resume_gateway_url":"ws://gateway.example""#));
    assert_eq!(scenario.log()[0], "notice ResumeUrlUnusable", "out of TLS it still does not go");
}

/// A scheme is case-insensitive (RFC 3986, section 3.1).
#[test]
fn the_scheme_of_a_resume_url_counts_in_any_case() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario
        .server(&server::ready_with(r#""session_id":"x","resume_gateway_url":"WSS://R.Gateway.Example""#));
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), "connect wss://R.Gateway.Example/?v=10&encoding=json");
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::ready_with(r#""session_id":"x","resume_gateway_url":"WS://gateway.example""#));
    assert_eq!(scenario.log()[0], "notice ResumeUrlUnusable");
}

/// If the base URL is `ws`, the resume URL may be `ws` too.
#[test]
fn a_plain_resume_url_is_used_behind_a_plain_base_url() {
    let mut scenario = Scenario::with(Phase::AwaitingReady, |config| config.url = "ws://[::1]:9".to_owned());
    scenario.server(&server::ready_with(r#""session_id":"x","resume_gateway_url":"ws://[::1]:10/r""#));
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), "connect ws://[::1]:10/r?v=10&encoding=json");
}

/// READY counts only in answer to Identify; before that it is an ordinary event.
#[test]
fn an_unrequested_ready_begins_no_session() {
    for phase in [Phase::AwaitingHello, Phase::AwaitingIdentify] {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::ready());
        scenario.server(&server::resumed(2));
        assert_eq!(scenario.log(), ["dispatch READY 1", "dispatch RESUMED 2"]);
        assert_eq!((scenario.shard.phase(), scenario.shard.session()), (phase, None));
    }
}

/// Dispatches before READY are delivered in order.
#[test]
fn dispatches_before_ready_are_delivered() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::dispatch("EARLY", 1));
    assert_eq!(scenario.log(), ["dispatch EARLY 1"]);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [HEARTBEAT_NULL], "the number of no session");
}

/// A new session has the newest presence, not that of the configuration.
#[test]
fn identify_has_the_newest_presence() {
    let mut scenario = Scenario::at(Phase::Ready);
    let playing = |name: &str| Presence::new(Status::Online, [Activity::new(ActivityKind::Playing, name)]);
    scenario.shard.send(Command::UpdatePresence(playing("chess"))).unwrap();
    scenario.settle();
    scenario.closed(4009);
    scenario.open();
    scenario.log();
    scenario.input(Input::IdentifyGranted);
    let log = scenario.log();
    assert!(
        log[1].contains(r#""presence":{"since":null,"activities":[{"name":"chess","type":0}]"#),
        "{log:?}"
    );
}

/// A presence that fits into its own command but not into Identify is left out, so that Identify stays within the limit.
#[test]
fn identify_leaves_out_a_presence_that_does_not_fit() {
    let mut scenario = Scenario::at(Phase::Ready);
    let long = Presence::new(Status::Online, [Activity::custom("x".repeat(3_900))]);
    scenario.shard.send(Command::UpdatePresence(long)).unwrap();
    scenario.settle();
    scenario.closed(4009);
    scenario.open();
    scenario.log();
    scenario.input(Input::IdentifyGranted);
    let log = scenario.log();
    assert!(log[1].starts_with(r#"send {"op":2,"#) && !log[1].contains("presence"), "{log:?}");
}

/// A server that requests heartbeats continuously leaves a slot for Identify within the 120 messages of a minute.
#[test]
fn identify_has_a_slot_however_many_heartbeats_are_requested() {
    let mut scenario = Scenario::at(Phase::AwaitingIdentify);
    scenario.log();
    for _ in 0..200 {
        scenario.server(&server::heartbeat_request());
    }
    let requested = scenario.log().len();
    scenario.input(Input::IdentifyGranted);
    assert_eq!(scenario.log().iter().filter(|line| line.starts_with("send")).count(), 1);
    // Two heartbeats are due in a window.
    assert_eq!(requested + 1, 118);
}
