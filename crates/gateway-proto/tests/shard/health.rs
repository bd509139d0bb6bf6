//! What a shard reports about itself, and what it keeps secret.

use std::fmt::Debug;

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::{Condition, Phase};
use gateway_proto::{Event, Input, Output, Reconnect, Shutdown, StopReason};

use crate::support::{PHASES, SESSION, Scenario, TOKEN, ms, raw_command, saved_session, secs, server};

/// The condition in every phase.
#[test]
fn the_condition_is_reported_in_every_phase() {
    for phase in PHASES {
        let scenario = Scenario::at(phase);
        let health = scenario.shard.health();
        assert_eq!(health.phase, phase);
        match (phase, health.condition) {
            (Phase::Connecting | Phase::AwaitingHello, Condition::Starting) => {}
            (Phase::AwaitingIdentify | Phase::AwaitingReady, Condition::Starting) => {}
            (Phase::BackingOff, Condition::Reconnecting { attempt: 1, next_at, reason }) => {
                assert_eq!(next_at, Some(scenario.now() + scenario.time_left()));
                assert!(matches!(reason, DisconnectReason::ConnectFailed(_)));
            }
            (Phase::Resuming, Condition::Reconnecting { attempt: 1, next_at: None, .. }) => {}
            (Phase::Closing, Condition::Reconnecting { next_at: None, reason, .. }) => {
                assert_eq!(reason, DisconnectReason::ReconnectRequested);
            }
            (Phase::Ready, Condition::Healthy) => {}
            (Phase::Stopped, Condition::Stopped(StopReason::Rejected(_))) => {}
            (phase, condition) => panic!("{condition:?} in {phase:?}"),
        }
    }
}

/// The times of the last received message and the last dispatch (discordjs/discord.js#10174).
#[test]
fn the_times_of_the_last_messages_are_reported() {
    let mut scenario = Scenario::at(Phase::Ready);
    let ready = scenario.now();
    scenario.advance(secs(1));
    scenario.server(r#"{"op":99}"#);
    let health = scenario.shard.health();
    assert_eq!((health.last_received, health.last_dispatch), (Some(scenario.now()), Some(ready)));
    assert_eq!(health.last_acknowledged, None);
    scenario.advance_until("send");
    scenario.advance(ms(30));
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.shard.health().last_acknowledged, Some(scenario.now()));
    scenario.eof();
    let health = scenario.shard.health();
    assert_eq!((health.last_received, health.last_acknowledged, health.latency), (None, None, None));
    assert_eq!(health.last_dispatch, Some(ready), "that is the shard's");
}

/// The counters of a session.
#[test]
fn a_session_is_counted() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.eof();
    scenario.open();
    scenario.server(&server::resumed(3));
    scenario.server(&server::invalid_session(false));
    scenario.eof();
    let stats = scenario.shard.stats();
    assert_eq!((stats.connect_attempts, stats.connects, stats.disconnects), (2, 2, 2));
    assert_eq!((stats.identifies, stats.resumes, stats.resumed, stats.invalid_sessions), (1, 1, 1, 1));
    assert_eq!((stats.dispatches, stats.duplicates, stats.undecodable, stats.zombies), (3, 0, 0, 0));
}

/// Searches printed values for secrets.
struct Secrets {
    texts: usize,
}

impl Secrets {
    fn look(&mut self, value: &impl Debug) {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            for secret in ["s3cret", TOKEN, SESSION] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        self.texts += 1;
    }

    fn look_at(&mut self, scenario: &mut Scenario) {
        for (_, output) in scenario.outputs() {
            self.look(&output);
            if let Output::Event(Event::Disconnected(end)) = &output {
                self.look(&end.reason.to_string());
            }
            if let Output::Event(Event::Dispatch(dispatch)) = &output {
                self.look(&dispatch.raw());
                self.look(&dispatch.data());
                // The error of a failed decode does not contain the content either.
                self.look(&dispatch.decode::<Vec<u8>>().map_err(|error| error.kind()));
            }
        }
        let shard = &scenario.shard;
        self.look(shard);
        self.look(shard.config());
        self.look(&shard.config().token);
        self.look(&shard.session());
        self.look(&shard.health());
        self.look(shard.stats());
    }
}

/// No `Debug` of a public value contains the token, session id or resume URL, through a whole session
/// (twilight-rs/twilight#2101).
#[test]
fn no_secret_is_ever_printed() {
    let mut secrets = Secrets { texts: 0 };
    let mut scenario = Scenario::with(Phase::Connecting, |config| {
        config.session = Some(saved_session());
        secrets.look(config);
    });
    let life: [crate::support::Step; 14] = [
        |scenario| scenario.connect_failed(),
        |scenario| {
            scenario.next_deadline();
        },
        Scenario::open,
        |scenario| scenario.server(&server::resumed(6)),
        |scenario| scenario.server(&server::invalid_session(false)),
        Scenario::eof,
        |scenario| {
            scenario.next_deadline();
        },
        Scenario::open,
        |scenario| scenario.input(Input::IdentifyGranted),
        |scenario| scenario.server(&server::ready()),
        |scenario| {
            scenario.shard.send(raw_command(50, &format!("\"{TOKEN}\""))).unwrap();
            scenario.settle();
        },
        |scenario| scenario.shard.reconnect(Reconnect::Resume),
        |scenario| scenario.server(&format!(r#"{{"op":"{SESSION}"#)),
        |scenario| scenario.shard.shutdown(Shutdown::Resumable),
    ];
    secrets.look_at(&mut scenario);
    for step in life {
        step(&mut scenario);
        scenario.settle();
        secrets.look_at(&mut scenario);
    }
    scenario.eof();
    secrets.look_at(&mut scenario);
    assert_eq!(scenario.shard.phase(), Phase::Stopped);
    assert!(secrets.texts > 100);
    assert!(scenario.shard.session().is_some(), "there was something to hide");
}

/// Nor does the reason for a disconnection after garbage, wherever it fails.
#[test]
fn no_secret_is_in_the_reason_for_a_disconnection() {
    let ready = server::ready();
    for length in 0..ready.len() {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&ready[..length]);
        scenario.eof();
        let mut secrets = Secrets { texts: 0 };
        secrets.look_at(&mut scenario);
        assert_eq!(scenario.shard.stats().undecodable, 1);
    }
}
