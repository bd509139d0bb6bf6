//! Sequence numbers: which messages advance them, and the effect of a skipped number.

use gateway_proto::config::Delivery;
use gateway_proto::health::Phase;
use proptest::prelude::*;

use crate::support::{Scenario, replayed, secs, server};

/// Any dispatch advances the number, also an unknown one, and no other message does.
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
    assert_eq!(scenario.log(), ["dispatch NEVER_HEARD_OF 2", "dispatch  3", "unknown op 99"]);
}

/// A dispatch without a number is delivered and changes none. An older number does not decrease the count.
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
    assert_eq!(scenario.log().len(), 6, "all are delivered");
}

/// The shard closes the connection because of a gap, and resumes from this number.
fn resumes_after_a_gap(scenario: &mut Scenario, sequence: u64) {
    let log = scenario.log();
    let end = log.len() - 2;
    assert!(log[end].starts_with("notice SequenceGap"), "{log:?}");
    assert_eq!(log[end + 1], "close 4000 sequence numbers skipped");
    scenario.eof();
    let ended = scenario.log().remove(0);
    assert!(ended.starts_with("disconnected: the server skipped sequence numbers"), "{ended}");
    assert!(ended.contains("; resumable; "), "{ended}");
    while scenario.shard.phase() == Phase::BackingOff {
        scenario.next_deadline();
    }
    scenario.open_and_resume(sequence);
}

/// The server has no event with number 2: it replays 3, and the shard reports the gap without another Resume.
fn replays_after_a_gap(scenario: &mut Scenario) {
    scenario.replay(3..=3);
    let mut log = scenario.log();
    assert_eq!(log.remove(0), "notice SequenceGap { after: 1, got: 3 }");
    assert_eq!(log, replayed(3..=3));
}

/// A skipped number may be a lost event: the shard resumes, and delivers each event once and in order.
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
        scenario.replay(2..=4);
        assert_eq!(scenario.log(), replayed(2..=4));
        scenario.server(&server::message(6));
        assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 6"]);
        assert_eq!(scenario.shard.stats().identifies, 1);
    }
}

/// Two payloads in one message: the first is delivered, and the gap after it causes a replay of the second.
#[test]
fn an_event_hidden_by_another_is_replayed() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    // 3 followed it in the same message.
    scenario.server(&server::message(4));
    resumes_after_a_gap(&mut scenario, 2);
    scenario.replay(3..=4);
    assert_eq!(scenario.log(), replayed(3..=4));
}

/// The server does not have an event that the replay skips too: the gap is reported, and the session continues.
#[test]
fn a_gap_that_a_resume_does_not_fill_is_accepted() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(3));
    resumes_after_a_gap(&mut scenario, 1);
    replays_after_a_gap(&mut scenario);
    // The replay may be empty.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(3));
    resumes_after_a_gap(&mut scenario, 1);
    scenario.server(&server::resumed(4));
    let got = "notice SequenceGap { after: 1, got: 4 }";
    assert_eq!(scenario.log(), [got, "dispatch RESUMED 4", "resumed, 0 replayed"]);
    // Or it may end below the number that revealed the gap.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(5));
    resumes_after_a_gap(&mut scenario, 1);
    scenario.server(&server::resumed(2));
    scenario.server(&server::message(5));
    let got = "notice SequenceGap { after: 2, got: 5 }";
    let taken = ["dispatch RESUMED 2", "resumed, 0 replayed", got, "dispatch MESSAGE_CREATE 5"];
    assert_eq!(scenario.log(), taken);
    assert_eq!(scenario.shard.phase(), Phase::Ready);
}

/// A gap within a replay, or one that RESUMED reveals, causes a Resume like any other.
#[test]
fn a_gap_in_a_replay_causes_one_resume() {
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
        scenario.log(),
        [
            "dispatch MESSAGE_CREATE 4",
            "notice SequenceGap { after: 4, got: 6 }",
            "dispatch MESSAGE_CREATE 6",
            "dispatch RESUMED 7",
            "resumed, 2 replayed",
        ]
    );
}

/// RESUMED has a number and is not replayed: if it is lost with its connection, no event has its number.
#[test]
fn the_number_of_a_lost_resumed_causes_no_resume() {
    let mut scenario = Scenario::at(Phase::Resuming);
    // Number 2 is that of the lost RESUMED.
    scenario.eof();
    scenario.next_connect();
    scenario.open();
    scenario.log();
    replays_after_a_gap(&mut scenario);
}

/// Events that follow a gap on a connection that is closing do not count: they are replayed.
#[test]
fn events_after_a_gap_on_a_closing_connection_do_not_count() {
    let mut scenario = Scenario::at(Phase::Closing);
    scenario.server(&server::message(2));
    scenario.server(&server::message(4));
    scenario.server(&server::message(5));
    let told = "notice SequenceGap { after: 2, got: 4 }";
    assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 2", told]);
    scenario.eof();
    assert!(scenario.log()[0].starts_with("disconnected: the server asked for a reconnect"));
    scenario.open_and_resume(2);
}

/// For a server that skips a number before every event the Resumes become rarer, at last one in an hour.
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
        let log = scenario.log();
        delivered += log.iter().filter(|line| line.starts_with("dispatch MESSAGE_CREATE")).count();
    }
    let (connects, resumed) = (scenario.shard.stats().connects, scenario.shard.stats().resumed);
    assert_eq!(delivered, 86_400);
    assert_eq!((connects, resumed), (30, 29), "60 s, 120 s, 240 s and so on, and then 24 hours");
}

/// A step of a server that keeps all its events, of which some do not arrive.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// Dispatches an event that arrives.
    Event,
    /// Dispatches an event that is lost.
    Lost,
    /// Skips a number.
    Skip,
    /// The connection breaks.
    Break,
    Wait(u64),
}

/// Runs such a server. Returns the numbers of its events.
fn serve(scenario: &mut Scenario, actions: &[Action]) -> Vec<u64> {
    let (mut journal, mut newest) = (Vec::new(), 1);
    for action in actions.iter().chain(&[Action::Event]) {
        match action {
            Action::Event | Action::Lost => {
                newest += 1;
                journal.push(newest);
                if let Action::Event = action {
                    scenario.server(&server::message(newest));
                }
            }
            Action::Skip => newest += 1,
            Action::Break => scenario.eof(),
            Action::Wait(seconds) => scenario.live(secs(*seconds)),
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

/// The numbers of the delivered events, and those in notices of gaps.
fn delivered(scenario: &mut Scenario) -> (Vec<u64>, Vec<u64>) {
    let (mut delivered, mut told) = (Vec::new(), Vec::new());
    for line in scenario.log() {
        if let Some(number) = line.strip_prefix("dispatch MESSAGE_CREATE ") {
            delivered.push(number.parse().unwrap());
        } else if let Some(gap) = line.strip_prefix("notice SequenceGap { after: ") {
            let (after, got) = gap.trim_end_matches(" }").split_once(", got: ").unwrap();
            told.extend(after.parse::<u64>().unwrap() + 1..got.parse().unwrap());
        }
    }
    (delivered, told)
}

fn actions(skips: bool) -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => Just(Action::Event),
        2 => Just(Action::Lost),
        1 => Just(if skips { Action::Skip } else { Action::Lost }),
        1 => Just(Action::Break),
        1 => (1_u64..200).prop_map(Action::Wait),
    ];
    proptest::collection::vec(action, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// If the server has the lost events, all of them are delivered once and in order.
    #[test]
    fn lost_events_are_delivered_once_and_in_order(actions in actions(false)) {
        let mut scenario = Scenario::at(Phase::Ready);
        let journal = serve(&mut scenario, &actions);
        prop_assert_eq!(delivered(&mut scenario).0, journal);
    }

    /// If the server also skips numbers, no event is delivered twice or out of order, and notices contain the missing
    /// ones.
    #[test]
    fn nothing_is_missing_without_a_notice(actions in actions(true)) {
        let mut scenario = Scenario::at(Phase::Ready);
        let journal = serve(&mut scenario, &actions);
        let (delivered, told) = delivered(&mut scenario);
        prop_assert!(delivered.windows(2).all(|pair| pair[0] < pair[1]), "{delivered:?}");
        for number in journal {
            prop_assert!(delivered.contains(&number) || told.contains(&number), "{number}");
        }
    }
}

/// The largest number is valid.
#[test]
fn the_largest_sequence_number_is_valid() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(u64::MAX));
    resumes_after_a_gap(&mut scenario, 1);
    for _ in 0..2 {
        scenario.server(&server::message(u64::MAX));
    }
    assert_eq!(scenario.shard.session().unwrap().sequence(), u64::MAX);
    // Without a number the session cannot be resumed from one.
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":null,"op":0,"d":{"session_id":"x"}}"#);
    scenario.log();
    scenario.server(&server::message(2));
    assert_eq!(scenario.log(), ["notice SequenceGap { after: 0, got: 2 }", "dispatch MESSAGE_CREATE 2"]);
}
