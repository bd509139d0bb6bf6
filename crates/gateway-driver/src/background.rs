//! Runs a shard on its own task, so that a slow handler delays no heartbeat.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use gateway_proto::{Event, StopReason};

use crate::budget::Budget;
use crate::shard::{Reading, Shard};
use crate::{Runtime, Sender};

/// The events of a shard that runs in the background. Dropping it ends the task and closes the socket.
pub struct Events {
    queue: Arc<Queue>,
    sender: Sender,
    budget: Budget,
}

/// Keeps a shard going: spawn it. It ends with the reason why the shard has stopped, or with `None` if nothing takes its events any
/// more, because [`Events`] was dropped.
#[must_use = "the shard runs only while this is polled: spawn it on your runtime"]
pub struct Task<R, S: EventSink = EventQueue> {
    shard: Shard<R>,
    sink: S,
}

/// Takes the events of a shard that runs in the background.
pub trait EventSink: Send + 'static {
    /// Whether there is room for another event. The task does not poll this again by itself: a sink without room stores the
    /// waker, and wakes it once there is room, or once the sink is closed.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Room;

    /// Takes an event. A few events about connections may come although there is no room.
    fn push(&mut self, event: Event);

    /// The shard has no further event for now. A sink that collects events delivers them.
    fn flush(&mut self) {}

    /// The shard has stopped for good. Nothing follows.
    fn stopped(&mut self, reason: StopReason);
}

/// Whether an [`EventSink`] takes another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Room {
    /// It does.
    Free,
    /// Not now: the socket is not read until there is room.
    Full,
    /// Never again: the task ends, and the socket is closed.
    Closed,
}

impl<R: Runtime> Shard<R> {
    /// Splits the shard into its events and a task that drives it. Spawn the task on your runtime.
    ///
    /// Heartbeats are sent on time regardless of how long a handler takes. When `capacity` events are queued (0 is read
    /// as 1), the task stops reading the socket until one is taken. It does not treat that silence as a dead connection.
    /// A connection that is lost meanwhile is replaced when there is room again. A few events about connections may be
    /// queued beyond the capacity.
    pub fn background(self, capacity: usize) -> (Events, Task<R>) {
        let queue = Arc::new(Queue { capacity: capacity.max(1), state: Mutex::default() });
        let events = Events { queue: queue.clone(), sender: self.sender(), budget: Budget::default() };
        (events, self.background_into(EventQueue { queue }))
    }

    /// Makes a task that keeps the shard going, to be spawned on your runtime, and hands its events to this sink.
    ///
    /// As [`background`](Self::background), for many shards with one reader, or one shard with several.
    pub fn background_into<S: EventSink>(self, sink: S) -> Task<R, S> {
        Task { shard: self, sink }
    }
}

impl Events {
    /// The next event. `None` once the shard has stopped or its task was dropped, and all events are taken.
    ///
    /// Cancel-safe: the future may be dropped at any point.
    ///
    /// Yields as [`Shard::next_event`] does: after 128 events in a row it returns `Pending` once, with the task woken,
    /// although more may be queued.
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// A handle for other tasks and threads.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let polled = self.poll_queue(context);
        if polled.is_pending() {
            self.budget.renew();
        }
        polled
    }

    fn poll_queue(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.queue.lock();
        if state.events.is_empty() {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        ready!(self.budget.poll_step(context));
        if state.events.len() == self.queue.capacity {
            wake(&mut state.task);
        }
        Poll::Ready(state.events.pop_front())
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl<R: Runtime, S: EventSink> Future for Task<R, S> {
    type Output = Option<StopReason>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StopReason>> {
        let Self { shard, sink } = self.get_mut();
        // Ends when the shard waits or has used up its budget.
        loop {
            let room = sink.poll_room(context);
            match room {
                Room::Closed => return Poll::Ready(None),
                Room::Full if !shard.is_open() && !shard.is_shutting_down() => {
                    sink.flush();
                    return Poll::Pending;
                }
                // A shard that ends delivers nothing more, and has to read the server's close frame.
                Room::Full if !shard.is_shutting_down() => shard.set_reading(Reading::Paused),
                Room::Full | Room::Free => shard.set_reading(Reading::On),
            }
            match shard.poll_event(context) {
                Poll::Ready(Some(event)) => sink.push(event),
                Poll::Ready(None) => {
                    sink.flush();
                    let reason = shard.stop_reason().cloned();
                    if let Some(reason) = &reason {
                        sink.stopped(reason.clone());
                    }
                    return Poll::Ready(reason);
                }
                Poll::Pending => {
                    sink.flush();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<R, S: EventSink> Unpin for Task<R, S> {}

/// The sink behind [`Events`].
pub struct EventQueue {
    queue: Arc<Queue>,
}

impl EventSink for EventQueue {
    fn poll_room(&mut self, context: &mut Context<'_>) -> Room {
        let mut state = self.queue.lock();
        if state.abandoned {
            return Room::Closed;
        }
        state.task = Some(context.waker().clone());
        if state.events.len() >= self.queue.capacity { Room::Full } else { Room::Free }
    }

    fn push(&mut self, event: Event) {
        let mut state = self.queue.lock();
        state.events.push_back(event);
        wake(&mut state.reader);
    }

    fn stopped(&mut self, _reason: StopReason) {
        // Not left to the drop: the executor may keep a finished task.
        self.queue.end();
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.abandoned = true;
        wake(&mut state.task);
    }
}

/// Events on their way from the task to the application.
struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The task that waits for an event.
    reader: Option<Waker>,
    /// The task that drives the shard. It also waits for room.
    task: Option<Waker>,
    /// The task has ended.
    ended: bool,
    /// [`Events`] was dropped.
    abandoned: bool,
}

impl Queue {
    /// Marks the end of the events.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        wake(&mut state.reader);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.queue.lock().events.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("waiting", &self.queue.lock().events.len()).finish_non_exhaustive()
    }
}

impl<R, S: EventSink> fmt::Debug for Task<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("shard", &self.shard).finish_non_exhaustive()
    }
}
