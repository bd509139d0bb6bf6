//! A running shard of a cluster: how many of its events wait, and which of them are acknowledged.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use event_listener::Event as Signal;
use gateway_driver::Sender;
use gateway_driver::proto::Shutdown;
use gateway_driver::proto::session::{AckTracker, DispatchKey};

use super::limits::ClusterLimits;
use crate::ShardKey;

/// What all shards of a cluster and its keeper share.
#[derive(Default)]
pub(crate) struct Signals {
    /// Nothing more is read.
    pub(crate) draining: AtomicBool,
    /// The keeper waits for slots that are drained.
    pub(crate) watched: AtomicBool,
    /// Wakes the keeper.
    pub(crate) keeper: Signal,
}

/// A shard from its start to its stop.
pub(crate) struct Slot {
    pub(crate) key: ShardKey,
    pub(crate) sender: Sender,
    limits: ClusterLimits,
    /// Items that the application has not dropped.
    items: AtomicUsize,
    /// Bytes of their dispatches.
    bytes: AtomicUsize,
    /// Dispatches that were received and are not done. Always 0 if nothing is acknowledged.
    unacknowledged: AtomicUsize,
    /// Those of them that a reshard holds back, or that are on their way to a queue. They cannot be acknowledged yet, so a limit on them
    /// would keep away what they wait for.
    held: AtomicUsize,
    /// None: dispatches count as handled when they are received.
    tracker: Option<Mutex<AckTracker>>,
    /// Waits for room.
    task: Mutex<Option<Waker>>,
    /// Whether it does.
    waits: AtomicBool,
    signals: Arc<Signals>,
}

impl Slot {
    pub(crate) fn new(
        key: ShardKey,
        sender: Sender,
        limits: ClusterLimits,
        acknowledges: bool,
        signals: Arc<Signals>,
    ) -> Arc<Self> {
        // The limit is this slot's, so that a received dispatch is never without a place.
        let tracker = acknowledges.then(|| Mutex::new(AckTracker::new(usize::MAX)));
        Arc::new(Self {
            key,
            sender,
            limits,
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            unacknowledged: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            tracker,
            task: Mutex::new(None),
            waits: AtomicBool::new(false),
            signals,
        })
    }

    /// Whether no more is read from this shard for now.
    pub(crate) fn is_full(&self) -> bool {
        self.signals.draining.load(Ordering::SeqCst) || self.is_at_a_limit()
    }

    fn is_at_a_limit(&self) -> bool {
        self.items.load(Ordering::SeqCst) >= self.limits.events
            || self.bytes.load(Ordering::SeqCst) >= self.limits.bytes
            || self.with_application() >= self.limits.unacknowledged
    }

    /// Dispatches that the application has, or could take, and has not acknowledged.
    fn with_application(&self) -> usize {
        let held = self.held.load(Ordering::SeqCst);
        self.unacknowledged.load(Ordering::SeqCst).saturating_sub(held)
    }

    /// As [`is_full`](Self::is_full), and if so, has the task woken once there is room.
    pub(crate) fn is_full_until_woken(&self, waker: &Waker) -> bool {
        if !self.is_full() {
            return false;
        }
        match &mut *self.lock_task() {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.waits.store(true, Ordering::SeqCst);
        // There may be room since.
        self.is_full()
    }

    /// Has the task look again whether there is room, and whether it is still wanted.
    pub(crate) fn wake(&self) {
        match self.take_waker() {
            Some(waker) => waker.wake(),
            None => self.sender.wake(),
        }
    }

    fn take_waker(&self) -> Option<Waker> {
        self.waits.store(false, Ordering::SeqCst);
        self.lock_task().take()
    }

    /// Shuts the shard down.
    pub(crate) fn shut_down(&self, how: Shutdown) {
        self.sender.shutdown(how);
        self.wake();
    }

    fn lock_task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A dispatch has arrived. In the order of arrival, before anything becomes of it.
    pub(crate) fn received(&self, key: Option<DispatchKey>) {
        if let (Some(tracker), Some(key)) = (&self.tracker, key) {
            let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
            self.held.fetch_add(1, Ordering::SeqCst);
            // The tracker has no limit.
            let _ = tracker.received(key);
            self.unacknowledged.store(tracker.outstanding(), Ordering::SeqCst);
        }
    }

    /// A dispatch is done.
    pub(crate) fn done(&self, key: Option<DispatchKey>) {
        let (Some(tracker), Some(key)) = (&self.tracker, key) else { return };
        {
            let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(watermark) = tracker.done(key) {
                // Within the lock, so that watermarks are handed over in their order. A session that was replaced needs none.
                let _ = self.sender.ack_up_to(watermark);
            }
            self.unacknowledged.store(tracker.outstanding(), Ordering::SeqCst);
        }
        self.released();
    }

    /// A dispatch that was received is not for the application.
    pub(crate) fn discarded(&self, key: Option<DispatchKey>) {
        self.let_go(key);
        self.done(key);
    }

    /// A dispatch is no longer held.
    fn let_go(&self, key: Option<DispatchKey>) {
        if self.tracker.is_some() && key.is_some() {
            // A dispatch that this shard received before it was restarted was counted in another slot.
            let _ = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| held.checked_sub(1));
        }
    }

    /// An item that had a place goes back to the machine.
    fn taken_back(&self, key: Option<DispatchKey>) {
        if self.tracker.is_some() && key.is_some() {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// An item is on its way to the application.
    pub(crate) fn take_place(self: &Arc<Self>, bytes: usize, dispatch: Option<DispatchKey>) -> Place {
        self.items.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.let_go(dispatch);
        Place { slot: self.clone(), bytes, dispatch }
    }

    /// Something was released. The task that waits for room stores its waker, says so, and looks again; this looks in the other order.
    fn released(&self) {
        if self.waits.load(Ordering::SeqCst) && !self.is_full() {
            self.take_waker().into_iter().for_each(Waker::wake);
        }
        if self.signals.watched.load(Ordering::SeqCst) && self.is_drained() {
            self.signals.keeper.notify(usize::MAX);
        }
    }

    /// Whether the application has dropped and acknowledged everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.items.load(Ordering::SeqCst) == 0 && self.unacknowledged.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn items(&self) -> usize {
        self.items.load(Ordering::SeqCst)
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.unacknowledged.load(Ordering::SeqCst)
    }

    /// The oldest dispatch that is not done.
    pub(crate) fn oldest(&self) -> Option<DispatchKey> {
        self.tracker.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).oldest()
    }
}

/// The place that an item takes of its shard's limits.
pub(crate) struct Place {
    slot: Arc<Slot>,
    bytes: usize,
    dispatch: Option<DispatchKey>,
}

impl Place {
    pub(crate) fn key(&self) -> ShardKey {
        self.slot.key
    }

    pub(crate) fn done(&self) {
        self.slot.done(self.dispatch);
    }

    /// The item is not delivered yet.
    pub(crate) fn take_back(self) {
        self.slot.taken_back(self.dispatch);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slot.items.fetch_sub(1, Ordering::SeqCst);
        self.slot.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        self.slot.released();
    }
}
