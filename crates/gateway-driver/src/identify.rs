//! Who may identify when: the trait, and the gate for the shards of one process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gateway_proto::{
    ConfigError, IdentifyBudget, IdentifyQueue, IdentifyRefused, IdentifySnapshot, SessionStartLimit,
    ShardId, Ticket,
};

use crate::Runtime;
use crate::timer::Timer;

/// A permit that is being waited for. Dropping it takes the request back.
pub type AcquiringIdentify = Pin<Box<dyn Future<Output = Result<(), IdentifyRefused>> + Send>>;

/// Says when a shard may identify. Shared by all shards of a bot, which are limited together
/// (Discord Docs, Gateway > Sharding > Max Concurrency).
///
/// [`LocalIdentifyGate`] serves the shards of one process. For many processes, implement this over something that they
/// share.
pub trait IdentifyGate: Send + Sync + 'static {
    /// Asks for a permit. The shard identifies as soon as the future is ready, so a permit is good for that moment only.
    ///
    /// A refusal stops the shard, with the refusal as its reason. To let it wait, let the future wait.
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify;

    /// The permit was used: the shard's Identify goes out.
    fn used(&self, shard: ShardId) {
        let _ = shard;
    }

    /// The shard's Identify came to nothing: the connection has ended without READY. It counts as a session start all the
    /// same, as far as anybody outside Discord knows.
    fn failed(&self, shard: ShardId) {
        let _ = shard;
    }
}

/// The gate for the shards of one process: one permit in 5.25 s for each `shard_id % max_concurrency`, in the order of
/// the shard ids, and no more session starts in 24 hours than the budget allows.
///
/// ```
/// # fn shards<R: gateway_driver::Runtime>(
/// #     runtime: R,
/// #     answer: &[u8],
/// #     kept: Option<gateway_driver::proto::IdentifySnapshot>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use gateway_driver::proto::{Encoding, IdentifyBudget, Raw, SessionStartLimit};
/// use gateway_driver::{DriverConfig, LocalIdentifyGate};
///
/// // `session_start_limit`, as GET /gateway/bot has just answered.
/// let limit: SessionStartLimit = Raw::new(answer.to_vec(), Encoding::Json).decode()?;
/// let mut budget = IdentifyBudget::default();
/// budget.shards = 4;
/// let gate = Arc::new(LocalIdentifyGate::with_budget(runtime, budget, &limit)?);
/// if let Some(snapshot) = kept {
///     gate.restore(&snapshot, Duration::ZERO);
/// }
/// let mut driver = DriverConfig::default();
/// driver.identify_gate = Some(gate.clone());
/// // Keep `gate.snapshot()` for the next process whenever a shard identifies.
/// # Ok(())
/// # }
/// ```
pub struct LocalIdentifyGate<R> {
    runtime: R,
    state: Arc<Mutex<State>>,
}

struct State {
    queue: IdentifyQueue,
    waiting: BTreeMap<Ticket, Waiting>,
}

/// What has become of a request.
enum Waiting {
    /// Nothing yet. None: nobody has asked.
    For(Option<Waker>),
    Answered(Result<(), IdentifyRefused>),
}

impl<R: Runtime> LocalIdentifyGate<R> {
    /// A gate for `session_start_limit.max_concurrency` of `GET /gateway/bot`. 0 is read as 1.
    ///
    /// As long as nothing else is known, it spends 900 of 1000 session starts in 24 hours, and refuses the next.
    pub fn new(runtime: R, max_concurrency: u32) -> Self {
        Self::of(runtime, IdentifyQueue::new(max_concurrency))
    }

    /// A gate for `session_start_limit` of `GET /gateway/bot`, asked for just now.
    ///
    /// # Errors
    ///
    /// Where the shards could spend more in a day than the budget leaves them; the error says which field.
    pub fn with_budget(
        runtime: R,
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
    ) -> Result<Self, ConfigError> {
        let queue = IdentifyQueue::with_budget(budget, limit, runtime.now())?;
        Ok(Self::of(runtime, queue))
    }

    fn of(runtime: R, queue: IdentifyQueue) -> Self {
        Self { runtime, state: Arc::new(Mutex::new(State { queue, waiting: BTreeMap::new() })) }
    }

    /// Takes a newer `session_start_limit`. It holds at once, also for those who wait.
    ///
    /// # Errors
    ///
    /// As [`LocalIdentifyGate::with_budget`]. Nothing has changed then.
    pub fn update(&self, limit: &SessionStartLimit) -> Result<(), ConfigError> {
        let mut state = lock(&self.state);
        state.queue.update(limit, self.runtime.now())?;
        state.wake_all();
        Ok(())
    }

    /// How many session starts are left today, those of the reserve among them.
    pub fn remaining(&self) -> u32 {
        lock(&self.state).queue.remaining(self.runtime.now())
    }

    /// The session starts of the last 24 hours, to be kept for the next process: after each permit.
    pub fn snapshot(&self) -> IdentifySnapshot {
        lock(&self.state).queue.snapshot(self.runtime.now())
    }

    /// Counts the session starts of an earlier process too. `elapsed` is the time since the snapshot was made; zero is
    /// always safe, and right where no clock can be trusted.
    pub fn restore(&self, snapshot: &IdentifySnapshot, elapsed: Duration) {
        let mut state = lock(&self.state);
        state.queue.restore(snapshot, elapsed, self.runtime.now());
        state.wake_all();
    }
}

impl<R: Runtime> IdentifyGate for LocalIdentifyGate<R> {
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify {
        let ticket = lock(&self.state).queue.request(shard);
        let request = Request { state: self.state.clone(), ticket };
        Box::pin(Acquire { runtime: self.runtime.clone(), request, timer: Timer::new(self.runtime.clone()) })
    }
}

impl<R> fmt::Debug for LocalIdentifyGate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalIdentifyGate").field("waiting", &lock(&self.state).queue.waiting()).finish()
    }
}

struct Acquire<R> {
    runtime: R,
    request: Request,
    timer: Timer<R>,
}

/// A request in the queue, taken back when dropped.
struct Request {
    state: Arc<Mutex<State>>,
    ticket: Ticket,
}

impl<R> Unpin for Acquire<R> {}

impl<R: Runtime> Future for Acquire<R> {
    type Output = Result<(), IdentifyRefused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let now = this.runtime.now();
            match this.request.poll(context, now) {
                Asked::Answered(answer) => return Poll::Ready(answer),
                Asked::AgainAt(deadline) => std::task::ready!(this.timer.poll_until(deadline, context)),
            }
        }
    }
}

/// What a request is told.
enum Asked {
    Answered(Result<(), IdentifyRefused>),
    AgainAt(Instant),
}

impl Request {
    fn poll(&self, context: &Context<'_>, now: Instant) -> Asked {
        let mut state = lock(&self.state);
        if let Some(Waiting::Answered(answer)) = state.waiting.get(&self.ticket) {
            return Asked::Answered(*answer);
        }
        state.waiting.insert(self.ticket, Waiting::For(Some(context.waker().clone())));
        while let Some(granted) = state.queue.poll(now) {
            state.answer(granted, Ok(()));
        }
        while let Some((refused, refusal)) = state.queue.poll_refused(now) {
            state.answer(refused, Err(refusal));
        }
        match state.waiting.get(&self.ticket) {
            Some(Waiting::Answered(answer)) => Asked::Answered(*answer),
            _ => Asked::AgainAt(state.queue.next_deadline(now).unwrap_or(now)),
        }
    }
}

impl State {
    fn answer(&mut self, ticket: Ticket, answer: Result<(), IdentifyRefused>) {
        if let Some(Waiting::For(Some(waker))) = self.waiting.insert(ticket, Waiting::Answered(answer)) {
            waker.wake();
        }
    }

    /// The queue has learned something: everybody asks again.
    fn wake_all(&mut self) {
        for waiting in self.waiting.values_mut() {
            if let Waiting::For(waker) = waiting
                && let Some(waker) = waker.take()
            {
                waker.wake();
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.queue.cancel(self.ticket);
        state.waiting.remove(&self.ticket);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
