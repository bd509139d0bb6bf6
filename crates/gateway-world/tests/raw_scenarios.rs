//! Whole sessions against the simulated gateway, over bytes: however they are cut, the same is seen, and it is the same
//! that a shard does when it is driven with messages.

mod network;
#[path = "../../gateway-proto/tests/support/played.rs"]
mod played;

use std::time::{Duration, Instant};

use gateway_proto::command::{Presence, Status};
use gateway_proto::disconnect::Rejection;
use gateway_proto::health::Phase;
use gateway_proto::raw::Connection;
use gateway_proto::{Command, Compression, Encoding, Intents, Reconnect, ShardConfig, Shutdown, StopReason};
use gateway_sim::{Action, Control, FrameMode, Point, Response, Rule};
use gateway_world::{Chunking, Client, over_bytes, over_messages};
use network::{Network, Transcript};
use played::Pages;

/// Something that happens, and what must have come of it.
struct Scenario {
    name: &'static str,
    run: fn(&mut Network),
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "an hour of events", run: an_hour_of_events },
    Scenario { name: "commands", run: commands },
    Scenario { name: "fragments", run: fragments },
    Scenario {
        name: "reconnect requested",
        run: |network| resumes_after(network, Control::Reconnect { then_emit: 5 }),
    },
    Scenario { name: "end of stream", run: |network| resumes_after(network, Control::Drop) },
    Scenario { name: "reset", run: |network| resumes_after(network, Control::Abort) },
    Scenario { name: "cut", run: |network| resumes_after(network, Control::Cut) },
    Scenario { name: "silence", run: |network| resumes_after(network, Control::Silence) },
    Scenario {
        name: "closed without a code",
        run: |network| resumes_after(network, Control::Close { code: None }),
    },
    Scenario {
        name: "closed with 4000",
        run: |network| resumes_after(network, Control::Close { code: Some(4000) }),
    },
    Scenario {
        name: "closed with 1001",
        run: |network| resumes_after(network, Control::Close { code: Some(1001) }),
    },
    Scenario {
        name: "session to be resumed",
        run: |network| resumes_after(network, Control::Invalid { resumable: true }),
    },
    Scenario {
        name: "session gone",
        run: |network| identifies_after(network, Control::Invalid { resumable: false }),
    },
    Scenario {
        name: "session timed out",
        run: |network| identifies_after(network, Control::Close { code: Some(4009) }),
    },
    Scenario {
        name: "session expired",
        run: |network| {
            network.run_for_seconds(10);
            network.control(Control::Expire);
            identifies_after(network, Control::Drop);
        },
    },
    Scenario { name: "outage", run: outage },
    Scenario { name: "refused upgrades", run: refused_upgrades },
    Scenario { name: "unreachable", run: unreachable },
    Scenario { name: "wrong token", run: wrong_token },
    Scenario {
        name: "shut down, to be resumed",
        run: |network| shuts_down(network, Shutdown::Resumable, 4000),
    },
    Scenario { name: "logged off", run: |network| shuts_down(network, Shutdown::LogOff, 1000) },
    Scenario { name: "told to reconnect", run: told_to_reconnect },
];

const FORMATS: &[(Encoding, Compression)] = &[
    (Encoding::Json, Compression::None),
    (Encoding::Json, Compression::Payload),
    (Encoding::Json, Compression::ZlibStream),
    (Encoding::Json, Compression::ZstdStream),
    (Encoding::Etf, Compression::None),
    (Encoding::Etf, Compression::ZlibStream),
    (Encoding::Etf, Compression::ZstdStream),
];

fn an_hour_of_events(network: &mut Network) {
    network.run_for_seconds(60);
    network.control(Control::Beat);
    network.control(Control::Pump { rate: 0.2, duration: Duration::from_secs(600), padding: 100 });
    network.run_for_seconds(3540);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert_eq!(network.client().stats().acknowledgements, network.client().stats().heartbeats);
    assert!(network.client().stats().heartbeats >= 3600 / 42);
    assert!(network.client().stats().dispatches > 120);
}

fn commands(network: &mut Network) {
    let presence = Presence::new(Status::Idle, []);
    network.send(Command::UpdatePresence(presence));
    network.run_for_seconds(10);
    assert_eq!(network.client().stats().commands, 1);
}

fn fragments(network: &mut Network) {
    network.control(Control::FrameMode(FrameMode::Fragments));
    network.run_for_seconds(5);
    network.control(Control::FrameMode(FrameMode::ZlibSplit));
    network.control(Control::Emit { count: 20, padding: 70_000 });
    network.run_for_seconds(5);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert!(network.client().stats().payload_bytes > 20 * 70_000);
}

fn resumes_after(network: &mut Network, fault: Control) {
    network.run_for_seconds(10);
    network.control(Control::Emit { count: 5, padding: 0 });
    network.control(fault);
    network.control(Control::Emit { count: 5, padding: 0 });
    network.run_for_seconds(200);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert_eq!(network.client().stats().resumed, 1);
    assert_eq!(network.gateway().counters().identifies, 1, "the session went on");
    let seen = network.seen.iter().map(|(sequence, name)| (*sequence, name.as_str()));
    let comparison = network.gateway().ledger().compare(1, seen.filter(|(_, name)| *name != "RESUMED"));
    assert!(comparison.is_clean(), "{comparison:?}");
}

fn identifies_after(network: &mut Network, fault: Control) {
    network.run_for_seconds(10);
    network.control(fault);
    network.run_for_seconds(200);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert_eq!(network.gateway().counters().readies, 2);
}

fn outage(network: &mut Network) {
    network.run_for_seconds(10);
    network.control(Control::Down { duration: Duration::from_secs(120), emit: 20 });
    network.run_for_seconds(400);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert_eq!(network.client().stats().resumed, 1);
}

fn refused_upgrades(network: &mut Network) {
    let busy = Response::empty(429).header("Retry-After", "30");
    network.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(busy))));
    let mut down = Response::empty(503);
    down.body = "down for maintenance".to_owned();
    network.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(down))));
    network.run_for_seconds(29);
    assert_eq!(network.client().stats().connect_attempts, 1, "the server asked for 30 seconds");
    network.run_for_seconds(60);
    assert_eq!(network.client().health().phase, Phase::Ready);
    assert_eq!(network.client().stats().connect_attempts, 3);
    let refusals = network.transcript.outputs.iter().filter(|(_, note)| note.contains("Refused"));
    assert_eq!(refusals.count(), 2);
}

fn unreachable(network: &mut Network) {
    network.refuse_dials(4);
    network.run_for_seconds(60);
    assert!(network.client().stats().connect_attempts > 2);
    let failures = network.transcript.outputs.iter().filter(|(_, note)| note.contains("no route"));
    assert_eq!(failures.count(), 4);
    network.run_for_seconds(120);
    assert_eq!(network.client().health().phase, Phase::Ready);
}

fn wrong_token(network: &mut Network) {
    network.control(Control::Rule(Rule::once(Point::Identify, Action::Close(Some(4004)))));
    network.run_for_seconds(60);
    assert_eq!(network.stopped(), Some(&StopReason::Rejected(Rejection::AuthenticationFailed)));
}

fn shuts_down(network: &mut Network, how: Shutdown, code: u16) {
    network.run_for_seconds(10);
    network.shutdown(how);
    network.run_for_seconds(10);
    assert_eq!(network.stopped(), Some(&StopReason::Shutdown(how)));
    assert_eq!(network.gateway().counters().client_closes.get(&code), Some(&1));
    assert_eq!(network.client().session().is_some(), how == Shutdown::Resumable);
}

fn told_to_reconnect(network: &mut Network) {
    network.run_for_seconds(10);
    network.reconnect(Reconnect::Resume);
    network.run_for_seconds(20);
    assert_eq!(network.client().stats().resumed, 1);
    network.reconnect(Reconnect::Fresh);
    network.run_for_seconds(20);
    assert_eq!(network.client().stats().identifies, 2);
    assert_eq!(network.client().health().phase, Phase::Ready);
}

/// Runs a scenario. The outcome is asserted by the scenario itself.
fn run(scenario: &Scenario, client: Box<dyn Client>, chunking: Chunking, start: Instant) -> Network {
    let mut sim = gateway_sim::Config::default();
    sim.url = "ws://gateway.example".to_owned();
    sim.resume_url = Some("ws://resume.gateway.example".to_owned());
    (sim.trace, sim.payloads) = (true, true);
    let mut network = Network::new(client, sim, chunking, start);
    (scenario.run)(&mut network);
    network
}

/// Over bytes that are not cut. What was written down can be played again, in whatever format it came.
fn run_whole(scenario: &Scenario, config: &ShardConfig, start: Instant) -> Transcript {
    let pages = Pages::default();
    let connection = Connection::with_transcript(config.clone(), start, pages.clone()).unwrap();
    let network = run(scenario, Box::new(connection), Chunking::Whole, start);
    let session = network.client().session().map(|session| serde_json::to_value(session).unwrap());
    let session = session.map(|session| session["session_id"].as_str().unwrap().to_owned());
    let mut secrets = vec!["simulated-token", "gateway.example", "resume.gateway.example"];
    secrets.extend(session.as_deref());
    let steps = pages.check(start, &secrets);
    assert!(steps.len() > 10, "{}: {} steps", scenario.name, steps.len());
    network.transcript
}

fn assert_same(scenario: &Scenario, what: &str, one: &Transcript, other: &Transcript) {
    let outputs = one.outputs.iter().zip(&other.outputs).find(|(one, other)| one != other);
    assert_eq!(outputs, None, "{}: outputs, {what}", scenario.name);
    assert_eq!(one.outputs.len(), other.outputs.len(), "{}: outputs, {what}", scenario.name);
    assert!(one.sent == other.sent, "{}: what the server reads, {what}", scenario.name);
    assert!(one.deadlines == other.deadlines, "{}: deadlines, {what}", scenario.name);
}

/// A configuration whose every wait is reproducible.
fn config(encoding: Encoding, compression: Compression) -> ShardConfig {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.url = "ws://gateway.example".to_owned();
    config.seed = Some(7);
    (config.encoding, config.compression) = (encoding, compression);
    config
}

#[test]
fn chunking_changes_nothing() {
    let start = Instant::now();
    for (seed, (encoding, compression)) in FORMATS.iter().enumerate() {
        let config = config(*encoding, *compression);
        for scenario in SCENARIOS {
            let whole = run_whole(scenario, &config, start);
            for chunking in [Chunking::OneByte, Chunking::Random(seed as u64)] {
                let client = over_bytes(config.clone(), start).unwrap();
                let pieces = run(scenario, client, chunking, start).transcript;
                assert_same(scenario, &format!("{chunking:?}, {encoding}"), &whole, &pieces);
            }
        }
    }
}

/// The other way of driving the same machine: with messages.
#[test]
fn a_shard_driven_with_messages_does_the_same() {
    let start = Instant::now();
    for (encoding, compression) in FORMATS {
        let config = config(*encoding, *compression);
        for scenario in SCENARIOS {
            let mut bytes = run_whole(scenario, &config, start);
            let client = over_messages(config.clone(), start).unwrap();
            let mut messages = run(scenario, client, Chunking::Whole, start).transcript;
            // A shard does not hear of a stream that is over before it says so.
            for transcript in [&mut bytes, &mut messages] {
                transcript.outputs.retain(|(_, note)| note != "shut down");
            }
            // Over bytes the connection knows which host its owner names.
            for (_, note) in &mut messages.outputs {
                *note = note.replace("GATEWAY.example", "…");
            }
            assert_same(scenario, &format!("messages, {encoding}"), &bytes, &messages);
        }
    }
}
