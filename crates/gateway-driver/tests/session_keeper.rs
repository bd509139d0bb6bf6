//! Sessions are stored while the shard runs, without delaying it.

mod support;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_driver::DriverConfig;
use gateway_driver::proto::config::Delivery;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ShardId, Shutdown};
use gateway_driver::store::{Checkpoints, SessionKeeper, SessionStore};
use serde_json::json;
use support::clock::VirtualRuntime;
use support::{Client, config, event};

/// A slow store: each write ends when the test lets it.
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

/// Dropped in this order: once the test's sender is dropped, the store continues by itself, and the keeper can end.
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
fn a_slow_store_delays_nothing_and_gets_the_newest() {
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
fn the_acknowledged_session_is_stored() {
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
fn the_last_session_is_stored() {
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
fn errors_are_reported_and_do_not_stop_later_writes() {
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

#[test]
fn errors_are_reported_without_blocking() {
    let kept = keeper(1);
    let (told, heard) = channel();
    kept.keeper.on_error(move |shard, error| told.send((shard, error.to_string())).unwrap());
    let mut client = client(&kept, Delivery::Received);
    let _server = client.connect_and_identify();
    assert!(kept.keeper.take_error().is_none());
    kept.go_on.send(Err(io::Error::other("the disk is full"))).unwrap();
    assert_eq!(heard.recv(), Ok((ShardId::ONE, "the disk is full".to_owned())));
    kept.go_on.send(Ok(())).unwrap();
    assert_eq!(kept.keeper.flush().unwrap_err().to_string(), "the disk is full", "it stays to be asked for");
    assert!(kept.keeper.take_error().is_none(), "once");
}

/// A store that panics while messages for panics are left.
struct PanickingStore(Arc<Mutex<Vec<&'static str>>>);

impl SessionStore for PanickingStore {
    fn load(&self, _: ShardId) -> io::Result<Option<SessionSnapshot>> {
        Ok(None)
    }

    fn save(&self, _: ShardId, _: Option<&SessionSnapshot>) -> io::Result<()> {
        let words = self.0.lock().unwrap().pop();
        match words {
            Some(words) => panic!("{words}"),
            None => Ok(()),
        }
    }
}

#[test]
fn a_store_that_panics_blocks_nothing_and_is_called_again() {
    let panics = Arc::new(Mutex::new(vec!["no index 7"]));
    let keeper = SessionKeeper::new(PanickingStore(panics.clone()), Checkpoints::default()).unwrap();
    keeper.on_error(|_, _| panic!("and so does the one who hears of it"));
    keeper.keep(ShardId::ONE, None);
    assert_eq!(keeper.flush().unwrap_err().to_string(), "the store panicked: no index 7");
    keeper.keep(ShardId::ONE, None);
    keeper.flush().unwrap();
    panics.lock().unwrap().push("again");
    keeper.keep(ShardId::ONE, None);
    drop(keeper);
    assert!(panics.lock().unwrap().is_empty(), "dropping waits for it");
}

/// With a slow store and many shards, each shard's session is written, however often one of them has a new one.
#[test]
fn shards_take_turns() {
    let kept = keeper(1);
    let session = |sequence| SessionSnapshot::new("id".to_owned(), None, sequence, ShardId::ONE);
    let shard = |id| ShardId::new(id, 3).unwrap();
    kept.keeper.keep(shard(0), Some(session(0)));
    assert_eq!(kept.written.recv(), Ok(Some(0)));
    for (id, sequence) in [(2, 20), (0, 1), (1, 10), (2, 21), (0, 2)] {
        kept.keeper.keep(shard(id), Some(session(sequence)));
    }
    for _ in 0..4 {
        kept.go_on.send(Ok(())).unwrap();
    }
    kept.keeper.flush().unwrap();
    assert_eq!(kept.written.try_iter().collect::<Vec<_>>(), [Some(21), Some(2), Some(10)]);
}
