//! Every input in every phase: the outputs, and the phase after it. The table is `tests/snapshots/every_input.snap`; read
//! its changes as changes of the protocol.

use std::fmt::Write;

use gateway_proto::disconnect::Refused;
use gateway_proto::health::Phase;
use gateway_proto::identify::IdentifyRefused;
use gateway_proto::{Closed, ConnectError, Event, Input, Output, Reconnect, Shutdown};

use crate::support::{PHASES, Scenario, Step, output_text, secs, server};

/// The inputs with their names in the table.
const INPUTS: [(&str, Step); 49] = [
    ("opened", |scenario| scenario.input(Input::Opened)),
    ("connect failed: DNS", |scenario| failed(scenario, ConnectError::Dns("no such host".to_owned()))),
    ("connect failed: TCP", |scenario| failed(scenario, ConnectError::Tcp("refused".to_owned()))),
    ("connect failed: TLS", |scenario| failed(scenario, ConnectError::Tls("expired".to_owned()))),
    ("connect failed: handshake", |scenario| failed(scenario, ConnectError::Handshake("no key".to_owned()))),
    ("connect failed: 403", |scenario| refused(scenario, 403, None)),
    ("connect failed: 429, retry after 60 s", |scenario| refused(scenario, 429, Some(60))),
    ("connect failed: 503", |scenario| refused(scenario, 503, None)),
    ("op 0, READY", |scenario| scenario.server(&server::ready())),
    ("op 0, READY without a session", |scenario| scenario.server(&server::ready_with(r#""x":0"#))),
    ("op 0, RESUMED", |scenario| scenario.server(&server::resumed(2))),
    ("op 0, the next event", |scenario| scenario.server(&server::message(2))),
    ("op 0, an old event", |scenario| scenario.server(&server::message(1))),
    ("op 0, an event after a gap", |scenario| scenario.server(&server::message(9))),
    ("op 0, an event without a number", |scenario| scenario.server(r#"{"op":0,"t":"X","s":null,"d":{}}"#)),
    ("op 1", |scenario| scenario.server(&server::heartbeat_request())),
    ("op 7", |scenario| scenario.server(&server::reconnect())),
    ("op 9, true", |scenario| scenario.server(&server::invalid_session(true))),
    ("op 9, false", |scenario| scenario.server(&server::invalid_session(false))),
    ("op 10", |scenario| scenario.server(&server::hello())),
    ("op 11", |scenario| scenario.server(&server::acknowledgement())),
    ("op 2", |scenario| scenario.server(r#"{"op":2,"d":null}"#)),
    ("op 99", |scenario| scenario.server(r#"{"op":99,"d":null}"#)),
    ("garbage, text", |scenario| scenario.server("garbage")),
    ("garbage, binary", |scenario| scenario.server_binary(*b"\0garbage")),
    ("part of a message", |scenario| scenario.input(Input::Progress { message: true })),
    ("ping", |scenario| scenario.input(Input::Progress { message: false })),
    ("closed: no code", |scenario| closed(scenario, Closed::Frame { code: None, reason: String::new() })),
    ("closed: 1000", |scenario| scenario.closed(1000)),
    ("closed: 1001", |scenario| scenario.closed(1001)),
    ("closed: 4000", |scenario| scenario.closed(4000)),
    ("closed: 4003", |scenario| scenario.closed(4003)),
    ("closed: 4004", |scenario| scenario.closed(4004)),
    ("closed: 4007", |scenario| scenario.closed(4007)),
    ("closed: 4008", |scenario| scenario.closed(4008)),
    ("closed: 4009", |scenario| scenario.closed(4009)),
    ("closed: end of stream", Scenario::eof),
    ("closed: reset", |scenario| closed(scenario, Closed::Failed("reset".to_owned()))),
    ("closed: protocol error", |scenario| closed(scenario, Closed::Protocol("mask".to_owned()))),
    ("closed: message too large", |scenario| closed(scenario, Closed::MessageTooLarge)),
    ("identify granted", |scenario| scenario.input(Input::IdentifyGranted)),
    ("identify refused", |scenario| {
        scenario.input(Input::IdentifyRefused(IdentifyRefused::new(0, 0, secs(3_600))));
    }),
    ("the machine has slept for an hour", |scenario| {
        scenario.input(Input::WallClock(secs(0)));
        scenario.input(Input::WallClock(secs(3_600)));
    }),
    ("reading paused", |scenario| scenario.input(Input::ReadingPaused)),
    ("reading resumed", |scenario| scenario.input(Input::ReadingResumed)),
    ("shutdown, resumable", |scenario| shut_down(scenario, Shutdown::Resumable)),
    ("shutdown, log off", |scenario| shut_down(scenario, Shutdown::LogOff)),
    ("reconnect, resume", |scenario| reconnect(scenario, Reconnect::Resume)),
    ("reconnect, fresh", |scenario| reconnect(scenario, Reconnect::Fresh)),
];

fn failed(scenario: &mut Scenario, error: ConnectError) {
    scenario.input(Input::ConnectFailed(error));
}

fn refused(scenario: &mut Scenario, status: u16, retry_after: Option<u64>) {
    let retry_after = retry_after.map(secs);
    let mut refused = Refused::new(status);
    refused.retry_after = retry_after;
    failed(scenario, ConnectError::Refused(refused));
}

fn closed(scenario: &mut Scenario, closed: Closed) {
    scenario.input(Input::Closed(closed));
}

fn shut_down(scenario: &mut Scenario, how: Shutdown) {
    scenario.shard.shutdown(how);
    scenario.settle();
}

fn reconnect(scenario: &mut Scenario, how: Reconnect) {
    scenario.shard.reconnect(how);
    scenario.settle();
}

/// The deadline, met when it is due.
fn timeout(scenario: &mut Scenario) {
    if scenario.shard.phase() != Phase::Stopped {
        scenario.next_deadline();
    }
}

/// The result of an input in words. Waits are rounded up to whole seconds, which removes the jitter.
fn outcome(phase: Phase, step: Step) -> String {
    let mut scenario = Scenario::at(phase);
    let before = (scenario.shard.phase(), session(&scenario));
    step(&mut scenario);
    let after = (scenario.shard.phase(), session(&scenario));
    let mut words = String::new();
    for (_, mut output) in scenario.outputs() {
        if let Output::Event(Event::Disconnected(end)) = &mut output {
            end.retry_in = end.retry_in.map(|wait| secs(wait.as_secs_f64().ceil() as u64));
        }
        let line = output_text::output(&output);
        let line = line.split_once(r#""properties""#).map_or(line.as_str(), |(identify, _)| identify);
        let _ = writeln!(words, "        {line}");
    }
    if after.0 != before.0 {
        let _ = writeln!(words, "        -> {:?}", after.0);
    }
    if after.1 != before.1 {
        let _ = writeln!(words, "        -> {}", after.1);
    }
    if words.is_empty() { "        nothing\n".to_owned() } else { words }
}

fn session(scenario: &Scenario) -> String {
    match scenario.shard.session() {
        Some(session) => format!("session at {}", session.sequence()),
        None => "no session".to_owned(),
    }
}

#[test]
fn every_input_in_every_phase() {
    let mut table = String::new();
    for phase in PHASES {
        let _ = writeln!(table, "\n{phase:?}, {}", session(&Scenario::at(phase)));
        let inputs = INPUTS.into_iter().chain([("the deadline", timeout as Step)]);
        let mut rows = inputs.map(|(name, step)| (name, outcome(phase, step))).peekable();
        while let Some((name, outcome)) = rows.next() {
            let _ = writeln!(table, "    {name}");
            // Inputs with the same result are grouped above it.
            if rows.peek().is_none_or(|(_, next)| *next != outcome) {
                table.push_str(&outcome);
            }
        }
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("every_input", table);
    });
}
