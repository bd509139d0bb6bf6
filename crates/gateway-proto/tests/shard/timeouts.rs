//! The timeouts for the server, exact to the millisecond, and their effects.

use gateway_proto::Input;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;

use crate::support::{BASE, Scenario, ms, secs, server};

/// A connection attempt is abandoned after ten seconds, in TCP, TLS or the upgrade (twilight-rs/twilight#2448).
#[test]
fn a_dial_times_out_after_ten_seconds() {
    let mut scenario = Scenario::at(Phase::Connecting);
    scenario.advance(ms(9_999));
    assert_eq!(scenario.log(), [""; 0]);
    scenario.advance(ms(1));
    let log = scenario.log();
    assert_eq!(log[0], "disconnect");
    assert!(log[1].starts_with("disconnected: the connection did not open in time"), "{log:?}");
    assert_eq!(scenario.next_connect(), BASE);
}

/// A connection without Hello is dropped after twenty seconds (DSharpPlus/DSharpPlus#279).
#[test]
fn the_wait_for_hello_lasts_twenty_seconds() {
    let mut scenario = Scenario::at(Phase::AwaitingHello);
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(20));
    assert_eq!(scenario.advance_until("disconnect"), secs(25));
    assert_eq!(scenario.disconnected().reason, DisconnectReason::HelloTimeout);
}

/// Only Hello ends that wait.
#[test]
fn other_messages_do_not_replace_hello() {
    let mut scenario = Scenario::at(Phase::AwaitingHello);
    for sequence in 1..20 {
        scenario.advance(secs(1));
        scenario.server(&server::message(sequence));
    }
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(20));
}

/// Without READY and without acknowledgements, the wait ends after a minute (twilight-rs/twilight#2448).
#[test]
fn the_wait_for_ready_lasts_a_minute_without_acknowledgements() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    for _ in 0..59 {
        scenario.advance(secs(1));
        scenario.server(&server::dispatch("X", 1));
    }
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(60));
    scenario.eof();
    assert_eq!(scenario.disconnected().reason, DisconnectReason::ReadyTimeout);
}

/// In an outage the server acknowledges heartbeats for a long time before it sends READY. The shard waits for it, up to an hour,
/// since a server that has lost the Identify acknowledges too.
#[test]
fn the_wait_for_ready_continues_while_acknowledgements_arrive() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.live(secs(3590));
    assert_eq!(scenario.shard.phase(), Phase::AwaitingReady);
    scenario.server(&server::ready());
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    assert_eq!(scenario.shard.stats().connects, 1);
}

/// The wait for RESUMED ends a minute after the Resume, regardless of acknowledgements.
#[test]
fn the_wait_for_resumed_lasts_a_minute() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.advance_until(r#"send {"op":1"#);
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(60));
    scenario.eof();
    assert_eq!(scenario.disconnected().reason, DisconnectReason::ResumedTimeout);
    assert!(scenario.shard.session().is_some());
}

/// A replay may take any time if it progresses.
#[test]
fn a_replay_may_take_long() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for sequence in 2..12 {
        scenario.live(secs(59));
        scenario.server(&server::message(sequence));
    }
    assert_eq!(scenario.elapsed(), secs(590));
    assert_eq!(scenario.shard.phase(), Phase::Resuming);
    scenario.live(secs(60) - ms(1));
    assert_eq!(scenario.shard.phase(), Phase::Resuming);
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(650));
}

/// A READY that arrives after the timeout saves the Identify: messages before the server's close frame still count.
#[test]
fn a_ready_that_is_just_too_late_still_counts() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    for _ in 0..60 {
        scenario.advance(secs(1));
        scenario.server(&server::dispatch("X", 1));
    }
    assert_eq!(scenario.shard.phase(), Phase::Closing);
    scenario.server(&server::ready());
    scenario.eof();
    assert!(scenario.disconnected().resumable);
}

/// All timeouts are configurable and exact.
#[test]
fn every_timeout_is_configurable() {
    let change = |config: &mut gateway_proto::ShardConfig| {
        config.timeouts.connect = ms(11);
        config.timeouts.hello = ms(12);
        config.timeouts.ready = ms(13);
        config.timeouts.resumed = ms(14);
        config.timeouts.close = ms(15);
    };
    for (phase, timeout, word) in [
        (Phase::Connecting, 11, "disconnect"),
        (Phase::AwaitingHello, 12, "close"),
        (Phase::AwaitingReady, 13, "close"),
        (Phase::Resuming, 14, "close"),
        (Phase::Closing, 15, "disconnect"),
    ] {
        let mut scenario = Scenario::with(phase, change);
        assert_eq!(scenario.advance_until(word), ms(timeout), "{phase:?}");
    }
}

/// Every phase except the last has a deadline, which leads to another phase or another deadline.
#[test]
fn every_live_phase_has_a_deadline() {
    for phase in crate::support::PHASES.into_iter().filter(|phase| *phase != Phase::Stopped) {
        let mut scenario = Scenario::at(phase);
        for _ in 0..50 {
            scenario.input(Input::Timeout);
            assert!(scenario.time_left() <= secs(600), "{phase:?}: {:?}", scenario.time_left());
            scenario.next_deadline();
        }
    }
}
