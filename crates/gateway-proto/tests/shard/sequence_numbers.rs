//! Sequence numbers: which messages advance them, and what follows from one that is skipped.

use gateway_proto::config::Delivery;
use gateway_proto::health::Phase;
use proptest::prelude::*;

use crate::support::{Scenario, resume_message, secs, server};

/// The number advances on receipt of any dispatch, also an unknown one, and only on dispatches.
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

/// An action of a server with a complete journal, of which not everything arrives.
#[derive(Debug, Clone, Copy)]
enum Action {
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

/// Runs a server with a journal. Returns the numbers of its events.
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

/// The numbers of the delivered events, and those that a notice of a gap names.
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

    /// If the server has the missing events, all of them are delivered, in order and once, however many are lost.
    #[test]
    fn what_is_lost_on_its_way_is_delivered_once_and_in_order(actions in actions(false)) {
        let mut scenario = Scenario::at(Phase::Ready);
        let journal = serve(&mut scenario, &actions);
        prop_assert_eq!(delivered(&mut scenario).0, journal);
    }

    /// If the server also skips numbers, no event comes twice or out of order, and a notice names the missing ones.
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
