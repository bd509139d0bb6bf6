//! At least once: the next process is replayed what the application has not acknowledged, and no process receives an
//! event twice.

mod client;

use client::{Client, SESSION, config};
use gateway_proto::config::Delivery;
use gateway_proto::session::{AckError, AckTracker, DispatchKey};
use gateway_proto::{Event, Notice, ShardConfig};
use proptest::prelude::*;
use serde_json::json;

fn acknowledged() -> ShardConfig {
    let mut config = config();
    config.delivery = Delivery::Acknowledged;
    config
}

fn identified() -> Client {
    let mut client = Client::new(acknowledged());
    client.identify();
    client
}

fn snapshot_sequence(client: &Client) -> u64 {
    client.shard.session().unwrap().sequence()
}

#[test]
fn the_snapshot_holds_what_was_acknowledged() {
    let mut client = identified();
    client.events(2..=9);
    assert_eq!(snapshot_sequence(&client), 0, "not even READY was");
    client.shard.ack(7).unwrap();
    client.shard.ack(4).unwrap();
    assert_eq!(snapshot_sequence(&client), 7, "an older number changes nothing");
}

#[test]
fn what_was_not_delivered_cannot_be_acknowledged() {
    let mut client = identified();
    client.events(2..=3);
    client.shard.ack(2).unwrap();
    let error = client.shard.ack(4).unwrap_err();
    assert_eq!(error, AckError::NotDelivered { sequence: 4, delivered: 3 });
    assert!(error.to_string().contains("the newest is 3"), "{error}");
    assert_eq!(snapshot_sequence(&client), 2);
}

#[test]
fn acknowledgements_need_the_delivery_acknowledged() {
    let mut client = Client::new(config());
    client.identify();
    assert_eq!(client.shard.ack(1), Err(AckError::NotAwaited));
    assert_eq!(snapshot_sequence(&client), 1, "by default what was received counts");
}

/// A Resume has the newest acknowledged number, and no dispatch is delivered twice.
#[test]
fn a_reconnect_resumes_from_the_acknowledged_number_and_drops_what_was_delivered() {
    let mut client = identified();
    client.events(2..=6);
    client.shard.ack(3).unwrap();
    assert_eq!(client.delivered(), [1, 2, 3, 4, 5, 6]);
    client.lose_connection();
    client.open();
    assert_eq!(client.expect(6), json!({"token": "token-of-the-test", "session_id": SESSION, "seq": 3}));
    client.events(4..=8);
    client.dispatch("RESUMED", 9, json!({}));
    let notices = client.events.iter().filter(|event| matches!(event, Event::Notice(_))).count();
    assert_eq!(notices, 0, "the replay is what was asked for");
    assert_eq!(client.delivered(), [7, 8, 9]);
    assert_eq!(client.shard.stats().duplicates, 3);
    client.shard.ack(9).unwrap();
    assert_eq!(snapshot_sequence(&client), 9);
}

#[test]
fn a_replay_of_more_than_requested_is_noticed() {
    let mut client = identified();
    client.events(2..=6);
    client.shard.ack(3).unwrap();
    client.lose_connection();
    client.open();
    client.delivered();
    client.events(3..=4);
    let notices: Vec<_> = client.events.iter().filter(|event| matches!(event, Event::Notice(_))).collect();
    assert!(matches!(notices[..], [Event::Notice(Notice::DuplicateDropped { sequence: 3 })]), "{notices:?}");
}

#[test]
fn the_next_process_is_replayed_everything_unacknowledged() {
    let mut client = identified();
    client.events(2..=6);
    client.shard.ack(4).unwrap();
    let mut config = acknowledged();
    config.session = client.shard.session();
    let mut next = Client::new(config);
    next.open();
    assert_eq!(next.expect(6)["seq"], 4);
    next.events(5..=7);
    assert_eq!(next.delivered(), [5, 6, 7]);
    next.dispatch("RESUMED", 8, json!({}));
    assert_eq!(snapshot_sequence(&next), 4);
}

/// A process that dies before it acknowledges READY is replayed READY too. That is not a new session.
#[test]
fn an_unacknowledged_ready_is_replayed() {
    let client = identified();
    let mut config = acknowledged();
    config.session = client.shard.session();
    let mut next = Client::new(config);
    next.open();
    assert_eq!(next.expect(6)["seq"], 0);
    next.ready();
    next.events(2..=2);
    next.dispatch("RESUMED", 3, json!({}));
    assert_eq!(next.delivered(), [1, 2, 3]);
    assert_eq!((next.shard.stats().resumed, next.shard.stats().duplicates), (1, 0));
    // Within the process it is not delivered again.
    next.lose_connection();
    next.open();
    assert_eq!(next.expect(6)["seq"], 0);
    next.ready();
    next.events(2..=2);
    next.dispatch("RESUMED", 4, json!({}));
    assert_eq!(next.delivered(), [4]);
}

#[test]
fn a_late_acknowledgement_does_not_count_for_the_next_session() {
    let mut client = identified();
    client.events(2..=50);
    client.shard.ack(10).unwrap();
    client.receive(json!({"op": 9, "d": false}));
    assert_eq!(client.shard.session(), None);
    client.shard.ack(11).unwrap();
    client.lose_connection();
    client.open();
    client.expect(2);
    client.ready_of("another session");
    client.events(2..=40);
    // Handlers of the first session are still running.
    client.shard.ack(30).unwrap();
    assert_eq!(snapshot_sequence(&client), 0);
    client.shard.ack(50).unwrap();
    assert_eq!(snapshot_sequence(&client), 0);
    client.shard.ack(1).unwrap();
    client.shard.ack(30).unwrap();
    assert_eq!(snapshot_sequence(&client), 30);
    assert!(client.shard.ack(41).is_err());
}

#[test]
fn an_acknowledgement_of_the_next_session_skips_the_rest_of_the_last() {
    let mut client = identified();
    client.events(2..=50);
    client.shard.ack(40).unwrap();
    client.receive(json!({"op": 9, "d": false}));
    client.lose_connection();
    client.open();
    client.ready_of("another session");
    client.events(2..=60);
    client.shard.ack(20).unwrap();
    assert_eq!(snapshot_sequence(&client), 20, "below 40, so of the next session");
}

proptest! {
    /// Sessions of any length, handled in order with any delay: the snapshot never contains a dispatch that was not
    /// handled.
    #[test]
    fn no_dispatch_counts_as_handled_before_it_is(
        lengths in prop::collection::vec(1u64..12, 1..6),
        handled in prop::collection::vec(0usize..12, 1..6),
        every in 1u64..5,
    ) {
        let mut client = Client::new(acknowledged());
        let mut queue = std::collections::VecDeque::new();
        let mut done = (0, 0);
        for (session, length) in lengths.iter().enumerate() {
            client.open();
            client.ready_of(&format!("session {session}"));
            client.events(2..=*length);
            queue.extend(client.delivered().into_iter().map(|sequence| (session, sequence)));
            for _ in 0..*handled.get(session).unwrap_or(&100) {
                let Some(next) = queue.pop_front() else { break };
                done = next;
                if done.1 % every == 0 {
                    client.shard.ack(done.1).unwrap();
                }
            }
            let certain = if done.0 == session { done.1 } else { 0 };
            prop_assert!(snapshot_sequence(&client) <= certain);
            client.receive(json!({"op": 9, "d": false}));
            client.lose_connection();
        }
    }
}

/// The keys of the newest dispatches.
fn keys(client: &mut Client) -> Vec<DispatchKey> {
    let events = std::mem::take(&mut client.events).into_iter();
    events
        .filter_map(|event| match event {
            Event::Dispatch(dispatch) => dispatch.key(),
            _ => None,
        })
        .collect()
}

#[test]
fn a_key_acknowledges_everything_up_to_it() {
    let mut client = identified();
    client.events(2..=9);
    let keys = keys(&mut client);
    client.shard.ack_up_to(keys[6]).unwrap();
    client.shard.ack_up_to(keys[3]).unwrap();
    assert_eq!(snapshot_sequence(&client), 7, "an older one changes nothing");
    let of_the_future = keys[0].to_string().replace("-1", "-99").parse().unwrap();
    assert_eq!(
        client.shard.ack_up_to(of_the_future),
        Err(AckError::NotDelivered { sequence: 99, delivered: 9 })
    );
    let mut other = Client::new(config());
    other.identify();
    assert_eq!(other.shard.ack_up_to(keys[0]), Err(AckError::NotAwaited));
}

/// Both sessions have the numbers. A late acknowledgement by number alone would count for the wrong session.
#[test]
fn a_key_never_counts_for_another_session() {
    let mut client = identified();
    client.events(2..=9);
    let earlier = keys(&mut client);
    client.receive(json!({"op": 9, "d": false}));
    client.lose_connection();
    client.open();
    client.expect(2);
    client.ready_of("another session");
    client.events(2..=9);
    let newer = keys(&mut client);
    assert!(!earlier[0].is_same_session(newer[0]));
    client.shard.ack_up_to(newer[1]).unwrap();
    assert_eq!(snapshot_sequence(&client), 2, "though the earlier one has a 2 outstanding");
    client.shard.ack_up_to(earlier[8]).unwrap();
    assert_eq!(snapshot_sequence(&client), 2, "there is nothing left to resume");
}

/// Workers finish in any order. The tracker's result may always be acknowledged.
#[test]
fn a_pool_of_workers_acknowledges_what_is_handled() {
    let mut client = identified();
    let mut tracker = AckTracker::new(16);
    client.events(2..=9);
    let keys = keys(&mut client);
    for key in &keys {
        tracker.received(*key).unwrap();
    }
    for (done, snapshot) in [(2, 0), (0, 1), (1, 3), (8, 3), (4, 3), (3, 5), (5, 6), (7, 6), (6, 9)] {
        if let Some(up_to) = tracker.done(keys[done]) {
            client.shard.ack_up_to(up_to).unwrap();
        }
        assert_eq!(snapshot_sequence(&client), snapshot, "{done} is done");
    }
}
