//! A session that goes on (Discord Docs, Gateway > Resuming), and the bookkeeping of sequence numbers.

use gateway_proto::config::Delivery;
use gateway_proto::health::Phase;
use gateway_proto::{Closed, Event, Input, Notice, Output, Shard, ShardId};
use proptest::prelude::*;

use crate::support::{
    BASE, PHASES, RESUME, SESSION, Scenario, Step, TOKEN, config, ms, saved_session, secs, server,
};

fn resume_message(sequence: u64) -> String {
    format!(r#"send {{"op":6,"d":{{"token":"{TOKEN}","session_id":"{SESSION}","seq":{sequence}}}}}"#)
}

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

// ---- Sequence numbers that are skipped ----

const GAP: &str = "notice SequenceGap { after: 1, got: 3 }";

/// The connection ends for a gap, and the shard asks for what comes after this number.
fn resumes_after_a_gap(scenario: &mut Scenario, sequence: u64) {
    let said = scenario.said();
    let end = said.len() - 2;
    assert!(said[end].starts_with("notice SequenceGap"), "{said:?}");
    assert_eq!(said[end + 1], "close 4000 sequence numbers skipped");
    scenario.eof();
    let ended = scenario.said().remove(0);
    assert!(ended.starts_with("disconnected: the server skipped sequence numbers"), "{ended}");
    assert!(ended.contains("; resumable; "), "{ended}");
    while scenario.shard.phase() == Phase::BackingOff {
        scenario.next_deadline();
    }
    scenario.open();
    assert_eq!(scenario.said().last().unwrap(), &resume_message(sequence));
}

/// A skipped number may be an event that was lost: the shard resumes, and delivers each event once and in its place.
#[test]
fn a_gap_is_filled_by_a_resume() {
    for delivery in [Delivery::Received, Delivery::Acknowledged] {
        let mut scenario = Scenario::with(Phase::Ready, |config| config.delivery = delivery);
        if delivery == Delivery::Acknowledged {
            scenario.shard.ack(1).unwrap();
        }
        scenario.server(&server::message(3));
        scenario.server(&server::message(4));
        resumes_after_a_gap(&mut scenario, 1);
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
        assert_eq!(scenario.shard.stats().identifies, 1);
    }
}

/// Two payloads in one message: the first is delivered, and the gap behind it brings the second.
#[test]
fn an_event_that_another_one_hides_comes_with_the_replay() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    // 3 stood behind it in the same message.
    scenario.server(&server::message(4));
    resumes_after_a_gap(&mut scenario, 2);
    for sequence in 3..=4 {
        scenario.server(&server::message(sequence));
    }
    scenario.server(&server::resumed(5));
    assert_eq!(scenario.said()[..2], ["dispatch MESSAGE_CREATE 3", "dispatch MESSAGE_CREATE 4"]);
}

/// What the replay skips too, the server does not have: the gap is reported, and the shard goes on.
#[test]
fn a_gap_that_a_resume_does_not_fill_is_taken_as_it_is() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(3));
    resumes_after_a_gap(&mut scenario, 1);
    scenario.server(&server::message(3));
    scenario.server(&server::resumed(4));
    let taken = [GAP, "dispatch MESSAGE_CREATE 3", "dispatch RESUMED 4", "resumed, 1 replayed"];
    assert_eq!(scenario.said(), taken);
    // The replay may have nothing at all.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(3));
    resumes_after_a_gap(&mut scenario, 1);
    scenario.server(&server::resumed(4));
    let got = "notice SequenceGap { after: 1, got: 4 }";
    assert_eq!(scenario.said(), [got, "dispatch RESUMED 4", "resumed, 0 replayed"]);
    // Or end below the number that showed the gap.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(5));
    resumes_after_a_gap(&mut scenario, 1);
    scenario.server(&server::resumed(2));
    scenario.server(&server::message(5));
    let got = "notice SequenceGap { after: 2, got: 5 }";
    let taken = ["dispatch RESUMED 2", "resumed, 0 replayed", got, "dispatch MESSAGE_CREATE 5"];
    assert_eq!(scenario.said(), taken);
    assert_eq!(scenario.shard.phase(), Phase::Ready);
}

/// A gap within a replay, and one that RESUMED shows, are asked about like any other.
#[test]
fn a_gap_in_a_replay_is_asked_about_once() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.server(&server::message(2));
    scenario.server(&server::message(4));
    resumes_after_a_gap(&mut scenario, 2);
    scenario.server(&server::message(3));
    scenario.server(&server::resumed(6));
    resumes_after_a_gap(&mut scenario, 3);
    scenario.server(&server::message(4));
    scenario.server(&server::message(6));
    scenario.server(&server::resumed(7));
    assert_eq!(
        scenario.said(),
        [
            "dispatch MESSAGE_CREATE 4",
            "notice SequenceGap { after: 4, got: 6 }",
            "dispatch MESSAGE_CREATE 6",
            "dispatch RESUMED 7",
            "resumed, 2 replayed",
        ]
    );
}

/// RESUMED has a number, and is not replayed: where it was lost with its connection, its number is missing for good.
#[test]
fn the_number_of_a_lost_resumed_costs_no_connection() {
    let mut scenario = Scenario::at(Phase::Resuming);
    // Number 2 is that of the RESUMED that does not arrive.
    scenario.eof();
    scenario.next_connect();
    scenario.open();
    scenario.said();
    scenario.server(&server::message(3));
    scenario.server(&server::resumed(4));
    let taken = [GAP, "dispatch MESSAGE_CREATE 3", "dispatch RESUMED 4", "resumed, 1 replayed"];
    assert_eq!(scenario.said(), taken);
}

/// A gap among the last events of a connection that is ending: what follows comes again.
#[test]
fn after_a_gap_nothing_counts_that_a_closing_connection_still_brings() {
    let mut scenario = Scenario::at(Phase::Closing);
    scenario.server(&server::message(2));
    scenario.server(&server::message(4));
    scenario.server(&server::message(5));
    let told = "notice SequenceGap { after: 2, got: 4 }";
    assert_eq!(scenario.said(), ["dispatch MESSAGE_CREATE 2", told]);
    scenario.eof();
    assert!(scenario.said()[0].starts_with("disconnected: the server asked for a reconnect"));
    scenario.open();
    assert_eq!(scenario.said().last().unwrap(), &resume_message(2));
}

/// A server that skips a number before every event is asked ever more rarely, at last once in an hour.
#[test]
fn a_server_that_always_skips_causes_no_loop() {
    let mut scenario = Scenario::at(Phase::Ready);
    let mut sequence = 1;
    let mut delivered = 0;
    for _ in 0..86_400 {
        sequence += 2;
        scenario.live(secs(1));
        scenario.server(&server::message(sequence));
        while scenario.shard.phase() != Phase::Ready {
            let after = scenario.shard.session().unwrap().sequence();
            match scenario.shard.phase() {
                Phase::Closing => scenario.eof(),
                Phase::BackingOff => drop(scenario.next_deadline()),
                Phase::Connecting => scenario.open(),
                _ => {
                    (after + 2..=sequence).step_by(2).for_each(|s| scenario.server(&server::message(s)));
                    sequence += 2;
                    scenario.server(&server::resumed(sequence));
                }
            }
        }
        let said = scenario.said();
        delivered += said.iter().filter(|line| line.starts_with("dispatch MESSAGE_CREATE")).count();
    }
    let (connects, resumed) = (scenario.shard.stats().connects, scenario.shard.stats().resumed);
    assert_eq!(delivered, 86_400);
    assert_eq!((connects, resumed), (30, 29), "60 s, 120 s, 240 s and so on, and then 24 hours");
}

/// What a server does whose journal is whole, though not all of it arrives.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// Dispatches an event, which arrives.
    Event,
    /// Dispatches an event, which does not.
    Lost,
    /// Leaves a number out.
    Skip,
    /// The connection breaks.
    Break,
    Wait(u64),
}

/// A server with a journal. Gives the numbers of its events.
fn serve(scenario: &mut Scenario, deeds: &[Deed]) -> Vec<u64> {
    let (mut journal, mut newest) = (Vec::new(), 1);
    for deed in deeds.iter().chain(&[Deed::Event]) {
        match deed {
            Deed::Event | Deed::Lost => {
                newest += 1;
                journal.push(newest);
                if let Deed::Event = deed {
                    scenario.server(&server::message(newest));
                }
            }
            Deed::Skip => newest += 1,
            Deed::Break => scenario.eof(),
            Deed::Wait(seconds) => scenario.live(secs(*seconds)),
        }
        while scenario.shard.phase() != Phase::Ready {
            match scenario.shard.phase() {
                Phase::Closing => scenario.eof(),
                Phase::BackingOff => drop(scenario.next_deadline()),
                Phase::Connecting => scenario.open(),
                phase => {
                    assert_eq!(phase, Phase::Resuming, "no session is lost");
                    let after = scenario.shard.session().unwrap().sequence();
                    let missed = journal.iter().filter(|number| **number > after);
                    missed.for_each(|number| scenario.server(&server::message(*number)));
                    newest += 1;
                    scenario.server(&server::resumed(newest));
                }
            }
        }
    }
    journal
}

/// The numbers of the events that were delivered, and those that a gap was told of.
fn delivered(scenario: &mut Scenario) -> (Vec<u64>, Vec<u64>) {
    let (mut delivered, mut told) = (Vec::new(), Vec::new());
    for line in scenario.said() {
        if let Some(number) = line.strip_prefix("dispatch MESSAGE_CREATE ") {
            delivered.push(number.parse().unwrap());
        } else if let Some(gap) = line.strip_prefix("notice SequenceGap { after: ") {
            let (after, got) = gap.trim_end_matches(" }").split_once(", got: ").unwrap();
            told.extend(after.parse::<u64>().unwrap() + 1..got.parse().unwrap());
        }
    }
    (delivered, told)
}

fn deeds(skips: bool) -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => Just(Deed::Event),
        2 => Just(Deed::Lost),
        1 => Just(if skips { Deed::Skip } else { Deed::Lost }),
        1 => Just(Deed::Break),
        1 => (1_u64..200).prop_map(Deed::Wait),
    ];
    proptest::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where a server has what is missing, all of it is delivered, in order and once, however much is lost on its way.
    #[test]
    fn what_is_lost_on_its_way_is_delivered_once_and_in_order(deeds in deeds(false)) {
        let mut scenario = Scenario::at(Phase::Ready);
        let journal = serve(&mut scenario, &deeds);
        prop_assert_eq!(delivered(&mut scenario).0, journal);
    }

    /// Where it also skips numbers, nothing comes twice or out of order, and what does not come was told of.
    #[test]
    fn nothing_is_missing_without_a_word(deeds in deeds(true)) {
        let mut scenario = Scenario::at(Phase::Ready);
        let journal = serve(&mut scenario, &deeds);
        let (delivered, told) = delivered(&mut scenario);
        prop_assert!(delivered.windows(2).all(|pair| pair[0] < pair[1]), "{delivered:?}");
        for number in journal {
            prop_assert!(delivered.contains(&number) || told.contains(&number), "{number}");
        }
    }
}

/// Whatever number comes, it is one.
#[test]
fn the_largest_number_is_a_number() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(u64::MAX));
    resumes_after_a_gap(&mut scenario, 1);
    for _ in 0..2 {
        scenario.server(&server::message(u64::MAX));
    }
    assert_eq!(scenario.shard.session().unwrap().sequence(), u64::MAX);
    // A session without a number has none to resume from.
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":null,"op":0,"d":{"session_id":"x"}}"#);
    scenario.said();
    scenario.server(&server::message(2));
    assert_eq!(scenario.said(), ["notice SequenceGap { after: 0, got: 2 }", "dispatch MESSAGE_CREATE 2"]);
}

// ---- The resume URL ----

/// One failed dial of the resume URL: the base URL for the rest of the outage, still with Resume (tatsuworks/gateway#87; twilight-rs/twilight#1942).
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

/// The parameters of the URL are there once each, whatever the server's URL brings along (twilight-rs/twilight#1894).
#[test]
fn the_resume_url_gets_its_parameters_once() {
    for (url, dialled) in [
        ("wss://r.gateway.example", "wss://r.gateway.example/?v=10&encoding=json"),
        ("wss://r.gateway.example/", "wss://r.gateway.example/?v=10&encoding=json"),
        ("wss://r.gateway.example:8443/path", "wss://r.gateway.example:8443/path?v=10&encoding=json"),
        (
            "wss://r.gateway.example/?v=9&encoding=etf&compress=x",
            "wss://r.gateway.example/?v=10&encoding=json",
        ),
        ("wss://r.gateway.example?a=b", "wss://r.gateway.example/?v=10&encoding=json&a=b"),
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

/// Resumes that fail for 180 s: the session is bricked, and a new one is begun at the base URL (discordeno/discordeno#3907). Until then
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

/// What answers a Resume ends the row: RESUMED, or any event that was asked for, also one that was delivered before.
#[test]
fn an_answer_ends_the_row_of_failed_resumes() {
    let answers: [(&str, Step); 3] = [
        ("RESUMED", |scenario| scenario.server(&server::resumed(4))),
        ("an event", |scenario| scenario.server(&server::message(4))),
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

/// A saved session is resumed by a new process, through JSON and back (twilight-rs/twilight#2324).
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

/// A session of another shard id or count is not resumed: its guilds are others (twilight-rs/twilight#2324).
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
        config.session = Some(gateway_proto::session::SessionSnapshot::new(id, None, 1, ShardId::ONE));
        let scenario = Scenario::at(Phase::Connecting);
        assert_eq!(Shard::new(config, scenario.now()).unwrap_err().field(), "session");
    }
}

/// No failure of the network costs the session: not a refused dial, not an outage, not a silent server (disgoorg/disgo@d072b7c).
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

/// A row of failed Resumes ends with RESUMED also where its number shows a gap: the server holds the session.
#[test]
fn resumed_with_a_gap_is_an_answer() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    for _ in 0..4 {
        scenario.next_connect();
        scenario.open();
        assert_eq!(scenario.shard.phase(), Phase::Resuming);
        scenario.eof();
        scenario.advance(secs(60));
    }
    scenario.next_connect();
    scenario.open();
    assert_eq!(scenario.shard.phase(), Phase::Resuming);
    scenario.server(&server::resumed(50));
    scenario.eof();
    assert!(scenario.shard.session().is_some());
    scenario.next_connect();
    scenario.open();
    scenario.eof();
    assert!(scenario.shard.session().is_some(), "the row begins anew");
}

/// Events that were not asked for are no answer to a Resume: a server that has nothing else does not hold the session.
#[test]
fn events_that_were_not_asked_for_keep_no_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    let start = scenario.elapsed();
    while scenario.shard.session().is_some() && scenario.elapsed() < start + secs(3600) {
        scenario.next_connect();
        scenario.open();
        scenario.server(&server::message(1));
        scenario.eof();
    }
    assert!(scenario.shard.session().is_none());
    assert!(scenario.elapsed() >= start + secs(180));
}
