//! Shutdowns and reconnects of the application
//! ([Discord Docs, Gateway > Initiating a Disconnect](https://discord.com/developers/docs/events/gateway#initiating-a-disconnect)).

use gateway_proto::command::SendError;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Input, Reconnect, Shutdown, StopReason};

use crate::support::{BASE, OPEN, PHASES, RESUME, Scenario, ms, raw_command, saved_session, secs, server};

const SHUTDOWNS: [Shutdown; 2] = [Shutdown::Resumable, Shutdown::LogOff];

/// With an open connection: the close frame for this shutdown, the server's answer, one `Disconnected`, the end
/// (Rapptz/discord.py@403651a; twilight-rs/twilight#2399; twilight-rs/twilight#1070).
#[test]
fn a_shutdown_closes_an_open_connection() {
    for how in SHUTDOWNS {
        let frame = match how {
            Shutdown::Resumable => "close 4000 shutting down",
            Shutdown::LogOff => "close 1000 logging off",
        };
        for phase in OPEN {
            let mut scenario = Scenario::at(phase);
            scenario.shard.shutdown(how);
            scenario.settle();
            assert_eq!(scenario.log().last().unwrap(), frame, "{phase:?}");
            scenario.closed(1000);
            let log = scenario.log();
            assert!(log[0].starts_with("disconnected: the shard is shutting down"), "{log:?}");
            assert_eq!(log[1..], [format!("stopped: {}", StopReason::Shutdown(how))]);
        }
    }
}

/// If the server does not answer the close frame, the shard stops after five seconds.
#[test]
fn a_shutdown_takes_five_seconds_at_most() {
    for how in SHUTDOWNS {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.shard.shutdown(how);
        assert_eq!(scenario.advance_until("disconnect"), secs(5));
        assert_eq!(scenario.shard.phase(), Phase::Stopped);
    }
}

/// Without an open connection the shard stops at once, regardless of a back-off or a connection attempt
/// (discord-jda/JDA#2464).
#[test]
fn a_shutdown_ends_every_wait_at_once() {
    for how in SHUTDOWNS {
        for phase in [Phase::BackingOff, Phase::Connecting] {
            let mut scenario = Scenario::at(phase);
            scenario.shard.shutdown(how);
            scenario.settle();
            assert_eq!(scenario.shard.phase(), Phase::Stopped);
            assert_eq!(scenario.elapsed(), ms(0));
            let log = scenario.log();
            assert_eq!(log.last().unwrap(), &format!("stopped: {}", StopReason::Shutdown(how)));
            assert_eq!(log.contains(&"disconnect".to_owned()), phase == Phase::Connecting, "{log:?}");
        }
    }
}

/// A shutdown while a connection is being closed stops the shard after that close.
#[test]
fn a_shutdown_while_closing_stops_after_the_close() {
    for how in SHUTDOWNS {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.shard.shutdown(how);
        scenario.server(&server::message(2));
        assert_eq!(scenario.log(), [""; 0]);
        scenario.eof();
        assert_eq!(scenario.shard.phase(), Phase::Stopped);
        assert_eq!(scenario.shard.session().is_some(), how == Shutdown::Resumable);
    }
}

/// A session that is kept can be resumed after the last event that the application received (twilight-rs/twilight#2324).
#[test]
fn a_resumable_shutdown_keeps_the_session_after_the_last_delivered_event() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.log();
    scenario.shard.shutdown(Shutdown::Resumable);
    scenario.server(&server::message(3));
    scenario.server(&server::message(4));
    assert_eq!(scenario.log(), ["close 4000 shutting down"], "what comes now is not delivered");
    scenario.eof();
    let session = scenario.shard.session().unwrap();
    assert_eq!(session.sequence(), 2, "so the next process gets it");
    let mut next = Scenario::with(Phase::Connecting, |config| config.session = Some(session));
    next.open();
    assert!(next.log().contains(&"resuming from 2".to_owned()));
}

/// Logging off ends the session.
#[test]
fn a_log_off_leaves_no_session() {
    for phase in PHASES {
        let mut scenario = Scenario::with(phase, |config| {
            config.session = matches!(phase, Phase::Connecting | Phase::BackingOff).then(saved_session);
        });
        scenario.shard.shutdown(Shutdown::LogOff);
        scenario.settle();
        assert_eq!(scenario.shard.session(), None, "{phase:?}");
    }
}

/// Commands queued before the shutdown are sent before the close frame, in order, as far as the rate limit allows.
#[test]
fn commands_queued_before_a_shutdown_are_sent_before_it() {
    let mut scenario = Scenario::at(Phase::Ready);
    for number in 0..2 {
        scenario.shard.send(raw_command(50, &number.to_string())).unwrap();
    }
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.settle();
    let log = scenario.log();
    assert_eq!(log, [r#"send {"op":50,"d":0}"#, r#"send {"op":50,"d":1}"#, "close 1000 logging off"]);
}

/// After the shutdown nothing can be sent or requested, and the first kind of shutdown counts.
#[test]
fn nothing_can_be_requested_after_the_end() {
    for phase in PHASES {
        let mut scenario = Scenario::at(phase);
        let queued = scenario.shard.send(raw_command(50, "0")).is_ok();
        assert_eq!(queued, phase != Phase::Stopped);
        scenario.shard.shutdown(Shutdown::Resumable);
        let error = scenario.shard.send(raw_command(50, "1")).unwrap_err();
        assert!(matches!(error, SendError::Stopped));
        scenario.shard.shutdown(Shutdown::LogOff);
        scenario.shard.reconnect(Reconnect::Fresh);
        scenario.settle();
        scenario.eof();
        assert_eq!(scenario.shard.phase(), Phase::Stopped);
        scenario.log();
        for input in [Input::Opened, Input::IdentifyGranted, Input::Timeout, Input::ReadingPaused] {
            scenario.input(input);
        }
        scenario.server(&server::reconnect());
        scenario.lag(secs(86_400));
        scenario.input(Input::Timeout);
        assert_eq!(scenario.log(), [""; 0], "{phase:?}");
        assert_eq!(scenario.shard.health().queued_commands, 0);
    }
}

/// The end or opening of a connection is handled before a request that would close it: nothing is sent to a dead socket.
#[test]
fn a_request_does_not_overtake_the_state_of_a_connection() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.eof();
    let log = scenario.log();
    assert_eq!(log.len(), 2, "no close frame: {log:?}");
    assert_eq!(log[1], "stopped: logged off");

    // A connection attempt that has failed or succeeded is not confused with the next one.
    let at_resume_url =
        |_: ()| Scenario::with(Phase::Connecting, |config| config.session = Some(saved_session()));
    let mut scenario = at_resume_url(());
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.connect_failed();
    assert_eq!(scenario.shard.phase(), Phase::Connecting);
    assert_eq!(scenario.log().last().unwrap(), BASE);
    let mut scenario = at_resume_url(());
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.input(Input::Opened);
    assert_eq!(scenario.log(), ["connected", "close 1000 starting a new session"]);
}

// ---- Reconnects ----

/// `reconnect(Resume)`: close with 4000, and resume without a wait (tatsuworks/gateway#87).
#[test]
fn a_reconnect_resumes_without_a_wait() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    assert_eq!(scenario.log(), ["close 4000 reconnecting"]);
    scenario.server(&server::message(2));
    scenario.eof();
    let log = scenario.log();
    assert_eq!(log[0], "dispatch MESSAGE_CREATE 2");
    assert!(log[1].ends_with("resumable; retry in 0ns"), "{log:?}");
    assert_eq!(log[3], RESUME);
}

/// `reconnect(Fresh)`: close with 1000, forget the session, and identify.
#[test]
fn a_fresh_reconnect_begins_a_new_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.settle();
    assert_eq!(scenario.log(), ["close 1000 starting a new session"]);
    scenario.eof();
    let end = scenario.disconnected();
    assert_eq!((end.reason, end.resumable, end.retry_in), (DisconnectReason::Requested, false, Some(ms(0))));
    scenario.open();
    assert_eq!(scenario.log().last().unwrap(), "acquire identify");
}

/// In every phase a reconnect leads to another connection, or keeps the one that is being opened.
#[test]
fn a_reconnect_in_any_phase_leads_to_a_connection() {
    for how in [Reconnect::Resume, Reconnect::Fresh] {
        for phase in PHASES.into_iter().filter(|phase| *phase != Phase::Stopped) {
            let mut scenario = Scenario::at(phase);
            scenario.shard.reconnect(how);
            scenario.settle();
            if OPEN.contains(&phase) {
                scenario.eof();
            }
            assert_eq!(scenario.shard.phase(), Phase::Connecting, "{how:?} in {phase:?}");
            assert_eq!(scenario.elapsed(), ms(0));
        }
    }
}

/// A reconnect during a close ends the wait for the close frame and the following back-off.
#[test]
fn a_reconnect_while_closing_ends_that_wait_too() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::invalid_session(true));
    scenario.log();
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    let log = scenario.log();
    assert_eq!((log[0].as_str(), log[3].as_str()), ("disconnect", RESUME));
}

/// A READY that arrives late does not undo a requested new session.
#[test]
fn a_late_ready_does_not_undo_a_fresh_reconnect() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.server(&server::ready());
    scenario.eof();
    assert_eq!(scenario.shard.session(), None);
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::reconnect());
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.server(&server::ready());
    assert_eq!((scenario.shard.session(), scenario.shard.phase()), (None, Phase::Connecting));
}

/// A new session does not use the resume URL of the session that it ends.
#[test]
fn a_fresh_reconnect_does_not_use_the_resume_url() {
    let mut scenario = Scenario::with(Phase::Connecting, |config| config.session = Some(saved_session()));
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.settle();
    let log = scenario.log();
    assert_eq!((log[0].as_str(), log.last().unwrap().as_str()), ("disconnect", BASE));
}

/// A shutdown takes precedence over a reconnect in either order.
#[test]
fn a_shutdown_takes_precedence_over_a_reconnect() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    assert_eq!(scenario.log(), ["close 1000 logging off"]);
}
