//! Events on their way to the application.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use gateway_driver::task::Budget;

use super::hub::Hub;
use super::item::ClusterItem;

/// An empty queue keeps room for so many items.
const KEPT: usize = 64;

/// A queue in the order of delivery. Fair, since no shard may have more in it than its limits allow.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    items: VecDeque<ClusterItem>,
    /// Waits for an item.
    reader: Option<Waker>,
    /// No more items will come.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
}

impl Queue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more items will come. Wake what this returns without a lock.
    pub(crate) fn end(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.ended = true;
        state.reader.take()
    }
}

impl State {
    /// Adds items. Wake what this returns without a lock.
    pub(crate) fn push(&mut self, items: impl IntoIterator<Item = ClusterItem>) -> Option<Waker> {
        if !self.abandoned {
            self.items.extend(items);
        }
        self.reader.take()
    }

    /// What is in the queue, for other queues.
    pub(crate) fn take_all(&mut self) -> VecDeque<ClusterItem> {
        std::mem::take(&mut self.items)
    }
}

/// A stream of a cluster's events: all of them, or those of some guilds. Send it to a task or a thread of its own.
///
/// It ends when the cluster has ended and everything is taken. A lane that is dropped drops its events; the cluster lives as long as
/// one of its lanes.
pub struct Lane {
    pub(crate) hub: Arc<Hub>,
    queue: Arc<Queue>,
    /// Taken out of the queue already.
    taken: VecDeque<ClusterItem>,
    budget: Budget,
    is_over: bool,
}

impl Lane {
    pub(crate) fn new(hub: Arc<Hub>, queue: Arc<Queue>) -> Self {
        Self { hub, queue, taken: VecDeque::new(), budget: Budget::default(), is_over: false }
    }

    /// The next event. `None` once the cluster has ended, and everything is taken.
    ///
    /// Cancel-safe: the future may be dropped at any point.
    ///
    /// Other tasks of the thread get their turn however much the shards receive: after 128 events in a row the task is woken and
    /// `Pending` returned once, although more may be waiting.
    pub async fn next_event(&mut self) -> Option<ClusterItem> {
        poll_fn(|context| self.poll_event(context)).await
    }

    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<ClusterItem>> {
        let polled = self.poll_taken(context);
        if polled.is_pending() {
            self.budget.renew();
        }
        polled
    }

    fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<Option<ClusterItem>> {
        if self.taken.is_empty() {
            let mut state = self.queue.lock();
            if state.items.is_empty() {
                if state.ended {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
                match &mut state.reader {
                    Some(known) => known.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            if self.taken.capacity() > KEPT {
                self.taken = VecDeque::new();
            }
            std::mem::swap(&mut self.taken, &mut state.items);
        }
        ready!(self.budget.poll_step(context));
        Poll::Ready(self.taken.pop_front())
    }

    /// Everything that the application has not taken, for other lanes.
    pub(crate) fn take_all(&mut self) -> VecDeque<ClusterItem> {
        std::mem::take(&mut self.taken)
    }
}

impl Stream for Lane {
    type Item = ClusterItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ClusterItem>> {
        self.poll_event(context)
    }
}

impl FusedStream for Lane {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let dropped = {
            let mut state = self.queue.lock();
            state.abandoned = true;
            state.take_all()
        };
        // Without the lock: a place that becomes free wakes a task.
        drop(dropped);
        self.taken.clear();
        self.hub.lane_dropped();
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.taken.len() + self.queue.lock().items.len();
        f.debug_struct("Lane").field("waiting", &waiting).finish_non_exhaustive()
    }
}
