//! The server asks for another connection: op 7 (Discord Docs, Gateway Events > Reconnect), and what is still on its way.

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Closed, Input, Reconnect};

use crate::support::{OPEN, RESUME, Scenario, Step, ms, secs, server};

/// An event whose envelope can be read, and whose data cannot.
const BROKEN_DATA: &str = r#"{"t":"X","s":2,"op":0,"d":{"a":7]}}"#;

/// op 7 is obeyed in every stage, also before or instead of Hello: close with 4000, wait for the reply, connect anew
///.
#[test]
fn op_7_is_obeyed_in_every_stage() {
    for phase in OPEN {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::reconnect());
        let said = scenario.said();
        assert_eq!(said.last().unwrap(), "close 4000 reconnect requested", "{phase:?}");
        assert_eq!(scenario.shard.phase(), Phase::Closing);
        scenario.eof();
        assert_eq!(scenario.disconnected().reason, DisconnectReason::ReconnectRequested);
        scenario.next_connect();
    }
}

/// A session that was up is resumed at once after op 7, the first time; the second time in a row there is a wait.
#[test]
fn the_first_redial_is_immediate_and_the_next_is_not() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::reconnect());
    scenario.closed(4000);
    assert_eq!(scenario.said().last().unwrap(), RESUME);
    scenario.open();
    scenario.server(&server::resumed(2));
    scenario.said();
    scenario.server(&server::reconnect());
    scenario.closed(4000);
    assert!(!scenario.disconnected().retry_in.unwrap().is_zero());
}

/// A server that never answers our close frame is left after five seconds.
#[test]
fn the_close_frame_is_waited_for_for_five_seconds() {
    let mut scenario = Scenario::at(Phase::Closing);
    let start = scenario.elapsed();
    assert_eq!(scenario.advance_until("disconnect") - start, secs(5));
    assert_eq!(scenario.said().last().unwrap(), RESUME);
}

/// Whatever ends the connection after our close frame ends the wait, and nothing more is sent on it.
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

/// Events already on their way are delivered and counted, so that the replay is short (peers: worth matching).
#[test]
fn events_on_their_way_are_delivered_and_counted() {
    let mut scenario = Scenario::at(Phase::Closing);
    scenario.server(&server::message(2));
    scenario.server(&server::message(3));
    assert_eq!(scenario.said(), ["dispatch MESSAGE_CREATE 2", "dispatch MESSAGE_CREATE 3"]);
    scenario.eof();
    scenario.open();
    assert!(scenario.said().contains(&"resuming from 3".to_owned()));
}

/// READY and RESUMED count too: they save an Identify, and a Resume from being called unanswered.
#[test]
fn answers_on_their_way_count() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::reconnect());
    scenario.server(&server::ready());
    scenario.eof();
    assert_eq!(scenario.said().last().unwrap(), RESUME);

    let mut scenario = Scenario::with(Phase::Resuming, |config| {
        config.limits.resume_attempts = 2;
        config.limits.resume_timeout = ms(1);
    });
    for answered in [true, false] {
        scenario.eof();
        scenario.next_connect();
        scenario.open();
        scenario.said();
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

/// What cannot be read after our close frame is lost, and nothing after it counts: the replay brings both.
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
        assert_eq!(scenario.said(), [""; 0]);
        scenario.eof();
        scenario.open();
        assert!(scenario.said().contains(&"resuming from 1".to_owned()));
    }
}

/// A request to reconnect closes before the message that comes next, so that message is a late one too.
#[test]
fn a_message_with_broken_data_after_a_request_to_reconnect_is_replayed() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.server(BROKEN_DATA);
    assert_eq!(scenario.said(), ["close 4000 reconnecting"]);
    assert_eq!(scenario.shard.session().unwrap().sequence(), 1);
}

/// op 9 on its way is heard: the session need not be tried in vain.
#[test]
fn an_invalid_session_on_its_way_is_heard() {
    for resumable in [true, false] {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.server(&server::invalid_session(resumable));
        scenario.server(&server::message(2));
        assert_eq!(scenario.said(), [""; 0]);
        scenario.eof();
        let end = scenario.disconnected();
        assert_eq!(end.reason, DisconnectReason::InvalidSession { resumable });
        assert_eq!((end.resumable, scenario.shard.stats().invalid_sessions), (resumable, 1));
        assert!((secs(1)..=secs(5)).contains(&end.retry_in.unwrap()));
    }
}

/// op 7 every 90 seconds for a day: no Identify, no wait, order kept.
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
        scenario.said();
    }
    let stats = scenario.shard.stats();
    assert_eq!((stats.identifies, stats.resumed, stats.duplicates), (1, 960, 0));
}
