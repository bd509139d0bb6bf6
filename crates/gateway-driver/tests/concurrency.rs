//! Concurrent work: writes, reads, timers, other threads, dropped futures.

mod support;

use std::time::Duration;

use gateway_driver::Runtime;
use gateway_driver::proto::command::{SendError, VoiceStateUpdate};
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{Command, Event, Reconnect, Shutdown, Snowflake};
use serde_json::json;
use support::{Client, HEARTBEAT, acknowledgement, config, dispatch, event};

fn command(guild: u64) -> Command {
    let guild_id = Snowflake(guild);
    let mut update = VoiceStateUpdate::new(guild_id, None);
    update.self_mute = true;
    update.self_deaf = true;
    Command::UpdateVoiceState(update)
}

/// The guilds of the commands that the server has received.
fn guilds(server: &mut support::Server) -> Vec<u64> {
    std::iter::from_fn(|| server.receive_payload())
        .map(|payload| {
            assert_eq!(payload["op"], 4);
            payload["d"]["guild_id"].as_str().unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn a_blocked_write_delays_neither_reads_nor_timeouts() {
    for room in [0, 1, 10, 100] {
        let mut client = Client::new(config());
        let mut server = client.connect_and_identify();
        server.end.set_room(Some(room));
        (1..=20).for_each(|guild| client.shard.send(command(guild)).unwrap());
        for sequence in 2..=50 {
            server.send(event(sequence));
            client.pass(HEARTBEAT / 50);
        }
        assert_eq!(client.sequences(), (1..=50).collect::<Vec<_>>(), "room {room}: reading goes on");
        assert!(client.shard.stats().heartbeats >= 1, "room {room}: so do the heartbeats");
        assert_eq!(client.disconnects(), []);

        server.end.set_room(None);
        client.settle();
        assert_eq!(guilds(&mut server), (1..=20).collect::<Vec<_>>(), "room {room}: nothing is lost or torn");
    }
}

#[test]
fn a_write_that_stays_blocked_is_a_dead_connection() {
    let mut client = Client::new(config());
    let server = client.connect_and_identify();
    server.end.set_room(Some(0));
    client.shard.send(command(1)).unwrap();
    client.connect_and_resume();
    assert_eq!(client.disconnects(), [DisconnectReason::Zombie]);
    assert!(server.end.client_is_gone());
}

#[test]
fn the_servers_last_message_is_read_although_writing_fails() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    server.send(event(2));
    server.close(4004, "Authentication failed.");
    server.end.end();
    client.shard.send(command(1)).unwrap();
    client.settle();
    assert_eq!(client.sequences(), [1, 2]);
    assert!(client.ended, "{:?}", client.disconnects());
}

/// `Client` drops every future after one poll. Here the streams also move only a few bytes at a time, so that futures are
/// dropped within frames, within the upgrade, and within commands.
#[test]
fn futures_dropped_at_every_poll_lose_nothing() {
    for bytes in [1, 2, 3, 7, 64, 1000] {
        let mut client = Client::new(config());
        let end = client.wait_for_connection().unwrap();
        end.set_trickle(bytes);
        let mut upgrading = support::Upgrading::new(end);
        let mut server = loop {
            client.settle();
            if let Some(server) = upgrading.go_on() {
                break server;
            }
        };
        server.send(support::hello());
        client.settle();
        server.expect_op(2);
        server.send(support::ready());
        for sequence in 2..=500 {
            let data = json!("é".repeat(sequence as usize % 40));
            server.send(dispatch("X", sequence, data));
        }
        (1..=50).for_each(|guild| client.shard.send(command(guild)).unwrap());
        client.settle();
        assert_eq!(client.sequences(), (1..=500).collect::<Vec<_>>(), "{bytes} bytes at a time");
        assert_eq!(guilds(&mut server), (1..=50).collect::<Vec<_>>(), "{bytes} bytes at a time");
    }
}

#[test]
fn commands_come_from_any_thread_and_wake_the_shard() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    assert!(!client.is_woken());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let sender = client.shard.sender();
            std::thread::spawn(move || (0..10).for_each(|n| sender.send(command(thread * 10 + n)).unwrap()))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(client.is_woken());
    client.settle();
    let mut received = guilds(&mut server);
    received.sort_unstable();
    assert_eq!(received, (0..80).collect::<Vec<_>>());
}

#[test]
fn a_command_that_can_never_be_sent_is_refused_at_once() {
    let mut config = config();
    config.limits.queued_commands = 2;
    let mut client = Client::new(config);
    let sender = client.shard.sender();
    let empty = Command::RequestSoundboardSounds { guild_ids: vec![] };
    assert!(matches!(sender.send(empty), Err(SendError::Invalid(_))));
    let too_large = Command::RequestSoundboardSounds { guild_ids: vec![Snowflake(u64::MAX); 1000] };
    assert!(matches!(sender.send(too_large), Err(SendError::TooLarge { .. })));
    sender.send(command(1)).unwrap();
    sender.send(command(2)).unwrap();
    assert!(matches!(sender.send(command(3)), Err(SendError::QueueFull { .. })));
    let mut server = client.connect_and_identify();
    assert_eq!(guilds(&mut server), [1, 2], "the others wait for READY");
    sender.shutdown(Shutdown::LogOff);
    assert!(matches!(sender.send(command(4)), Err(SendError::Stopped)));
}

#[test]
fn a_sender_ends_any_wait() {
    let mut client = Client::new(config());
    for _ in 0..4 {
        client.runtime.plan(support::clock::Dial::Fail(std::io::ErrorKind::ConnectionRefused.into()));
    }
    client.pass(Duration::from_millis(1));
    let sender = client.shard.sender();
    let attempts = client.runtime.connects().len();
    sender.reconnect(Reconnect::Resume);
    assert!(client.is_woken());
    client.settle();
    assert_eq!(client.runtime.connects().len(), attempts + 1, "no time has passed");
    sender.shutdown(Shutdown::LogOff);
    client.settle();
    assert!(client.ended);
}

/// A process that was stopped for hours reads what arrived before, and reports it.
#[test]
fn a_late_poll_reads_what_arrived_in_time() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    client.pass(HEARTBEAT);
    server.send(acknowledgement());
    for sequence in 2..=20 {
        server.send(event(sequence));
    }
    client.runtime.jump(HEARTBEAT * 10);
    client.settle();
    assert_eq!(client.sequences(), (1..=20).collect::<Vec<_>>());
    assert_eq!(client.disconnects(), [], "silence while the shard was not polled proves nothing");
    let ready = client.events.iter().filter(|event| matches!(event, Event::Ready)).count();
    assert_eq!(ready, 1);
}

/// The shard waits for nothing else, and is woken. The acknowledgement's content does not depend on when the event is
/// read.
#[test]
fn a_heartbeat_is_sent_when_the_application_requests_one() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    client.pass(HEARTBEAT / 8);
    client.settle();
    std::iter::from_fn(|| server.receive()).for_each(drop);
    let (sender, wanted) = (client.shard.sender(), client.runtime.now());
    let beats = client.shard.stats().heartbeats;
    std::thread::spawn(move || sender.heartbeat()).join().unwrap();
    assert!(client.is_woken());
    client.settle();
    assert_eq!(client.shard.stats().heartbeats, beats + 1);
    assert!(server.receive().is_some_and(|message| message.to_text().unwrap().contains(r#""op":1,"#)));
    for _ in 0..=beats {
        server.send(acknowledgement());
    }
    client.runtime.jump(HEARTBEAT / 100);
    client.settle();
    let sent = client.events.iter().rev().find_map(|event| match event {
        Event::HeartbeatAcknowledged { sent, .. } => Some(*sent),
        _ => None,
    });
    assert_eq!(sent, Some(wanted));
}
