//! The budget of session starts applies over any number of processes.

mod support;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use gateway_driver::gate::{GateError, IdentifyGate, LocalIdentifyGate};
use gateway_driver::proto::identify::{
    BudgetError, IdentifyBudget, IdentifySnapshot, RefusalCause, SessionStartLimit, WhenSpent,
};
use gateway_driver::proto::{ShardId, StopReason};
use gateway_driver::store::{FileIdentifyStore, IdentifyStore};
use gateway_driver::{DriverConfig, Runtime};
use support::clock::VirtualRuntime;
use support::{Client, PollOnce, Wakeups, config, hello};

const SPACING: Duration = Duration::from_millis(5250);
const DAY: Duration = Duration::from_secs(24 * 3600);

type Gate = LocalIdentifyGate<VirtualRuntime>;

/// 20 starts a day, of which 4 are in reserve.
fn gate(
    store: impl IdentifyStore,
    runtime: &VirtualRuntime,
    when_spent: WhenSpent,
) -> Result<Arc<Gate>, GateError> {
    let mut limit = SessionStartLimit::default();
    (limit.total, limit.remaining) = (20, 20);
    let mut budget = IdentifyBudget::default();
    (budget.reserve, budget.when_spent) = (Some(4), when_spent);
    LocalIdentifyGate::kept_in(store, runtime.clone(), budget, &limit).map(Arc::new)
}

fn client(gate: &Arc<Gate>, runtime: &VirtualRuntime) -> Client {
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(gate.clone());
    Client::with(runtime.clone(), config(), driver)
}

/// A file for this test, which does not exist at first.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gateway-identifies-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("identifies.json")
    }

    fn store(&self) -> FileIdentifyStore {
        FileIdentifyStore::in_file(self.file())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The outcome of one process of a bot without a session.
#[derive(Debug, PartialEq)]
enum Life {
    /// It has identified, then crashed.
    Identified,
    /// It has crashed after its permit was persisted.
    Permitted,
    Refused,
}

fn live(place: &Place, runtime: &VirtualRuntime, when_spent: WhenSpent, crash_early: bool) -> Life {
    let gate = match gate(place.store(), runtime, when_spent) {
        Ok(gate) => gate,
        Err(GateError::Budget(BudgetError::TooFewStarts(_))) => return Life::Refused,
        Err(error) => panic!("{error}"),
    };
    let mut client = client(&gate, runtime);
    let mut server = client.connect();
    server.send(hello());
    let before = gate.remaining();
    let latest = runtime.now() + 2 * DAY;
    while runtime.now() < latest {
        client.settle();
        if crash_early && gate.remaining() < before {
            return Life::Permitted;
        }
        gate.flush().unwrap();
        client.settle();
        if server.receive_payload().is_some_and(|payload| payload["op"] == 2) {
            return Life::Identified;
        }
        assert!(!client.ended, "{:?}", client.shard.stop_reason());
        runtime.advance_to_next(runtime.now() + DAY);
    }
    panic!("no Identify in two days");
}

/// The most of these times in any 24 hours.
fn most_in_a_day(times: &[Instant]) -> usize {
    let within = |start: &Instant| times.iter().filter(|at| *at >= start && **at < *start + DAY).count();
    times.iter().map(within).max().unwrap_or(0)
}

/// A supervisor restarts the bot repeatedly. Each process knows only what the last one has persisted.
#[test]
fn a_bot_that_crashes_in_a_loop_stays_below_the_budget() {
    let place = Place::new("loop");
    let runtime = VirtualRuntime::default();
    let start = runtime.now();
    let (mut identified, mut refused) = (Vec::new(), 0);
    for life in 0_u32.. {
        match live(&place, &runtime, WhenSpent::Refuse, life % 5 == 4) {
            Life::Identified => identified.push(runtime.now()),
            Life::Permitted => {}
            Life::Refused => refused += 1,
        }
        if runtime.now() > start + 3 * DAY {
            break;
        }
        runtime.jump(Duration::from_secs(u64::from(life % 7) * 200));
    }
    assert!(refused > 100, "{refused}");
    let most = most_in_a_day(&identified);
    assert!(most <= 16, "{most}");
    assert!(identified.len() > 30, "the stopped time counts: {}", identified.len());
}

/// The spacing also applies over a restart.
#[test]
fn processes_that_follow_at_once_keep_the_spacing() {
    let place = Place::new("pace");
    let runtime = VirtualRuntime::default();
    let times: Vec<Instant> = (0..5)
        .map(|_| {
            assert_eq!(live(&place, &runtime, WhenSpent::Refuse, false), Life::Identified);
            runtime.now()
        })
        .collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SPACING), "{times:?}");
}

#[test]
fn a_bot_with_hold_waits_over_restarts() {
    let place = Place::new("hold");
    let runtime = VirtualRuntime::default();
    let start = runtime.now();
    let permitted: Vec<Instant> = (0..40)
        .map(|_| {
            let gate = gate(place.store(), &runtime, WhenSpent::Hold).unwrap();
            let mut permit = gate.acquire(ShardId::ONE);
            while permit.as_mut().poll_once(Waker::noop()).is_pending() {
                gate.flush().unwrap();
                if permit.as_mut().poll_once(Waker::noop()).is_ready() {
                    break;
                }
                runtime.advance_to_next(runtime.now() + DAY);
                assert!(runtime.now() < start + 40 * DAY, "no permit");
            }
            runtime.now()
        })
        .collect();
    assert_eq!(most_in_a_day(&permitted), 16);
}

#[test]
fn the_time_between_processes_counts_only_with_a_clock() {
    let runtime = VirtualRuntime::default();
    let spent = Arc::new(Mutex::new(None));
    let first = gate(Memory(spent.clone()), &runtime, WhenSpent::Refuse).unwrap();
    let mut permit = first.acquire(ShardId::ONE);
    assert!(permit.as_mut().poll_once(Waker::noop()).is_pending());
    first.flush().unwrap();
    assert_eq!(permit.as_mut().poll_once(Waker::noop()), Poll::Ready(Ok(())));
    let remaining = || gate(Memory(spent.clone()), &runtime, WhenSpent::Refuse).unwrap().remaining();
    runtime.jump(DAY - Duration::from_secs(1));
    assert_eq!(remaining(), 19);
    runtime.jump(Duration::from_secs(1));
    assert_eq!(remaining(), 20);
    // The same in a process without a wall clock.
    let snapshot = spent.lock().unwrap().take().unwrap();
    *spent.lock().unwrap() = Some(snapshot.with_wall_clock(None));
    assert_eq!(remaining(), 19);
}

#[test]
fn a_clock_that_was_set_back_drops_no_start() {
    let snapshot = IdentifySnapshot::default().with_wall_clock(Some(Duration::from_secs(1_000)));
    assert_eq!(snapshot.elapsed(Some(Duration::from_secs(400))), Duration::ZERO);
    assert_eq!(snapshot.elapsed(None), Duration::ZERO);
    assert_eq!(snapshot.elapsed(Some(Duration::from_secs(1_030))), Duration::from_secs(30));
}

/// A store in memory that several gates can share.
struct Memory(Arc<Mutex<Option<IdentifySnapshot>>>);

impl IdentifyStore for Memory {
    fn load(&self) -> io::Result<Option<IdentifySnapshot>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, snapshot: &IdentifySnapshot) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(snapshot.clone());
        Ok(())
    }
}

/// A store whose writes end when the test lets them.
struct SlowStore {
    writing: Sender<()>,
    go_on: Mutex<Receiver<io::Result<()>>>,
}

impl IdentifyStore for SlowStore {
    fn load(&self) -> io::Result<Option<IdentifySnapshot>> {
        Ok(None)
    }

    fn save(&self, _: &IdentifySnapshot) -> io::Result<()> {
        self.writing.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap_or(Ok(()))
    }
}

/// A gate with a slow store: the sender ends a write, the receiver reports that one has begun.
fn slow_gate(
    runtime: &VirtualRuntime,
    when_spent: WhenSpent,
) -> (Sender<io::Result<()>>, Receiver<()>, Arc<Gate>) {
    let ((writing, written), (go_on, wait)) = (channel(), channel());
    let store = SlowStore { writing, go_on: Mutex::new(wait) };
    (go_on, written, gate(store, runtime, when_spent).unwrap())
}

#[test]
fn no_identify_is_sent_before_its_start_is_persisted() {
    let runtime = VirtualRuntime::default();
    let (go_on, writing, gate) = slow_gate(&runtime, WhenSpent::Refuse);
    let mut client = client(&gate, &runtime);
    let mut server = client.connect();
    server.send(hello());
    client.settle();
    writing.recv().unwrap();
    client.pass(Duration::from_secs(15));
    assert_eq!(server.receive_payload(), None);
    assert!(!client.is_woken(), "the task is not woken meanwhile");
    go_on.send(Ok(())).unwrap();
    gate.flush().unwrap();
    assert!(client.is_woken());
    client.settle();
    server.expect_op(2);
}

#[test]
fn a_start_that_cannot_be_persisted_stops_the_shard_and_is_reported() {
    let runtime = VirtualRuntime::default();
    let (go_on, _writing, gate) = slow_gate(&runtime, WhenSpent::Refuse);
    let (report, reported) = channel();
    gate.on_error(move |error| report.send(error.to_string()).unwrap());
    let mut client = client(&gate, &runtime);
    let mut server = client.connect();
    server.send(hello());
    go_on.send(Err(io::Error::other("the disk is full"))).unwrap();
    client.settle();
    assert_eq!(reported.recv().unwrap(), "the disk is full");
    assert_eq!(gate.flush().unwrap_err().to_string(), "the disk is full");
    client.settle();
    assert_eq!(server.expect_close(), Some(4000));
    client.settle();
    let Some(StopReason::IdentifyRefused(refused)) = client.shard.stop_reason() else {
        panic!("{:?}", client.shard.stop_reason())
    };
    assert_eq!((refused.cause, refused.remaining, refused.reserve), (RefusalCause::NotPersisted, 19, 4));
    assert!(refused.to_string().contains("persisted"), "{refused}");
    assert_eq!(client.shard.stats().identifies, 0);
}

#[test]
fn with_hold_a_shard_identifies_once_the_store_works_again() {
    let runtime = VirtualRuntime::default();
    let (go_on, writing, gate) = slow_gate(&runtime, WhenSpent::Hold);
    let mut client = client(&gate, &runtime);
    let mut server = client.connect();
    server.send(hello());
    for attempt in 0..3 {
        client.settle();
        writing.recv().unwrap();
        go_on.send(Err(io::Error::other("the disk is full"))).unwrap();
        assert!(gate.flush().is_err(), "attempt {attempt}");
        client.settle();
        assert!(writing.try_recv().is_err());
        client.pass(Duration::from_secs(5));
        assert_eq!(server.receive_payload(), None);
    }
    writing.recv().unwrap();
    go_on.send(Ok(())).unwrap();
    gate.flush().unwrap();
    client.settle();
    server.expect_op(2);
    assert_eq!(gate.remaining(), 19, "it counts once");
}

/// If the write of a permit takes long, the permit is late if another of its key was reserved since.
#[test]
fn a_store_slower_than_the_spacing_delays_permits_and_loses_none() {
    let runtime = VirtualRuntime::default();
    let (go_on, writing, gate) = slow_gate(&runtime, WhenSpent::Refuse);
    let waker = Waker::noop();
    let [mut first, mut second] = [0, 1].map(|id| gate.acquire(ShardId::new(id, 2).unwrap()));
    assert!(first.as_mut().poll_once(waker).is_pending());
    writing.recv().unwrap();
    runtime.jump(Duration::from_secs(6));
    assert!(second.as_mut().poll_once(waker).is_pending());
    go_on.send(Ok(())).unwrap();
    go_on.send(Ok(())).unwrap();
    gate.flush().unwrap();
    assert!(first.as_mut().poll_once(waker).is_pending(), "too close to the other");
    assert_eq!(second.as_mut().poll_once(waker), Poll::Ready(Ok(())));
    runtime.jump(SPACING);
    assert_eq!(first.as_mut().poll_once(waker), Poll::Ready(Ok(())), "it is persisted already");
    assert_eq!(gate.remaining(), 18, "each is paid once");
}

/// A future that is woken only by the write must be woken again to set a timer.
#[test]
fn a_permit_that_comes_too_late_sets_a_timer() {
    let runtime = VirtualRuntime::default();
    let (go_on, writing, gate) = slow_gate(&runtime, WhenSpent::Refuse);
    let [first_woken, second_woken] = [(); 2].map(|()| Arc::new(Wakeups::default()));
    let (first_waker, second_waker) = (Waker::from(first_woken.clone()), Waker::from(second_woken.clone()));
    let [mut first, mut second] = [0, 1].map(|id| gate.acquire(ShardId::new(id, 2).unwrap()));
    assert!(first.as_mut().poll_once(&first_waker).is_pending());
    writing.recv().unwrap();
    runtime.jump(Duration::from_secs(6));
    assert!(second.as_mut().poll_once(&second_waker).is_pending());
    go_on.send(Ok(())).unwrap();
    go_on.send(Ok(())).unwrap();
    gate.flush().unwrap();
    assert!(first_woken.take() && second_woken.take());
    assert_eq!(second.as_mut().poll_once(&second_waker), Poll::Ready(Ok(())));
    assert!(first.as_mut().poll_once(&first_waker).is_pending());
    let due = runtime.now() + SPACING;
    while !runtime.advance_to_next(due) {
        first_woken.take();
    }
    assert!(first_woken.take());
    assert_eq!(first.as_mut().poll_once(&first_waker), Poll::Ready(Ok(())));
}

/// A store that panics.
struct Panicking;

impl IdentifyStore for Panicking {
    fn load(&self) -> io::Result<Option<IdentifySnapshot>> {
        Ok(None)
    }

    fn save(&self, _: &IdentifySnapshot) -> io::Result<()> {
        panic!("no index 7")
    }
}

#[test]
fn a_store_that_panics_refuses_the_permit() {
    let runtime = VirtualRuntime::default();
    let gate = gate(Panicking, &runtime, WhenSpent::Refuse).unwrap();
    let mut permit = gate.acquire(ShardId::ONE);
    assert!(permit.as_mut().poll_once(Waker::noop()).is_pending());
    assert_eq!(gate.flush().unwrap_err().to_string(), "the store panicked: no index 7");
    let Poll::Ready(Err(refused)) = permit.as_mut().poll_once(Waker::noop()) else {
        panic!("it cannot be granted")
    };
    assert_eq!(refused.cause, RefusalCause::NotPersisted);
}

/// Earlier versions wrote the same fields from a type of the driver.
#[test]
fn a_file_of_an_earlier_version_is_read_and_written_unchanged() {
    let place = Place::new("earlier");
    let runtime = VirtualRuntime::default();
    let written_at = (runtime.wall_clock().unwrap() - Duration::from_secs(60)).as_millis();
    let text = format!(r#"{{"starts":[[[0,1],60000],[[0,1],60001]],"written_at":{written_at}}}"#);
    std::fs::write(place.file(), &text).unwrap();
    let snapshot = place.store().load().unwrap().unwrap();
    place.store().save(&snapshot).unwrap();
    assert_eq!(std::fs::read_to_string(place.file()).unwrap(), text);
    let gate = gate(place.store(), &runtime, WhenSpent::Refuse).unwrap();
    assert_eq!(gate.remaining(), 19, "one of the two is a day old");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_is_kept() {
    let place = Place::new("unreadable");
    std::fs::write(place.file(), "{\"starts\":[[").unwrap();
    let error = gate(place.store(), &VirtualRuntime::default(), WhenSpent::Hold).unwrap_err();
    assert!(
        matches!(&error, GateError::Store(error) if error.kind() == io::ErrorKind::InvalidData),
        "{error}"
    );
    assert!(error.to_string().contains("holds no session starts; remove it"), "{error}");
    assert_eq!(std::fs::read_to_string(place.file()).unwrap(), "{\"starts\":[[");
    let missing = FileIdentifyStore::in_file(place.file().join("identifies.json"));
    assert!(missing.load().is_err() && missing.save(&IdentifySnapshot::default()).is_err());
}
