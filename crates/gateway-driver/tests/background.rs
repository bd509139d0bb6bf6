//! A shard on its own task: heartbeats are sent regardless of the application, and memory is bounded.

mod support;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use gateway_driver::proto::{Event, Shutdown, StopReason};
use gateway_driver::{Events, Runtime, Task};
use support::clock::{Dial, VirtualRuntime};
use support::{Client, HEARTBEAT, PollOnce, Server, Wakeups, config, event};

/// A shard in the background, right after READY.
struct Background {
    runtime: VirtualRuntime,
    events: Events,
    task: Task<VirtualRuntime>,
    wakeups: Arc<Wakeups>,
    ended: Option<Option<StopReason>>,
}

impl Background {
    fn new(capacity: usize) -> (Self, Server) {
        let mut client = Client::new(config());
        let server = client.connect_and_identify();
        let (events, task) = client.shard.background(capacity);
        let runtime = client.runtime;
        (Self { runtime, events, task, wakeups: Arc::default(), ended: None }, server)
    }

    /// Polls the task until it is pending, if it was woken.
    fn settle(&mut self) {
        let waker = Waker::from(self.wakeups.clone());
        while self.ended.is_none() && self.wakeups.take() {
            if let Poll::Ready(reason) = Pin::new(&mut self.task).poll_once(&waker) {
                self.ended = Some(reason);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.runtime.now() + time;
        self.settle();
        while !self.runtime.advance_to_next(end) {
            self.settle();
        }
        self.settle();
    }

    /// Takes all queued events, and lets the task run after each.
    fn take_events(&mut self) -> Vec<Event> {
        let reader = Arc::new(Wakeups::default());
        let waker = Waker::from(reader.clone());
        let mut taken = Vec::new();
        loop {
            self.settle();
            match pin!(self.events.next_event()).poll_once(&waker) {
                Poll::Ready(Some(event)) => taken.push(event),
                Poll::Ready(None) => return taken,
                // It may have yielded only.
                Poll::Pending if reader.take() => {}
                Poll::Pending => return taken,
            }
        }
    }
}

fn sequences(events: &[Event]) -> Vec<u64> {
    let dispatches = events.iter().filter_map(|event| match event {
        Event::Dispatch(dispatch) => dispatch.sequence(),
        _ => None,
    });
    dispatches.collect()
}

#[test]
fn a_full_queue_stops_reading_and_nothing_else() {
    // More than one read returns.
    const COUNT: u64 = 10_000;
    let (mut background, mut server) = Background::new(10);
    for sequence in 2..=COUNT {
        server.send(event(sequence));
        server.send(support::acknowledgement());
    }
    // The application is busy for ten heartbeat intervals.
    background.pass(HEARTBEAT * 10);
    let heartbeats = std::iter::from_fn(|| server.receive()).count();
    assert!(heartbeats >= 9, "{heartbeats} heartbeats");
    assert!(server.end.unread_by_client() > 0, "the socket is not read");

    let events = background.take_events();
    assert_eq!(sequences(&events), (2..=COUNT).collect::<Vec<_>>());
    assert!(
        !events.iter().any(|event| matches!(event, Event::Disconnected(_))),
        "its own pause is no dead connection"
    );
    assert_eq!(server.end.unread_by_client(), 0);
}

#[test]
fn memory_stays_bounded_while_events_are_not_taken_and_connections_are_lost() {
    let (mut background, server) = Background::new(3);
    server.end.reset();
    for _ in 0..1000 {
        background.runtime.plan(Dial::Fail(std::io::ErrorKind::ConnectionRefused.into()));
    }
    background.pass(Duration::from_secs(24 * 60 * 60));
    let connects = background.runtime.connects().len();
    assert!((2..10).contains(&connects), "{connects} connections");
    let events = background.take_events();
    assert!(events.len() < 20, "{} events", events.len());
    background.pass(Duration::from_secs(60 * 60));
    assert!(background.runtime.connects().len() > connects, "it goes on once there is room");
}

#[test]
fn a_waiting_reader_is_woken_by_an_event_and_by_the_end() {
    let (mut background, mut server) = Background::new(10);
    assert!(background.take_events().is_empty());
    let reader = Arc::new(Wakeups::default());
    let waker = Waker::from(reader.clone());
    reader.take();
    assert!(pin!(background.events.next_event()).poll_once(&waker).is_pending());
    server.send(event(2));
    background.settle();
    assert!(reader.take());
    assert_eq!(sequences(&background.take_events()), [2]);
    assert!(pin!(background.events.next_event()).poll_once(&waker).is_pending());
    let Background { mut events, task, .. } = background;
    drop(task);
    assert!(reader.take());
    assert!(matches!(pin!(events.next_event()).poll_once(&waker), Poll::Ready(None)));
}

#[test]
fn a_shutdown_takes_effect_although_the_queue_is_full() {
    let (mut background, mut server) = Background::new(1);
    (2..=9).for_each(|sequence| server.send(event(sequence)));
    background.settle();
    background.events.sender().shutdown(Shutdown::Resumable);
    background.settle();
    // Its answer lies behind events that the application has no room for.
    assert!(server.expect_close().is_some());
    assert!(server.receive().is_none());
    background.settle();
    assert_eq!(background.ended, Some(Some(StopReason::Shutdown(Shutdown::Resumable))));
    assert!(server.end.client_is_gone());
    assert_eq!(background.take_events().len(), 2, "one that was there, and the end");
}

#[test]
fn the_events_end_with_the_shard_even_if_its_task_is_kept() {
    let (mut background, _server) = Background::new(10);
    background.events.sender().shutdown(Shutdown::LogOff);
    background.pass(Duration::from_secs(6));
    background.take_events();
    assert!(background.ended.is_some());
    assert_eq!(
        pin!(background.events.next_event()).poll_once(Waker::noop()).map(|event| event.is_none()),
        Poll::Ready(true)
    );
}

#[test]
fn dropping_the_events_ends_the_task_and_closes_the_socket() {
    let (mut background, server) = Background::new(10);
    background.settle();
    let Background { events, mut task, wakeups, .. } = background;
    drop(events);
    assert!(wakeups.take(), "the task is woken");
    assert_eq!(Pin::new(&mut task).poll_once(&Waker::from(wakeups)), Poll::Ready(None));
    drop(task);
    assert!(server.end.client_is_gone());
}

#[test]
fn dropping_the_task_ends_the_events_once_they_are_taken() {
    let (mut background, mut server) = Background::new(10);
    server.send(event(2));
    background.settle();
    let Background { mut events, task, wakeups, .. } = background;
    drop(task);
    assert!(server.end.client_is_gone());
    let waker = Waker::from(wakeups);
    assert!(matches!(pin!(events.next_event()).poll_once(&waker), Poll::Ready(Some(Event::Dispatch(_)))));
    assert!(matches!(pin!(events.next_event()).poll_once(&waker), Poll::Ready(None)));
}
