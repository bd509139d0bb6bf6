//! Messages that take long to arrive.

mod support;

use std::io::Write;
use std::time::Duration;

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::health::Phase;
use serde_json::json;
use support::{Client, Server, acknowledgement, config, dispatch};
use tungstenite::Message;

/// A text message with this many bytes of data: at least 64 KiB.
fn large_message(size: usize) -> Vec<u8> {
    let payload = dispatch("GUILD_CREATE", 2, json!("x".repeat(size))).to_string();
    let length = payload.len() as u64;
    [&[0x81, 127][..], &length.to_be_bytes(), payload.as_bytes()].concat()
}

/// Sends bytes in equal parts, one per second.
fn send_slowly(client: &mut Client, server: &mut Server, bytes: &[u8], seconds: usize) {
    for part in bytes.chunks(bytes.len().div_ceil(seconds)) {
        client.pass(Duration::from_secs(1));
        server.end.write_all(part).unwrap();
        client.settle();
    }
}

/// No acknowledgement can arrive before the message is complete, however many heartbeats are sent
/// (twilight-rs/twilight#1997).
#[test]
fn a_message_that_keeps_arriving_is_not_silence() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    send_slowly(&mut client, &mut server, &large_message(200_000), 400);
    assert_eq!((client.disconnects(), client.sequences()), (vec![], vec![1, 2]));
    server.send(acknowledgement());
    client.pass(Duration::from_secs(1));
    assert_eq!(client.shard.health().phase, Phase::Ready);
    assert!(client.shard.stats().heartbeats >= 10);
}

#[test]
fn a_message_that_stops_arriving_is_silence() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    let message = large_message(200_000);
    send_slowly(&mut client, &mut server, &message[..message.len() / 2], 200);
    client.pass(Duration::from_secs(80));
    assert_eq!(client.disconnects().first(), Some(&DisconnectReason::Zombie));
}

/// The same for a Resume: a replay may take long.
#[test]
fn the_wait_for_a_replay_continues_while_its_bytes_arrive() {
    let mut client = Client::new(config());
    let server = client.connect_and_identify();
    server.end.reset();
    let mut server = client.connect();
    server.send(support::hello());
    client.settle();
    server.expect_op(6);
    send_slowly(&mut client, &mut server, &large_message(200_000), 400);
    server.send(dispatch("RESUMED", 3, json!({})));
    client.settle();
    assert_eq!(client.sequences(), [1, 2, 3]);
    assert_eq!(client.shard.stats().connects, 2);
}

#[test]
fn a_ping_counts_as_received() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    client.pass(Duration::from_secs(5));
    server.send_message(Message::Ping("?".into()));
    client.settle();
    let now = gateway_driver::Runtime::now(&client.runtime);
    assert_eq!(client.shard.health().last_received, Some(now));
}
