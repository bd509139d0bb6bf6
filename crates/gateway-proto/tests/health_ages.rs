//! The ages of received messages, and the causes of lost connections.

mod client;

use std::time::Duration;

use client::{Client, INTERVAL, config};
use gateway_proto::disconnect::DisconnectKind;
use gateway_proto::{Closed, ConnectError, Input};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn ages_of_received_messages_are_reported() {
    let mut client = Client::new(config());
    let ages = client.shard.health().ages(client.now);
    assert_eq!((ages.received, ages.acknowledged, ages.dispatch), (None, None, None));
    client.identify();
    client.pass(INTERVAL);
    let acknowledged = client.shard.health().ages(client.now).acknowledged.unwrap();
    assert!(acknowledged < INTERVAL);
    client.now += 3 * SECOND;
    client.events(2..=2);
    client.now += 2 * SECOND;
    let ages = client.shard.health().ages(client.now);
    assert_eq!((ages.received, ages.dispatch), (Some(2 * SECOND), Some(2 * SECOND)));
    assert_eq!(ages.acknowledged, Some(acknowledged + 5 * SECOND));
    client.lose_connection();
    let ages = client.shard.health().ages(client.now);
    assert_eq!((ages.received, ages.acknowledged), (None, None), "they were the connection's");
    assert!(ages.dispatch >= Some(2 * SECOND));
}

#[test]
fn causes_of_disconnections_are_counted() {
    let mut client = Client::new(config());
    client.identify();
    client.input(Input::Closed(Closed::Frame { code: Some(4000), reason: String::new() }));
    client.input(Input::ConnectFailed(ConnectError::Dns("no such name".to_owned())));
    client.wait();
    client.input(Input::ConnectFailed(ConnectError::Dns("no such name".to_owned())));
    let stats = client.shard.stats();
    let kinds: Vec<_> = stats.disconnect_kinds.clone().into_iter().collect();
    assert_eq!(kinds, [(DisconnectKind::Dns, 2), (DisconnectKind::CloseFrame(Some(4000)), 1)]);
    assert_eq!(stats.disconnects, 3);
}
