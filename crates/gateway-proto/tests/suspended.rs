//! Suspended machines and stepped clocks.

mod client;

use std::time::Duration;

use client::{Client, INTERVAL, config};
use gateway_proto::command::Presence;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Command, Event, Input};

const EPOCH: Duration = Duration::from_secs(1_780_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn ready_with_clock() -> Client {
    let mut client = Client::new(config());
    client.identify();
    client.input(Input::WallClock(EPOCH));
    client
}

fn reasons(client: &Client) -> Vec<DisconnectReason> {
    let reason = |event: &Event| match event {
        Event::Disconnected(disconnected) => Some(disconnected.reason.clone()),
        _ => None,
    };
    client.events.iter().filter_map(reason).collect()
}

#[test]
fn a_suspended_machine_drops_the_connection_and_resumes() {
    let mut client = ready_with_clock();
    client.now += SECOND;
    client.input(Input::WallClock(EPOCH + HOUR));
    assert_eq!(reasons(&client), [DisconnectReason::Suspended { slept: HOUR - SECOND }]);
    assert_eq!((client.dropped, client.connects), (1, 2), "at once, without waiting for an answer");
    client.open();
    assert_eq!(client.expect(6)["seq"], 1);
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    let mut client = ready_with_clock();
    client.now += SECOND;
    client.input(Input::WallClock(EPOCH - HOUR));
    client.now += SECOND;
    client.input(Input::WallClock(EPOCH - HOUR + SECOND));
    assert_eq!((client.shard.phase(), client.connects), (Phase::Ready, 1));
}

#[test]
fn a_machine_suspended_during_a_wait_continues() {
    let mut client = Client::new(config());
    client.input(Input::WallClock(EPOCH));
    client.input(Input::WallClock(EPOCH + HOUR));
    assert_eq!((client.shard.phase(), client.connects), (Phase::Connecting, 1));
}

/// The same messages are sent at the same times with any wall clock: here it is set by hours in both directions.
#[test]
fn limits_and_heartbeats_do_not_depend_on_the_wall_clock() {
    let run = |step: fn(Duration, u32) -> Duration| {
        let mut client = Client::new(config());
        client.identify();
        let start = client.now;
        let mut sent = Vec::new();
        for round in 0..200 {
            client.input(Input::WallClock(step(EPOCH + client.now.duration_since(start), round)));
            client.shard.send(Command::UpdatePresence(Presence::default())).unwrap();
            client.pass(SECOND);
            sent.push((client.sent.len(), client.shard.stats().heartbeats, client.connects));
        }
        sent
    };
    let steady = run(|time, _| time);
    assert_eq!(steady.last().unwrap().1, 200 / INTERVAL.as_secs());
    assert_eq!(steady.last().unwrap().2, 1);
    assert_eq!(run(|time, round| time - HOUR * (round / 10)), steady);
    assert_eq!(run(|time, round| time + SECOND * 4 * (round / 10)), steady);
}

/// A driver may stop passing the wall clock, which then causes no deadlines.
#[test]
fn a_missing_wall_clock_causes_no_deadlines() {
    let mut client = ready_with_clock();
    for _ in 0..30 {
        client.wait();
        assert!(client.deadline > client.now);
    }
}
