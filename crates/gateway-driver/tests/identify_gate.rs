//! Shards that share a gate identify one after the other.

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use gateway_driver::gate::{AcquiringIdentify, IdentifyGate, LocalIdentifyGate};
use gateway_driver::proto::identify::{IdentifyBudget, IdentifyRefused, SessionStartLimit, WhenSpent};
use gateway_driver::proto::{Event, ShardId, StopReason};
use gateway_driver::{DriverConfig, Runtime};
use support::clock::VirtualRuntime;
use support::{Client, PollOnce, Wakeups, config, hello};

const SPACING: Duration = Duration::from_millis(5250);

#[test]
fn shards_identify_one_after_the_other_and_heartbeat_meanwhile() {
    let runtime = VirtualRuntime::default();
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(Arc::new(LocalIdentifyGate::new(runtime.clone(), 1)));
    let mut shards: Vec<_> = (0..3)
        .map(|id| {
            let mut config = config();
            config.shard = ShardId::new(id, 3).unwrap();
            let mut client = Client::with(runtime.clone(), config, driver.clone());
            let mut server = client.connect();
            server.send(hello());
            (client, server)
        })
        .collect();
    let mut identified = Vec::new();
    for _ in 0..3 {
        for (client, server) in &mut shards {
            client.settle();
            if let Some(payload) = server.receive_payload() {
                assert_eq!(payload["op"], 2);
                identified.push(payload["d"]["shard"][0].as_u64().unwrap());
            }
        }
        let end = runtime.now() + SPACING;
        while !runtime.advance_to_next(end) {
            shards.iter_mut().for_each(|(client, _)| client.settle());
        }
    }
    assert_eq!(identified, [0, 1, 2]);
}

#[test]
fn keys_do_not_wait_for_each_other_and_dropped_requests_spend_nothing() {
    let runtime = VirtualRuntime::default();
    let gate = LocalIdentifyGate::new(runtime.clone(), 2);
    let wakeups = Arc::new(Wakeups::default());
    let waker = Waker::from(wakeups.clone());
    let acquire = |id| gate.acquire(ShardId::new(id, 100).unwrap());

    assert_eq!(acquire(0).as_mut().poll_once(&waker), Poll::Ready(Ok(())));
    assert_eq!(acquire(1).as_mut().poll_once(&waker), Poll::Ready(Ok(())));
    let mut crowd: Vec<_> = (2..98).map(acquire).collect();
    assert!(crowd.iter_mut().all(|request| request.as_mut().poll_once(&waker).is_pending()));
    let mut last = acquire(98);
    assert_eq!(last.as_mut().poll_once(&waker), Poll::Pending);
    drop(crowd);

    let due = runtime.now() + SPACING;
    while !runtime.advance_to_next(due) {}
    assert!(wakeups.take());
    assert_eq!(last.as_mut().poll_once(&waker), Poll::Ready(Ok(())));
}

fn limit(remaining: u32) -> SessionStartLimit {
    let mut limit = SessionStartLimit::default();
    (limit.remaining, limit.reset_after) = (remaining, Duration::from_secs(3600));
    limit
}

/// Also through the trait alone.
#[test]
fn a_gate_can_be_asked_for_more_session_starts() {
    let runtime = VirtualRuntime::default();
    let mut budget = IdentifyBudget::default();
    (budget.shards, budget.reserve) = (2, Some(100));
    let local = LocalIdentifyGate::with_budget(runtime.clone(), budget, &limit(150)).unwrap();
    let error = local.check(51).unwrap_err();
    assert_eq!((error.remaining, error.reset_after), (150, Duration::from_secs(3600)));
    assert_eq!(local.set_shards(901).unwrap_err().field(), "shards");
    local.set_shards(900).unwrap();
    let gate: &dyn IdentifyGate = &local;
    assert_eq!((gate.check(50), gate.check(51), gate.remaining()), (Ok(()), Err(error), Some(150)));

    struct Unknowing;
    impl IdentifyGate for Unknowing {
        fn acquire(&self, _: ShardId) -> AcquiringIdentify {
            Box::pin(std::future::pending())
        }
    }
    assert_eq!((Unknowing.check(u32::MAX), Unknowing.remaining()), (Ok(()), None));
}

/// A gate for a shard with a session to resume. It is created although no session can be started.
fn spent_gate(runtime: &VirtualRuntime, when_spent: WhenSpent) -> LocalIdentifyGate<VirtualRuntime> {
    let mut budget = IdentifyBudget::default();
    (budget.when_spent, budget.starting) = (when_spent, Some(0));
    LocalIdentifyGate::with_budget(runtime.clone(), budget, &limit(100)).unwrap()
}

#[test]
fn a_spent_budget_stops_the_shard_without_an_identify() {
    let runtime = VirtualRuntime::default();
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(Arc::new(spent_gate(&runtime, WhenSpent::Refuse)));
    let mut client = Client::with(runtime, config(), driver);
    let mut server = client.connect();
    server.send(hello());
    client.settle();
    assert_eq!(server.expect_close(), Some(4000));
    client.settle();
    assert!(client.ended);
    let refused = IdentifyRefused::new(100, 100, Duration::from_secs(3600));
    assert_eq!(client.shard.stop_reason(), Some(&StopReason::IdentifyRefused(refused)));
    assert_eq!(client.shard.stats().identifies, 0);
}

#[test]
fn a_waiting_request_is_granted_after_an_update_with_more_starts() {
    let runtime = VirtualRuntime::default();
    let gate = spent_gate(&runtime, WhenSpent::Hold);
    let wakeups = Arc::new(Wakeups::default());
    let waker = Waker::from(wakeups.clone());
    let mut request = gate.acquire(ShardId::ONE);
    assert_eq!(request.as_mut().poll_once(&waker), Poll::Pending);
    gate.update(&limit(500)).unwrap();
    assert!(wakeups.take(), "at once");
    assert_eq!(request.as_mut().poll_once(&waker), Poll::Ready(Ok(())));
    assert_eq!(gate.remaining(), 499);
    let next = spent_gate(&runtime, WhenSpent::Hold);
    next.update(&limit(1000)).unwrap();
    next.restore(&gate.snapshot(), Duration::ZERO);
    assert_eq!(next.remaining(), 999, "the next process counts it too");
}

/// The server measures the time between Identifies, and a caller of a shard in the foreground may be busy for any time.
#[test]
fn an_identify_is_sent_before_its_event_is_delivered() {
    let runtime = VirtualRuntime::default();
    let gate = Arc::new(LocalIdentifyGate::new(runtime.clone(), 1));
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(gate.clone());
    let mut client = Client::with(runtime.clone(), config(), driver);
    let mut server = client.connect();
    server.send(hello());
    let waker = Waker::noop();
    loop {
        let event = pin!(client.shard.next_event()).poll_once(waker);
        if matches!(event, Poll::Ready(Some(Event::Identifying))) {
            break;
        }
        assert!(matches!(event, Poll::Ready(Some(_))), "the shard needs no input");
    }
    server.expect_op(2);
    let sent = runtime.now();
    let mut other = gate.acquire(ShardId::ONE);
    assert_eq!(other.as_mut().poll_once(waker), Poll::Pending);
    runtime.advance_to_next(sent + SPACING);
    assert_eq!((other.as_mut().poll_once(waker), runtime.now()), (Poll::Ready(Ok(())), sent + SPACING));
}

#[test]
fn the_next_permit_is_spaced_from_the_identify_not_from_the_permit() {
    let runtime = VirtualRuntime::default();
    let gate = LocalIdentifyGate::new(runtime.clone(), 1);
    let waker = Waker::noop();
    let (mut first, mut second) =
        (gate.acquire(ShardId::new(0, 2).unwrap()), gate.acquire(ShardId::new(1, 2).unwrap()));
    assert_eq!(first.as_mut().poll_once(waker), Poll::Ready(Ok(())));
    assert_eq!(second.as_mut().poll_once(waker), Poll::Pending);
    let permitted = runtime.now();
    runtime.jump(Duration::from_secs(4));
    gate.used(ShardId::new(0, 2).unwrap());
    let sent = runtime.now();
    assert!(!runtime.advance_to_next(sent + SPACING));
    assert_eq!(runtime.now(), permitted + SPACING);
    assert_eq!(second.as_mut().poll_once(waker), Poll::Pending, "1.25 s after the other's Identify");
    assert!(runtime.advance_to_next(sent + SPACING));
    assert_eq!(second.as_mut().poll_once(waker), Poll::Ready(Ok(())));
}

/// A permit is valid for a moment. If the next permit of its key was granted before it is taken, the request waits again,
/// but does not spend another session start.
#[test]
fn a_permit_that_is_taken_too_late_delays_no_other_and_counts_once() {
    let runtime = VirtualRuntime::default();
    let gate = LocalIdentifyGate::new(runtime.clone(), 1);
    let waker = Waker::noop();
    let shard = |id| ShardId::new(id, 3).unwrap();
    assert_eq!(gate.acquire(shard(0)).as_mut().poll_once(waker), Poll::Ready(Ok(())));
    let mut busy = gate.acquire(shard(1));
    assert_eq!(busy.as_mut().poll_once(waker), Poll::Pending);
    let mut other = gate.acquire(shard(2));
    assert_eq!(other.as_mut().poll_once(waker), Poll::Pending);
    // The first receives its permit, but only the other is polled.
    runtime.jump(SPACING);
    assert_eq!(other.as_mut().poll_once(waker), Poll::Pending);
    runtime.jump(SPACING);
    assert_eq!(other.as_mut().poll_once(waker), Poll::Ready(Ok(())));
    runtime.jump(Duration::from_secs(1));
    assert_eq!(busy.as_mut().poll_once(waker), Poll::Pending);
    runtime.jump(SPACING);
    assert_eq!(busy.as_mut().poll_once(waker), Poll::Ready(Ok(())));
    assert_eq!(gate.remaining(), 997);
}

#[test]
fn a_dropped_permit_delays_the_next_by_the_spacing_alone() {
    let runtime = VirtualRuntime::default();
    let gate = LocalIdentifyGate::new(runtime.clone(), 1);
    let waker = Waker::noop();
    let mut lost = gate.acquire(ShardId::ONE);
    assert_eq!(lost.as_mut().poll_once(waker), Poll::Ready(Ok(())));
    drop(lost);
    let mut next = gate.acquire(ShardId::ONE);
    assert_eq!(next.as_mut().poll_once(waker), Poll::Pending);
    runtime.jump(SPACING);
    assert_eq!(next.as_mut().poll_once(waker), Poll::Ready(Ok(())));
}

/// A custom gate that grants permits at once and records their use.
#[derive(Default)]
struct Recording(Mutex<Vec<&'static str>>);

impl IdentifyGate for Recording {
    fn acquire(&self, _: ShardId) -> AcquiringIdentify {
        self.0.lock().unwrap().push("acquire");
        Box::pin(std::future::ready(Ok(())))
    }

    fn used(&self, _: ShardId) {
        self.0.lock().unwrap().push("used");
    }

    fn failed(&self, _: ShardId) {
        self.0.lock().unwrap().push("failed");
    }
}

#[test]
fn a_custom_gate_is_told_the_use_of_its_permits() {
    let gate = Arc::new(Recording::default());
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(gate.clone());
    let mut client = Client::with(VirtualRuntime::default(), config(), driver);
    let mut server = client.connect();
    server.send(hello());
    client.settle();
    server.expect_op(2);
    assert_eq!(gate.0.lock().unwrap()[..], ["acquire", "used"]);
    server.close(4000, "");
    let server = client.connect_and_identify();
    drop(server);
    client.settle();
    let calls = std::mem::take(&mut *gate.0.lock().unwrap());
    assert_eq!(calls, ["acquire", "used", "failed", "acquire", "used"]);
}

/// A custom gate that is unreachable for its first requests.
struct Unreachable(AtomicU32);

impl IdentifyGate for Unreachable {
    fn acquire(&self, _: ShardId) -> AcquiringIdentify {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let refused = left.map_or(Ok(()), |_| Err(IdentifyRefused::unreachable()));
        Box::pin(std::future::ready(refused))
    }
}

#[test]
fn a_shard_requests_again_while_its_gate_is_unreachable() {
    let mut driver = DriverConfig::default();
    driver.identify_gate = Some(Arc::new(Unreachable(AtomicU32::new(3))));
    let mut client = Client::with(VirtualRuntime::default(), config(), driver);
    for _ in 0..3 {
        let mut server = client.connect();
        server.send(hello());
        client.settle();
        assert_eq!(server.expect_close(), Some(4000));
        drop(server);
        client.settle();
        assert!(!client.ended, "{:?}", client.shard.stop_reason());
    }
    client.connect_and_identify();
    assert_eq!(client.shard.stats().identifies, 1);
}
