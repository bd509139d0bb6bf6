//! A session that goes on (Discord Docs, Gateway > Resuming), and the bookkeeping of sequence numbers.

use gateway_proto::{Closed, Delivery, Event, Input, Notice, Output, Phase, Shard, ShardId};

use crate::support::{
    BASE, PHASES, RESUME, SESSION, Scenario, Step, TOKEN, config, ms, saved_session, secs, server,
};

fn resume_message(sequence: u64) -> String {
    format!(r#"send {{"op":6,"d":{{"token":"{TOKEN}","session_id":"{SESSION}","seq":{sequence}}}}}"#)
}

/// After a lost connection: the session's own URL with the same parameters, Resume after Hello and not before, no permit
/// (B33, B35, B51, B63).
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

/// RESUMED comes with `d` null, `{}` or `{_trace}`, with or without a number; the stream goes on after it (B45).
#[test]
fn resumed_counts_in_any_form() {
    for text in [
        r#"{"t":"RESUMED","s":2,"op":0,"d":null}"#,
        r#"{"t":"RESUMED","s":2,"op":0,"d":{}}"#,
        r#"{"d":{"_trace":["x"],"op":9},"op":0,"s":2,"t":"RESUMED"}"#,
        r#"{"t":"RESUMED","s":null,"op":0,"d":null}"#,
        r#"{"t":"RESUMED","op":0}"#,
    ] {
        let mut scenario = Scenario::at(Phase::Resuming);
        scenario.server(text);
        assert_eq!(scenario.said()[1], "resumed, 0 replayed", "{text}");
        scenario.server(&server::message(3));
        assert_eq!(scenario.said().last().unwrap(), "dispatch MESSAGE_CREATE 3");
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
    scenario
        .server(&server::ready_with(r#""session_id":"other","resume_gateway_url":"wss://other.example""#));
    assert_eq!(scenario.said(), ["dispatch READY 1", "ready"]);
    scenario.eof();
    assert_eq!(scenario.next_connect(), "connect wss://other.example/?v=10&encoding=json");
}

// ---- Sequence numbers ----

/// The number advances on receipt of any dispatch, also one that nobody knows, and only on dispatches.
#[test]
fn the_number_advances_on_every_dispatch_and_on_nothing_else() {
    let mut scenario = Scenario::at(Phase::Ready);
    let sequence = |scenario: &Scenario| scenario.shard.session().unwrap().sequence();
    scenario.server(r#"{"t":"NEVER_HEARD_OF","s":2,"op":0,"d":[5]}"#);
    assert_eq!(sequence(&scenario), 2);
    scenario.server(r#"{"t":null,"s":3,"op":0,"d":null}"#);
    assert_eq!(sequence(&scenario), 3);
    scenario.server(r#"{"t":null,"s":9,"op":11,"d":null}"#);
    scenario.server(r#"{"t":null,"s":9,"op":99,"d":null}"#);
    assert_eq!(sequence(&scenario), 3);
    assert_eq!(scenario.said(), ["dispatch NEVER_HEARD_OF 2", "dispatch  3", "unknown op 99"]);
}

/// A dispatch without a number is delivered and changes none; an older number does not turn the count back.
#[test]
fn the_number_never_runs_backwards() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.server(&server::message(3));
    scenario.server(r#"{"t":"X","s":null,"op":0,"d":null}"#);
    scenario.server(r#"{"t":"X","op":0,"d":null}"#);
    scenario.server(r#"{"t":"X","s":"7","op":0,"d":null}"#);
    scenario.server(&server::message(2));
    assert_eq!(scenario.shard.session().unwrap().sequence(), 3);
    assert_eq!(scenario.said().len(), 6, "all are delivered");
}

/// A gap is told, and nothing else is done about it.
#[test]
fn a_gap_is_told() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(5));
    assert_eq!(scenario.said(), ["notice SequenceGap { after: 1, got: 5 }", "dispatch MESSAGE_CREATE 5"]);
    scenario.server(&server::message(u64::MAX));
    scenario.server(&server::message(u64::MAX));
    assert_eq!(scenario.shard.phase(), Phase::Ready);
}

// ---- The resume URL ----

/// One failed dial of the resume URL: the base URL for the rest of the outage, still with Resume (B31, B32).
#[test]
fn one_failed_dial_of_the_resume_url_leads_to_the_base_url() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    assert_eq!(scenario.said().last().unwrap(), RESUME);
    for _ in 0..3 {
        scenario.connect_failed();
        assert_eq!(scenario.next_connect(), BASE);
    }
    scenario.open();
    assert!(scenario.said().contains(&resume_message(1)));
    // The outage is over with RESUMED.
    scenario.server(&server::resumed(2));
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// So does a host that opens the connection and then says nothing, or hangs up before Hello.
#[test]
fn a_resume_url_where_nobody_says_hello_leads_to_the_base_url() {
    let ends: [(&str, Step); 4] = [
        ("silence", |scenario| scenario.advance(secs(25))),
        ("end of stream", Scenario::eof),
        ("close frame", |scenario| scenario.closed(1011)),
        ("garbage", |scenario| {
            scenario.server("<html>");
            scenario.eof();
        }),
    ];
    for (name, end) in ends {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.eof();
        scenario.input(Input::Opened);
        scenario.said();
        end(&mut scenario);
        assert_eq!(scenario.next_connect(), BASE, "{name}");
        scenario.open();
        assert!(scenario.said().contains(&resume_message(1)), "{name}: the session is kept");
    }
}

/// op 7 before Hello is the server's word: the URL stays.
#[test]
fn a_resume_url_that_asks_for_a_reconnect_is_kept() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    scenario.input(Input::Opened);
    scenario.server(&server::reconnect());
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// The parameters of the URL are there once each, whatever the server's URL brings along (B34).
#[test]
fn the_resume_url_gets_its_parameters_once() {
    for (url, dialled) in [
        ("wss://r.example", "wss://r.example/?v=10&encoding=json"),
        ("wss://r.example/", "wss://r.example/?v=10&encoding=json"),
        ("wss://r.example:8443/path", "wss://r.example:8443/path?v=10&encoding=json"),
        ("wss://r.example/?v=9&encoding=etf&compress=x", "wss://r.example/?v=10&encoding=json"),
        ("wss://r.example?a=b", "wss://r.example/?v=10&encoding=json&a=b"),
    ] {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(&format!(r#""session_id":"x","resume_gateway_url":"{url}""#)));
        scenario.eof();
        assert_eq!(scenario.said().last().unwrap(), &format!("connect {dialled}"), "{url}");
    }
}

// ---- Resumes that come to nothing ----

/// Ways in which a server that does not answer Resume ends the connection.
const FAILURES: [(&str, Step); 7] = [
    ("end of stream", Scenario::eof),
    ("close code 4000", |scenario| scenario.closed(4000)),
    ("close code 4003", |scenario| scenario.closed(4003)),
    ("close code 4008", |scenario| scenario.closed(4008)),
    ("op 9 true", |scenario| {
        scenario.server(&server::invalid_session(true));
        scenario.eof();
    }),
    ("op 7", |scenario| {
        scenario.server(&server::reconnect());
        scenario.eof();
    }),
    ("silence", |scenario| {
        while scenario.shard.phase() == Phase::Resuming {
            scenario.next_deadline();
        }
        if scenario.shard.phase() == Phase::Closing {
            scenario.eof();
        }
    }),
];

/// The next connection, with Resume sent.
fn resume_again(scenario: &mut Scenario) {
    scenario.next_connect();
    scenario.open();
    assert_eq!(scenario.shard.phase(), Phase::Resuming);
    scenario.said();
}

/// Resumes that come to nothing for 180 s: the session is bricked, and a new one is begun at the base URL (B25). Until then
/// it may be stuck at the server and go on, however many Resumes fail (api-docs #1619).
#[test]
fn resumes_that_fail_for_three_minutes_end_the_session() {
    for (name, fail) in FAILURES {
        let mut scenario = Scenario::at(Phase::Resuming);
        fail(&mut scenario);
        let (first, mut attempts) = (scenario.elapsed(), 1);
        let end = loop {
            resume_again(&mut scenario);
            fail(&mut scenario);
            attempts += 1;
            let (lasting, end) = (scenario.elapsed() - first, scenario.outputs());
            assert_eq!(scenario.shard.session().is_some(), lasting < secs(180) || attempts < 5, "{name}");
            if scenario.shard.session().is_none() {
                break end;
            }
        };
        let given_up = Output::Event(Event::Notice(Notice::ResumeGivenUp { attempts }));
        let place =
            |output: &Output| end.iter().position(|(_, said)| format!("{said:?}") == format!("{output:?}"));
        assert!(place(&given_up).is_some(), "{name}: {end:?}");
        assert!(attempts >= 5, "{name}: {attempts}");
        assert_eq!(scenario.next_connect(), BASE, "{name}");
        scenario.open();
        assert_eq!(scenario.said().last().unwrap(), "acquire identify");
    }
}

/// Time alone does not end it either: five Resumes have failed, whatever lies between them. Neither waits nor dials that fail
/// end the row.
#[test]
fn four_resumes_that_fail_within_a_day_end_no_session() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for _ in 0..4 {
        scenario.eof();
        let start = scenario.elapsed();
        while scenario.elapsed() - start < secs(6 * 3600) {
            scenario.next_connect();
            scenario.connect_failed();
        }
        resume_again(&mut scenario);
    }
    assert!(scenario.shard.session().is_some());
    scenario.eof();
    assert_eq!(scenario.said()[0], "notice ResumeGivenUp { attempts: 5 }");
    assert_eq!(scenario.shard.session(), None);
}

/// Both bounds are fields of the configuration.
#[test]
fn when_a_session_is_given_up_is_configurable() {
    let mut scenario = Scenario::with(Phase::Resuming, |config| {
        config.limits.resume_attempts = 1;
        config.limits.resume_timeout = ms(1);
    });
    scenario.eof();
    assert!(scenario.shard.session().is_some(), "no time has passed since the first that failed");
    resume_again(&mut scenario);
    scenario.eof();
    assert_eq!(scenario.said()[0], "notice ResumeGivenUp { attempts: 2 }");
}

/// What answers a Resume ends the row: RESUMED, or any event of the replay, also one that was delivered before.
#[test]
fn an_answer_ends_the_row_of_failed_resumes() {
    let answers: [(&str, Step); 4] = [
        ("RESUMED", |scenario| scenario.server(&server::resumed(4))),
        ("an event", |scenario| scenario.server(&server::message(4))),
        ("an event without a number", |scenario| {
            scenario.server(r#"{"t":"X","s":null,"op":0,"d":null}"#);
        }),
        ("an event that was delivered before", |scenario| scenario.server(&server::message(3))),
    ];
    for (name, answer) in answers {
        let mut scenario = Scenario::with(Phase::Ready, |config| {
            config.delivery = Delivery::Acknowledged;
        });
        scenario.server(&server::message(2));
        scenario.server(&server::message(3));
        scenario.eof();
        resume_again(&mut scenario);
        for row in 0..2 {
            let start = scenario.elapsed();
            for _ in 0..4 {
                scenario.eof();
                scenario.advance(secs(50));
                resume_again(&mut scenario);
            }
            assert!(scenario.elapsed() - start > secs(180));
            if row == 0 {
                answer(&mut scenario);
                // The end of an answered Resume is no failure.
                scenario.eof();
                resume_again(&mut scenario);
            }
        }
        assert!(scenario.shard.session().is_some(), "{name}");
        scenario.eof();
        assert!(scenario.said()[0].starts_with("notice ResumeGivenUp { attempts: 5 }"), "{name}");
    }
}

/// A replay that is cut off has begun: it goes on where it was, however often.
#[test]
fn a_replay_that_goes_on_is_not_given_up() {
    let mut scenario = Scenario::at(Phase::Resuming);
    let start = scenario.elapsed();
    for sequence in 2..22 {
        scenario.server(&server::message(sequence));
        scenario.eof();
        scenario.next_connect();
        scenario.open();
        assert!(scenario.said().contains(&resume_message(sequence)));
    }
    assert!(scenario.elapsed() - start > secs(180));
}

/// An end that the application asked for is no failure of the Resume.
#[test]
fn a_reconnect_of_the_application_is_no_failed_resume() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for _ in 0..10 {
        scenario.advance(secs(30));
        scenario.shard.reconnect(gateway_proto::Reconnect::Resume);
        scenario.settle();
        scenario.eof();
        scenario.open();
    }
    assert!(scenario.elapsed() > secs(180) && scenario.shard.session().is_some());
}

/// 4003 says that a message came before Identify, or that the session is gone. If it is, the Resume gets op 9.
#[test]
fn a_session_is_resumed_after_4003_whenever_it_comes() {
    for phase in [Phase::AwaitingHello, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::with(phase, |config| config.session = Some(saved_session()));
        scenario.closed(4003);
        assert!(scenario.disconnected().resumable, "{phase:?}");
        resume_again(&mut scenario);
        scenario.server(&server::invalid_session(false));
        assert_eq!(scenario.shard.session(), None);
    }
    for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady] {
        let mut scenario = Scenario::at(phase);
        scenario.closed(4003);
        scenario.next_connect();
        scenario.open();
        assert_eq!(scenario.said().last().unwrap(), "acquire identify", "{phase:?}");
    }
}

// ---- Across processes ----

/// A saved session is resumed by a new process, through JSON and back (B65).
#[test]
fn a_saved_session_is_resumed() {
    let mut before = Scenario::at(Phase::Ready);
    before.server(&server::message(2));
    let saved = serde_json::to_string(&before.shard.session().unwrap()).unwrap();
    let mut scenario = Scenario::with(Phase::Connecting, |config| {
        config.session = Some(serde_json::from_str(&saved).unwrap());
    });
    scenario.open();
    scenario.server(&server::resumed(3));
    assert_eq!(
        scenario.said(),
        [
            "connected".to_owned(),
            "hello 40s".to_owned(),
            "resuming from 2".to_owned(),
            resume_message(2),
            "dispatch RESUMED 3".to_owned(),
            "resumed, 0 replayed".to_owned(),
        ]
    );
    assert_eq!(scenario.shard.stats().identifies, 0);
}

/// A session of another shard id or count is not resumed: its guilds are others (B65).
#[test]
fn a_saved_session_of_another_shard_is_not_used() {
    let mut config = config();
    config.session = Some(saved_session());
    config.shard = ShardId::new(0, 2).unwrap();
    let mut scenario = Scenario::new(config);
    assert_eq!(scenario.said(), ["notice SavedSessionForOtherShard", "connecting, attempt 0", BASE]);
    assert_eq!(scenario.shard.session(), None);
}

/// A saved session id that no Resume could carry is the caller's mistake.
#[test]
fn a_saved_session_without_a_usable_id_is_refused() {
    for id in [String::new(), "x".repeat(513)] {
        let mut config = config();
        config.session = Some(gateway_proto::SessionSnapshot::new(id, None, 1, ShardId::ONE));
        let scenario = Scenario::at(Phase::Connecting);
        assert_eq!(Shard::new(config, scenario.now()).unwrap_err().field(), "session");
    }
}

/// No failure of the network costs the session: not a refused dial, not an outage, not a silent server (B50).
#[test]
fn no_network_fault_costs_the_session() {
    for phase in PHASES {
        if matches!(phase, Phase::Stopped | Phase::AwaitingIdentify | Phase::AwaitingReady) {
            continue;
        }
        let mut scenario = Scenario::with(phase, |config| config.session = Some(saved_session()));
        for round in 0..4 {
            scenario.eof();
            scenario.connect_failed();
            scenario.advance(secs(100));
            scenario.input(Input::Opened);
            scenario.advance(secs(100));
            assert!(scenario.shard.session().is_some(), "from {phase:?}, round {round}");
        }
    }
}
