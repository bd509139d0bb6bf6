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

/// The future that drives the shard: spawn it. Resolves to the reason why the shard has stopped, or to `None` if
/// [`Events`] was dropped.
#[must_use = "the shard runs only while this is polled: spawn it on your runtime"]
pub struct Task<R> {
    shard: Shard<R>,
    queue: Arc<Queue>,
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
        (
            Events { queue: queue.clone(), sender: self.sender(), budget: Budget::default() },
            Task { shard: self, queue },
        )
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

impl<R: Runtime> Future for Task<R> {
    type Output = Option<StopReason>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StopReason>> {
        let this = &mut *self;
        // Ends when the shard waits or has used up its budget.
        loop {
            let full = {
                let mut state = this.queue.lock();
                if state.abandoned {
                    return Poll::Ready(None);
                }
                state.task = Some(context.waker().clone());
                state.events.len() >= this.queue.capacity
            };
            if full && !this.shard.is_open() && !this.shard.is_shutting_down() {
                return Poll::Pending;
            }
            this.shard.set_reading(if full { Reading::Paused } else { Reading::On });
            match ready!(this.shard.poll_event(context)) {
                Some(event) => {
                    let mut state = this.queue.lock();
                    state.events.push_back(event);
                    wake(&mut state.reader);
                }
                None => {
                    // Do not wait for the drop: the executor may keep a finished task.
                    this.queue.end();
                    return Poll::Ready(this.shard.stop_reason().cloned());
                }
            }
        }
    }
}

impl<R> Unpin for Task<R> {}

impl<R> Drop for Task<R> {
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

impl<R> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("shard", &self.shard).finish_non_exhaustive()
    }
}
