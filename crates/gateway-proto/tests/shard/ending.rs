//! The application ends the shard, or asks for another connection (Discord Docs, Gateway > Initiating a Disconnect).

use gateway_proto::command::SendError;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Input, Reconnect, Shutdown, StopReason};

use crate::support::{BASE, OPEN, PHASES, RESUME, Scenario, ms, raw_command, saved_session, secs, server};

const SHUTDOWNS: [Shutdown; 2] = [Shutdown::Resumable, Shutdown::LogOff];

/// With an open connection: the close frame that the end asks for, the server's answer, one `Disconnected`, the end
/// (Rapptz/discord.py@403651a; twilight-rs/twilight#2399; twilight-rs/twilight#1070, peers: worth beating 9).
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
            assert_eq!(scenario.said().last().unwrap(), frame, "{phase:?}");
            scenario.closed(1000);
            let said = scenario.said();
            assert!(said[0].starts_with("disconnected: the shard is shutting down"), "{said:?}");
            assert_eq!(said[1..], [format!("stopped: {}", StopReason::Shutdown(how))]);
        }
    }
}

/// A server that does not answer the close frame holds the end up for five seconds, and no longer.
#[test]
fn a_shutdown_takes_five_seconds_at_most() {
    for how in SHUTDOWNS {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.shard.shutdown(how);
        assert_eq!(scenario.advance_until("disconnect"), secs(5));
        assert_eq!(scenario.shard.phase(), Phase::Stopped);
    }
}

/// Without an open connection there is nothing to wait for: no back-off, no dial (discord-jda/JDA#2464).
#[test]
fn a_shutdown_ends_every_wait_at_once() {
    for how in SHUTDOWNS {
        for phase in [Phase::BackingOff, Phase::Connecting] {
            let mut scenario = Scenario::at(phase);
            scenario.shard.shutdown(how);
            scenario.settle();
            assert_eq!(scenario.shard.phase(), Phase::Stopped);
            assert_eq!(scenario.elapsed(), ms(0));
            let said = scenario.said();
            assert_eq!(said.last().unwrap(), &format!("stopped: {}", StopReason::Shutdown(how)));
            assert_eq!(said.contains(&"disconnect".to_owned()), phase == Phase::Connecting, "{said:?}");
        }
    }
}

/// A shutdown that comes while a connection is being closed stops the shard where it would have connected anew.
#[test]
fn a_shutdown_while_closing_stops_after_the_close() {
    for how in SHUTDOWNS {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.shard.shutdown(how);
        scenario.server(&server::message(2));
        assert_eq!(scenario.said(), [""; 0]);
        scenario.eof();
        assert_eq!(scenario.shard.phase(), Phase::Stopped);
        assert_eq!(scenario.shard.session().is_some(), how == Shutdown::Resumable);
    }
}

/// A session that is left alive can be taken up where the application has seen its last event (twilight-rs/twilight#2324).
#[test]
fn a_resumable_shutdown_leaves_the_session_at_the_last_event_seen() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.said();
    scenario.shard.shutdown(Shutdown::Resumable);
    scenario.server(&server::message(3));
    scenario.server(&server::message(4));
    assert_eq!(scenario.said(), ["close 4000 shutting down"], "what comes now is not delivered");
    scenario.eof();
    let session = scenario.shard.session().unwrap();
    assert_eq!(session.sequence(), 2, "so the next process gets it");
    let mut next = Scenario::with(Phase::Connecting, |config| config.session = Some(session));
    next.open();
    assert!(next.said().contains(&"resuming from 2".to_owned()));
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

/// What was asked for before the end goes out before it, in its order, as far as the rate limit allows.
#[test]
fn commands_sent_before_a_shutdown_go_out_before_it() {
    let mut scenario = Scenario::at(Phase::Ready);
    for number in 0..2 {
        scenario.shard.send(raw_command(50, &number.to_string())).unwrap();
    }
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.settle();
    let said = scenario.said();
    assert_eq!(said, [r#"send {"op":50,"d":0}"#, r#"send {"op":50,"d":1}"#, "close 1000 logging off"]);
}

/// After the end nothing can be sent or asked for, and the first word holds.
#[test]
fn the_end_is_the_end() {
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
        scenario.said();
        for input in [Input::Opened, Input::IdentifyGranted, Input::Timeout, Input::ReadingPaused] {
            scenario.input(input);
        }
        scenario.server(&server::reconnect());
        scenario.lag(secs(86_400));
        scenario.input(Input::Timeout);
        assert_eq!(scenario.said(), [""; 0], "{phase:?}");
        assert_eq!(scenario.shard.health().queued_commands, 0);
    }
}

/// What became of a connection is heard before a request that would end it: no word goes to a dead socket.
#[test]
fn a_request_does_not_overtake_the_news_of_a_connection() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.eof();
    let said = scenario.said();
    assert_eq!(said.len(), 2, "no close frame: {said:?}");
    assert_eq!(said[1], "stopped: logged off");

    // A dial that has failed, or opened, is not taken for the one that follows it.
    let at_resume_url =
        |_: ()| Scenario::with(Phase::Connecting, |config| config.session = Some(saved_session()));
    let mut scenario = at_resume_url(());
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.connect_failed();
    assert_eq!(scenario.shard.phase(), Phase::Connecting);
    assert_eq!(scenario.said().last().unwrap(), BASE);
    let mut scenario = at_resume_url(());
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.input(Input::Opened);
    assert_eq!(scenario.said(), ["connected", "close 1000 starting a new session"]);
}

// ---- Another connection ----

/// `reconnect(Resume)`: close with 4000, and resume without a wait (tatsuworks/gateway#87).
#[test]
fn a_reconnect_resumes_without_a_wait() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    assert_eq!(scenario.said(), ["close 4000 reconnecting"]);
    scenario.server(&server::message(2));
    scenario.eof();
    let said = scenario.said();
    assert_eq!(said[0], "dispatch MESSAGE_CREATE 2");
    assert!(said[1].ends_with("resumable; retry in 0ns"), "{said:?}");
    assert_eq!(said[3], RESUME);
}

/// `reconnect(Fresh)`: close with 1000, forget the session, and identify.
#[test]
fn a_fresh_reconnect_begins_a_new_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.settle();
    assert_eq!(scenario.said(), ["close 1000 starting a new session"]);
    scenario.eof();
    let end = scenario.disconnected();
    assert_eq!((end.reason, end.resumable, end.retry_in), (DisconnectReason::Requested, false, Some(ms(0))));
    scenario.open();
    assert_eq!(scenario.said().last().unwrap(), "acquire identify");
}

/// In every phase a reconnect leads to another connection, or lets the one that is being opened open.
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

/// While a connection is being closed nothing is waited for: not its close frame, not the back-off after it.
#[test]
fn a_reconnect_while_closing_ends_that_wait_too() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::invalid_session(true));
    scenario.said();
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    let said = scenario.said();
    assert_eq!((said[0].as_str(), said[3].as_str()), ("disconnect", RESUME));
}

/// A fresh start that was asked for is not undone by a READY that is still on its way.
#[test]
fn a_late_ready_does_not_undo_a_fresh_start() {
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

/// A fresh start does not go to the URL of the session that it ends.
#[test]
fn a_fresh_start_leaves_the_resume_url() {
    let mut scenario = Scenario::with(Phase::Connecting, |config| config.session = Some(saved_session()));
    scenario.shard.reconnect(Reconnect::Fresh);
    scenario.settle();
    let said = scenario.said();
    assert_eq!((said[0].as_str(), said.last().unwrap().as_str()), ("disconnect", BASE));
}

/// A shutdown goes before a reconnect, whichever was asked for first.
#[test]
fn a_shutdown_goes_before_a_reconnect() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.shard.shutdown(Shutdown::LogOff);
    scenario.shard.reconnect(Reconnect::Resume);
    scenario.settle();
    assert_eq!(scenario.said(), ["close 1000 logging off"]);
}
