//! Sessions are kept as they go on, and never waited for.

mod support;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_driver::proto::{Delivery, SessionSnapshot, ShardId, Shutdown};
use gateway_driver::{Checkpoints, DriverConfig, SessionKeeper, SessionStore};
use serde_json::json;
use support::clock::VirtualRuntime;
use support::{Client, config, event};

/// A store that takes its time: each session is written when the test lets it.
struct SlowStore {
    written: Sender<Option<u64>>,
    go_on: Mutex<Receiver<io::Result<()>>>,
}

impl SessionStore for SlowStore {
    fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>> {
        Ok(Some(SessionSnapshot::new("kept".to_owned(), None, 5, shard)))
    }

    fn save(&self, _: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()> {
        self.written.send(session.map(SessionSnapshot::sequence)).unwrap();
        self.go_on.lock().unwrap().recv().unwrap_or(Ok(()))
    }
}

/// In this order: without anybody to let it go on, the store goes on by itself, and the keeper can end.
struct Kept {
    go_on: Sender<io::Result<()>>,
    keeper: Arc<SessionKeeper>,
    written: Receiver<Option<u64>>,
}

fn keeper(dispatches: u32) -> Kept {
    let ((written, seen), (go_on, wait)) = (channel(), channel());
    let mut checkpoints = Checkpoints::default();
    (checkpoints.dispatches, checkpoints.interval) = (dispatches, Duration::from_secs(10));
    let store = SlowStore { written, go_on: Mutex::new(wait) };
    Kept { keeper: Arc::new(SessionKeeper::new(store, checkpoints).unwrap()), written: seen, go_on }
}

fn client(kept: &Kept, delivery: Delivery) -> Client {
    let mut driver = DriverConfig::default();
    driver.session_keeper = Some(kept.keeper.clone());
    let mut config = config();
    config.delivery = delivery;
    Client::with(VirtualRuntime::default(), config, driver)
}

#[test]
fn a_slow_store_is_not_waited_for_and_gets_the_newest() {
    let kept = keeper(3);
    let mut client = client(&kept, Delivery::Received);
    let mut server = client.connect_and_identify();
    assert_eq!(kept.written.recv(), Ok(Some(1)), "a new session is kept at once");
    (2..=11).for_each(|sequence| server.send(event(sequence)));
    client.settle();
    assert_eq!(client.sequences().len(), 11, "the store has not answered yet");
    kept.go_on.send(Ok(())).unwrap();
    assert_eq!(kept.written.recv(), Ok(Some(10)), "what lay between is skipped");
    client.pass(Duration::from_secs(10));
    kept.go_on.send(Ok(())).unwrap();
    assert_eq!(kept.written.recv(), Ok(Some(11)), "the time has come");
    kept.go_on.send(Ok(())).unwrap();
    kept.keeper.flush().unwrap();
    client.pass(Duration::from_secs(15));
    assert!(kept.written.try_recv().is_err(), "nothing has changed");
}

#[test]
fn what_is_kept_is_what_was_acknowledged() {
    let kept = keeper(100);
    let mut client = client(&kept, Delivery::Acknowledged);
    let mut server = client.connect_and_identify();
    assert_eq!(kept.written.recv(), Ok(Some(0)));
    kept.go_on.send(Ok(())).unwrap();
    (2..=9).for_each(|sequence| server.send(event(sequence)));
    client.settle();
    client.shard.ack(4).unwrap();
    client.pass(Duration::from_secs(10));
    assert_eq!(kept.written.recv(), Ok(Some(4)), "the time has come");
}

#[test]
fn the_end_is_kept_too() {
    for (how, last) in [(Shutdown::Resumable, Some(2)), (Shutdown::LogOff, None)] {
        let kept = keeper(100);
        let mut client = client(&kept, Delivery::Received);
        let mut server = client.connect_and_identify();
        server.send(event(2));
        client.settle();
        for _ in 0..4 {
            kept.go_on.send(Ok(())).unwrap();
        }
        client.shard.shutdown(how);
        client.settle();
        server.expect_close();
        client.settle();
        assert!(client.ended);
        kept.keeper.flush().unwrap();
        assert_eq!(kept.written.try_iter().last(), Some(last));
    }
}

#[test]
fn a_session_that_the_server_ends_is_removed() {
    let kept = keeper(100);
    let mut client = client(&kept, Delivery::Received);
    let mut server = client.connect_and_identify();
    assert_eq!(kept.written.recv(), Ok(Some(1)));
    for _ in 0..3 {
        kept.go_on.send(Ok(())).unwrap();
    }
    server.send(json!({"op": 9, "d": false, "s": null, "t": null}));
    client.settle();
    server.expect_close();
    client.settle();
    kept.keeper.flush().unwrap();
    assert_eq!(kept.written.try_iter().collect::<Vec<_>>(), [None]);
}

#[test]
fn errors_are_told_and_do_not_stop_what_follows() {
    let kept = keeper(1);
    let session = |sequence| SessionSnapshot::new("id".to_owned(), None, sequence, ShardId::ONE);
    assert_eq!(kept.keeper.load(ShardId::ONE).unwrap().unwrap().sequence(), 5);
    kept.keeper.keep(ShardId::ONE, Some(session(1)));
    kept.go_on.send(Err(io::Error::other("the disk is full"))).unwrap();
    assert_eq!(kept.keeper.flush().unwrap_err().to_string(), "the disk is full");
    kept.keeper.keep(ShardId::ONE, Some(session(2)));
    kept.go_on.send(Ok(())).unwrap();
    kept.keeper.flush().unwrap();
    assert_eq!(kept.written.try_iter().collect::<Vec<_>>(), [Some(1), Some(2)]);
}
