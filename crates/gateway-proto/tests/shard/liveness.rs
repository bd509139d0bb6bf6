//! When silence means that a connection is dead, and when it does not.

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::{Condition, Phase};
use gateway_proto::{Input, Message, Reconnect, Shard};

use crate::support::{INTERVAL, PHASES, RESUME, Scenario, ms, raw_command, secs, server};

/// If a scheduled heartbeat is due, the one before is unacknowledged, and nothing was received since, the connection is
/// dead. The socket is dropped at once, without waiting for an answer to the close frame, and the session is resumed
/// (twilight-rs/twilight#2380; discordjs/discord.js#7450; snapview/tokio-tungstenite#234).
#[test]
fn silence_since_the_last_heartbeat_is_a_zombie() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.log();
    scenario.advance(INTERVAL - ms(1));
    assert_eq!(scenario.log(), [""; 0]);
    scenario.advance(ms(1));
    assert_eq!(scenario.elapsed(), first + INTERVAL);
    assert_eq!(
        scenario.log(),
        [
            "close 4000 heartbeats unanswered",
            "disconnect",
            "disconnected: heartbeats went unanswered; resumable; retry in 0ns",
            "connecting to resume, attempt 1",
            RESUME,
        ]
    );
    assert_eq!(scenario.shard.stats().zombies, 1);
}

/// A connection that is silent from Hello on is detected within two intervals, in every phase that waits
/// (twilight-rs/twilight#2380; DSharpPlus/DSharpPlus#279).
#[test]
fn silence_after_hello_is_detected_within_two_intervals() {
    for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::at(phase);
        let start = scenario.elapsed();
        let dropped = scenario.advance_until("disconnect");
        assert!(dropped - start <= INTERVAL * 2, "{phase:?}: {:?}", dropped - start);
    }
}

/// Anything received since the heartbeat proves that the connection is alive: at the start acknowledgements queue behind
/// megabytes of guilds (twilight-rs/twilight#1997; disgoorg/disgo#499).
#[test]
fn messages_since_the_heartbeat_prove_life() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    for sequence in 2..10_002 {
        scenario.advance(INTERVAL / 8_000);
        scenario.server(&server::message(sequence));
    }
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    assert_eq!((scenario.shard.stats().disconnects, scenario.shard.stats().dispatches), (0, 10_001));
}

/// This holds for at most two intervals: a server that sends events and acknowledges nothing is broken.
#[test]
fn messages_do_not_hide_two_unanswered_intervals() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    for sequence in 2.. {
        scenario.advance(secs(1));
        if scenario.shard.phase() != Phase::Ready {
            break;
        }
        scenario.server(&server::message(sequence));
    }
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL * 2);
    assert_eq!(scenario.disconnected().reason, DisconnectReason::Zombie);
}

/// Messages between a requested heartbeat and the scheduled one prove nothing about the time after.
#[test]
fn a_requested_heartbeat_does_not_excuse_the_silence_after_a_scheduled_one() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.advance(secs(30));
    scenario.server(&server::heartbeat_request());
    scenario.advance(secs(5));
    scenario.server(&server::message(2));
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL * 2);
}

/// An unacknowledged requested heartbeat is not a scheduled one: it proves nothing at the next scheduled one.
#[test]
fn an_unanswered_requested_heartbeat_is_no_zombie() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.advance(INTERVAL - ms(10));
    scenario.server(&server::heartbeat_request());
    scenario.log();
    assert_eq!(scenario.advance_until("send"), first + INTERVAL);
    assert_eq!(scenario.shard.phase(), Phase::Ready);
}

/// An acknowledgement just before the next heartbeat counts.
#[test]
fn an_acknowledgement_just_in_time_counts() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..10 {
        scenario.advance_until("send");
        scenario.advance(INTERVAL - ms(1));
        scenario.server(&server::acknowledgement());
    }
    assert_eq!(scenario.shard.stats().zombies, 0);
}

/// Before the connection is dropped, the health is degraded; afterwards the shard is reconnecting
/// (discordjs/discord.js#10174; discord-jda/JDA#2864).
#[test]
fn health_is_degraded_before_the_connection_is_dropped_and_reconnecting_after() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    assert_eq!(scenario.shard.health().condition, Condition::Healthy);
    scenario.advance(INTERVAL / 2);
    assert_eq!(scenario.shard.health().condition, Condition::Degraded { missed_heartbeats: 1 });
    assert_eq!(scenario.shard.health().phase, Phase::Ready);
    scenario.advance(INTERVAL / 2);
    let reconnecting =
        Condition::Reconnecting { attempt: 1, next_at: None, reason: DisconnectReason::Zombie };
    assert_eq!(scenario.shard.health().condition, reconnecting);
    scenario.open();
    scenario.server(&server::resumed(2));
    assert_eq!(scenario.shard.health().condition, Condition::Healthy);
}

/// Each connection starts with a new heartbeat state: unacknowledged heartbeats of the old one do not count
/// (serenity-rs/serenity@ae50886).
#[test]
fn the_heartbeat_state_is_new_on_each_connection() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    scenario.eof();
    scenario.open();
    scenario.server(&server::resumed(2));
    let first = scenario.advance_until(r#"send {"op":1"#);
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL);
}

/// Time may pass and an input may come in every phase, and nothing panics (twilight-rs/twilight#1964).
#[test]
fn a_day_of_silence_panics_in_no_phase() {
    for phase in PHASES {
        let mut scenario = Scenario::at(phase);
        scenario.advance(secs(86_400));
        scenario.input(Input::Timeout);
        scenario.lag(secs(86_400));
        scenario.input(Input::Timeout);
    }
}

/// A clock that runs backwards is ignored; the latest time counts.
#[test]
fn time_does_not_run_backwards() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance(secs(5));
    let past = scenario.now() - secs(4);
    let message = Message::Text(server::message(2).into());
    scenario.input(Input::Timeout);
    scenario.shard.handle_input(Input::Message(message), past);
    assert_eq!(scenario.shard.health().last_received, Some(scenario.now()));
}

// ---- Late calls ----

/// A shard that was not driven has read nothing: after the pause the server has a whole interval to answer.
#[test]
fn a_late_call_is_not_the_servers_silence() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    scenario.lag(secs(600));
    scenario.settle();
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    let beat = scenario.elapsed();
    assert_eq!(scenario.advance_until("disconnect"), beat + INTERVAL, "silence after it counts");
}

/// Two seconds of delay are normal on a busy machine, and extend no deadline.
#[test]
fn a_little_lateness_extends_no_deadline() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.advance(INTERVAL / 2);
    scenario.lag(INTERVAL / 2 + secs(2));
    scenario.settle();
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL + secs(2));
}

/// A driver that is always late, with nothing to read in between, cannot keep a dead connection open forever.
#[test]
fn a_driver_that_is_always_late_still_notices_a_dead_connection() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    let mut rounds = 0;
    while scenario.shard.phase() == Phase::Ready {
        let left = scenario.time_left();
        scenario.lag(left + secs(3));
        scenario.input(Input::Timeout);
        rounds += 1;
        assert!(rounds < 20, "a dead connection is kept");
    }
}

/// A driver that is always late but reads something in between keeps its connection.
#[test]
fn a_driver_that_is_always_late_keeps_a_live_connection() {
    let mut scenario = Scenario::at(Phase::Ready);
    for sequence in 2..100 {
        let left = scenario.time_left();
        scenario.lag(left + secs(3));
        scenario.server(&server::message(sequence));
    }
    assert_eq!((scenario.shard.phase(), scenario.shard.stats().disconnects), (Phase::Ready, 0));
}

/// A wait for the server also starts again after the shard was not driven: Hello may be in the socket after other data.
#[test]
fn a_late_call_does_not_end_a_wait() {
    for (phase, timeout) in
        [(Phase::AwaitingHello, secs(20)), (Phase::AwaitingReady, secs(60)), (Phase::Resuming, secs(60))]
    {
        let mut scenario = Scenario::at(phase);
        scenario.lag(secs(300));
        scenario.server(r#"{"op":99,"d":null}"#);
        assert_eq!(scenario.shard.phase(), phase);
        let late = scenario.elapsed();
        // Acknowledge heartbeats, so that only the wait itself can end.
        while scenario.shard.phase() == phase {
            scenario.server(r#"{"op":99,"d":null}"#);
            scenario.next_deadline();
        }
        assert!(scenario.elapsed() - late >= timeout, "{phase:?}: {:?}", scenario.elapsed() - late);
    }
}

/// While the application does not read the socket, silence is not the server's: heartbeats are sent, and the connection
/// is kept (ewohltman/ephemeral-roles#446).
#[test]
fn a_paused_reader_keeps_its_connection() {
    for phase in [Phase::AwaitingHello, Phase::AwaitingReady, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::at(phase);
        scenario.input(Input::ReadingPaused);
        scenario.advance(secs(3600));
        assert_eq!(scenario.shard.phase(), phase);
        let beats = scenario.log().iter().filter(|line| line.starts_with(r#"send {"op":1,"#)).count();
        let expected = if phase == Phase::AwaitingHello { 0 } else { 89 };
        assert!(beats >= expected, "{phase:?}: {beats} beats in an hour");
        scenario.input(Input::ReadingResumed);
        assert_eq!(scenario.shard.phase(), phase, "the wait begins anew");
        scenario.advance(secs(19));
        assert_eq!(scenario.shard.phase(), phase);
        scenario.advance(secs(100));
        assert_ne!(scenario.shard.phase(), phase, "silence counts again");
    }
}

/// A pause may begin before there is a connection, and applies to the next one.
#[test]
fn a_pause_before_the_connection_opens_counts() {
    let mut scenario = Scenario::at(Phase::Connecting);
    scenario.input(Input::ReadingPaused);
    scenario.input(Input::Opened);
    scenario.advance(secs(60));
    assert_eq!(scenario.shard.phase(), Phase::AwaitingHello);
    scenario.input(Input::ReadingResumed);
    assert_eq!(scenario.advance_until("close"), secs(80));
}

/// A server that acknowledges heartbeats but never answers Identify may have lost it: the shard waits for an hour at
/// most.
#[test]
fn the_wait_for_ready_lasts_at_most_an_hour() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    let identified = scenario.elapsed();
    while scenario.shard.phase() == Phase::AwaitingReady {
        scenario.server(&server::acknowledgement());
        scenario.advance(secs(1));
    }
    assert_eq!(scenario.elapsed() - identified, secs(3600));
    scenario.eof();
    assert_eq!(scenario.disconnected().reason, DisconnectReason::ReadyTimeout);
}

/// A driver that calls at once after a request of the application is not late, however long ago the last input was.
#[test]
fn a_request_of_the_application_makes_no_call_late() {
    for ask in [
        (|shard| shard.send(raw_command(50, "null")).unwrap()) as fn(&mut Shard),
        Shard::heartbeat,
        |shard| shard.reconnect(Reconnect::Resume),
    ] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
        scenario.log();
        scenario.advance(secs(30));
        ask(&mut scenario.shard);
        scenario.settle();
        let log = scenario.log();
        assert!(!log.is_empty() && !log.iter().any(|line| line.contains("NotDriven")), "{log:?}");
    }
    // Nor does a request hide a delay.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.lag(INTERVAL + secs(10));
    scenario.shard.heartbeat();
    scenario.settle();
    assert!(scenario.log().iter().any(|line| line.contains("NotDriven")));
}
