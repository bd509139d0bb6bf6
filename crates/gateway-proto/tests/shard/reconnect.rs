//! Opcode 7
//! ([Discord Docs, Gateway Events > Reconnect](https://discord.com/developers/docs/events/gateway-events#reconnect)), and
//! messages that arrive after it.

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Closed, Input, Reconnect};

use crate::support::{OPEN, RESUME, Scenario, Step, ms, secs, server};

/// An event with a valid envelope and invalid data.
const BROKEN_DATA: &str = r#"{"t":"X","s":2,"op":0,"d":{"a":7]}}"#;

/// Opcode 7 is handled in every phase, also before or in place of Hello: close with 4000, wait for the answer, reconnect.
#[test]
fn op_7_is_handled_in_every_phase() {
    for phase in OPEN {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::reconnect());
        let log = scenario.log();
        assert_eq!(log.last().unwrap(), "close 4000 reconnect requested", "{phase:?}");
        assert_eq!(scenario.shard.phase(), Phase::Closing);
        scenario.eof();
        assert_eq!(scenario.disconnected().reason, DisconnectReason::ReconnectRequested);
        scenario.next_connect();
    }
}

/// After opcode 7 an open session is resumed at once the first time; the second time in a row there is a wait.
#[test]
fn the_first_redial_is_immediate_and_the_next_is_not() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::reconnect());
    scenario.closed(4000);
    assert_eq!(scenario.log().last().unwrap(), RESUME);
    scenario.open();
    scenario.server(&server::resumed(2));
    scenario.log();
    scenario.server(&server::reconnect());
    scenario.closed(4000);
    assert!(!scenario.disconnected().retry_in.unwrap().is_zero());
}

/// If the server does not answer the close frame, the socket is dropped after five seconds.
#[test]
fn the_wait_for_the_close_frame_lasts_five_seconds() {
    let mut scenario = Scenario::at(Phase::Closing);
    let start = scenario.elapsed();
    assert_eq!(scenario.advance_until("disconnect") - start, secs(5));
    assert_eq!(scenario.log().last().unwrap(), RESUME);
}

/// Any end of the connection after our close frame ends the wait, and nothing more is sent on it.
#[test]
fn any_end_ends_the_wait_for_the_close_frame() {
    for closed in [
        Closed::Frame { code: Some(4000), reason: String::new() },
        Closed::Frame { code: Some(1000), reason: String::new() },
        Closed::Frame { code: None, reason: String::new() },
        Closed::Eof,
        Closed::Failed("reset".to_owned()),
        Closed::Protocol("odd".to_owned()),
        Closed::MessageTooLarge,
    ] {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.server(&server::heartbeat_request());
        scenario.input(Input::Closed(closed));
        assert_eq!(scenario.disconnected().reason, DisconnectReason::ReconnectRequested);
        assert_eq!(scenario.shard.phase(), Phase::Connecting);
    }
}

/// Events that arrive after our close frame are delivered and counted, so that the replay is short.
#[test]
fn late_events_are_delivered_and_counted() {
    let mut scenario = Scenario::at(Phase::Closing);
    scenario.server(&server::message(2));
    scenario.server(&server::message(3));
    assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 2", "dispatch MESSAGE_CREATE 3"]);
    scenario.eof();
    scenario.open();
    assert!(scenario.log().contains(&"resuming from 3".to_owned()));
}

/// READY and RESUMED count too: they save an Identify, or a Resume from counting as unanswered.
#[test]
fn late_answers_count() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::reconnect());
    scenario.server(&server::ready());
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), RESUME);

    let mut scenario = Scenario::with(Phase::Resuming, |config| {
        config.limits.resume_attempts = 2;
        config.limits.resume_timeout = ms(1);
    });
    for answered in [true, false] {
        scenario.eof();
        scenario.next_connect();
        scenario.open();
        scenario.log();
        scenario.server(&server::reconnect());
        if answered {
            scenario.server(&server::resumed(2));
        }
        scenario.eof();
        let kept = scenario.shard.session().is_some();
        assert_eq!(kept, answered, "the second Resume of a row is counted unless it is answered");
        scenario.next_connect();
        scenario.open();
    }
}

/// After our close frame, a message that cannot be decoded is lost, and nothing after it counts: the replay contains all
/// of them.
#[test]
fn nothing_counts_after_a_late_message_that_cannot_be_read() {
    let garbage: [Step; 4] = [
        |scenario| scenario.server("garbage"),
        |scenario| scenario.server(r#"{"s":2}"#),
        |scenario| scenario.server(BROKEN_DATA),
        |scenario| scenario.server_binary(*b"\0garbage"),
    ];
    for garbage in garbage {
        let mut scenario = Scenario::at(Phase::Closing);
        garbage(&mut scenario);
        scenario.server(&server::message(3));
        assert_eq!(scenario.log(), [""; 0]);
        scenario.eof();
        scenario.open();
        assert!(scenario.log().contains(&"resuming from 1".to_owned()));
    }
}

/// A request to reconnect closes before the next message, so that message arrives after our close frame too.
#[test]
fn a_message_with_broken_data_after_a_request_to_reconnect_is_replayed() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.server(BROKEN_DATA);
    assert_eq!(scenario.log(), ["close 4000 reconnecting"]);
    assert_eq!(scenario.shard.session().unwrap().sequence(), 1);
}

/// An opcode 9 that arrives after our close frame counts: a Resume would fail.
#[test]
fn a_late_invalid_session_counts() {
    for resumable in [true, false] {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.server(&server::invalid_session(resumable));
        scenario.server(&server::message(2));
        assert_eq!(scenario.log(), [""; 0]);
        scenario.eof();
        let end = scenario.disconnected();
        assert_eq!(end.reason, DisconnectReason::InvalidSession { resumable });
        assert_eq!((end.resumable, scenario.shard.stats().invalid_sessions), (resumable, 1));
        assert!((secs(1)..=secs(5)).contains(&end.retry_in.unwrap()));
    }
}

/// Opcode 7 every 90 seconds for a day: no Identify, no wait, all events in order.
#[test]
fn a_day_of_reconnect_requests_costs_no_identify() {
    let mut scenario = Scenario::at(Phase::Ready);
    let mut sequence = 1;
    for _ in 0..960 {
        for _ in 0..9 {
            scenario.advance(secs(10));
            scenario.server(&server::acknowledgement());
            sequence += 1;
            scenario.server(&server::message(sequence));
        }
        scenario.server(&server::reconnect());
        scenario.closed(4000);
        scenario.open();
        sequence += 1;
        scenario.server(&server::resumed(sequence));
        assert_eq!(scenario.shard.phase(), Phase::Ready);
        scenario.log();
    }
    let stats = scenario.shard.stats();
    assert_eq!((stats.identifies, stats.resumed, stats.duplicates), (1, 960, 0));
}
