//! The gate of a bot's shards: the trait, and an implementation for the shards of one process.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gateway_proto::ShardId;
use gateway_proto::config::ConfigError;
use gateway_proto::identify::{
    BudgetError, IdentifyBudget, IdentifyQueue, IdentifyRefused, IdentifySnapshot, SessionStartLimit, Ticket,
    TooFewStarts,
};

use crate::Runtime;
use crate::background_writer::BackgroundWriter;
use crate::identify_requests::{Answer, Requests};
use crate::store::IdentifyStore;
use crate::timer::Timer;

/// A pending request for a permit. Dropping it cancels the request.
pub type AcquiringIdentify = Pin<Box<dyn Future<Output = Result<(), IdentifyRefused>> + Send>>;

/// Grants permits to identify. Shared by all shards of a bot, which are limited together. See
/// [Discord Docs, Gateway > Max Concurrency](https://discord.com/developers/docs/events/gateway#sharding-max-concurrency).
///
/// [`LocalIdentifyGate`] serves the shards of one process. For several processes, implement this over something that they
/// share; [`IdentifyQueue`] is the state machine for its other end.
pub trait IdentifyGate: Send + Sync + 'static {
    /// Requests a permit. The shard identifies as soon as the future is ready, so a permit is valid only at that moment.
    ///
    /// A refusal stops the shard, with the refusal as its reason. If the gate cannot be reached, resolve to
    /// [`IdentifyRefused::unreachable`]: the shard closes its connection, and requests again after its back-off. The
    /// future may also wait; the shard sends heartbeats meanwhile.
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify;

    /// Reports that the permit was used: the shard's Identify has been sent.
    fn used(&self, shard: ShardId) {
        let _ = shard;
    }

    /// Checks whether so many more sessions can be started today, so that a caller does not begin work that it cannot
    /// finish. A gate that does not know returns `Ok`, and refuses or holds the requests themselves.
    ///
    /// # Errors
    ///
    /// If fewer session starts are left, with the time until there are enough. See [`TooFewStarts::new`].
    fn check(&self, starts: u32) -> Result<(), TooFewStarts> {
        let _ = starts;
        Ok(())
    }

    /// How many session starts are left today, including the reserve. `None` if the gate does not know.
    fn remaining(&self) -> Option<u32> {
        None
    }

    /// Reports that the connection of the shard's Identify has ended without READY. Discord may have counted the session
    /// start.
    fn failed(&self, shard: ShardId) {
        let _ = shard;
    }
}

/// The gate for the shards of one process: an [`IdentifyQueue`] with a timer for each request and a thread that persists.
///
/// It grants one permit in 5.25 s for each `shard_id % max_concurrency`, in the order of the shard ids, and no more
/// session starts in 24 hours than the budget allows.
///
/// ```
/// # fn shards<R: gateway_driver::Runtime>(runtime: R, answer: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use gateway_driver::proto::identify::{IdentifyBudget, SessionStartLimit};
/// use gateway_driver::proto::{Encoding, Raw};
/// use gateway_driver::gate::LocalIdentifyGate;
/// use gateway_driver::store::FileIdentifyStore;
/// use gateway_driver::DriverConfig;
///
/// // `session_start_limit`, as GET /gateway/bot has just answered.
/// let limit: SessionStartLimit = Raw::new(answer.to_vec(), Encoding::Json).decode()?;
/// let mut budget = IdentifyBudget::default();
/// budget.shards = 4;
/// let store = FileIdentifyStore::in_file("/var/lib/bot/identifies.json");
/// let gate = LocalIdentifyGate::kept_in(store, runtime, budget, &limit)?;
/// gate.on_error(|error| eprintln!("session starts cannot be persisted: {error}"));
/// let mut driver = DriverConfig::default();
/// driver.identify_gate = Some(Arc::new(gate));
/// # Ok(())
/// # }
/// ```
pub struct LocalIdentifyGate<R> {
    shared: Arc<Shared<R>>,
    writer: Option<Arc<Writer>>,
}

/// The state that the gate, its futures and the persisting thread share.
struct Shared<R> {
    runtime: R,
    requests: Mutex<Requests>,
    /// Empty if nothing is persisted. Weak, since the thread holds this value.
    writer: OnceLock<Weak<Writer>>,
}

/// Persists snapshots, each with its number.
type Writer = BackgroundWriter<(), (u64, IdentifySnapshot)>;

/// Why a gate cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum GateError {
    /// The budget is invalid, or too little of it is left.
    Budget(BudgetError),
    /// The session starts of earlier processes cannot be read, or the persisting thread cannot be started.
    Store(io::Error),
}

impl<R: Runtime> LocalIdentifyGate<R> {
    /// Creates a gate for `session_start_limit.max_concurrency` of `GET /gateway/bot`. 0 is read as 1.
    ///
    /// It grants 900 of 1000 session starts in 24 hours, and refuses the next. It counts only those of this process: for
    /// a bot that may restart often, use [`LocalIdentifyGate::kept_in`].
    pub fn new(runtime: R, max_concurrency: u32) -> Self {
        Self::of(runtime, IdentifyQueue::new(max_concurrency))
    }

    /// Creates a gate for a `session_start_limit` that `GET /gateway/bot` has just returned. It counts the session starts
    /// of this process only.
    ///
    /// # Errors
    ///
    /// If the shards could spend more in a day than the budget leaves them; the error names the field. With
    /// [`WhenSpent::Refuse`](gateway_proto::identify::WhenSpent::Refuse) also if fewer session starts are left than they
    /// need.
    pub fn with_budget(
        runtime: R,
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
    ) -> Result<Self, BudgetError> {
        let queue = IdentifyQueue::with_budget(budget, limit, runtime.now())?;
        Ok(Self::of(runtime, queue))
    }

    /// Creates a gate as [`LocalIdentifyGate::with_budget`] does, which also counts the session starts of earlier
    /// processes. A thread of the gate persists each in this store before its permit is granted. Reading the store blocks
    /// the caller.
    ///
    /// The runtime's wall clock determines how long no process ran. Without a wall clock that time does not count; nor
    /// does the time between the last permit and a crash.
    ///
    /// If a session start cannot be persisted, its permit is refused; with
    /// [`WhenSpent::Hold`](gateway_proto::identify::WhenSpent::Hold) the request waits, and the store is tried again
    /// every 5 s. See [`LocalIdentifyGate::on_error`].
    ///
    /// # Errors
    ///
    /// As [`LocalIdentifyGate::with_budget`], with the starts of earlier processes counted; and if the store cannot be
    /// read.
    pub fn kept_in(
        store: impl IdentifyStore,
        runtime: R,
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
    ) -> Result<Self, GateError> {
        let mut queue = IdentifyQueue::with_budget(budget, limit, runtime.now())?;
        if let Some(snapshot) = store.load().map_err(GateError::Store)? {
            queue.restore(&snapshot, snapshot.elapsed(runtime.wall_clock()), runtime.now());
            queue.check_start(runtime.now()).map_err(BudgetError::from)?;
        }
        let mut this = Self::of(runtime, queue.with_persistence());
        let shared = this.shared.clone();
        let write = move |(): &(), (_, snapshot): &(u64, IdentifySnapshot)| store.save(snapshot);
        let done = move |(number, _): &(u64, IdentifySnapshot), ok: bool| shared.persisted(*number, ok);
        let writer = BackgroundWriter::start("identify-writer", write, done).map_err(GateError::Store)?;
        let writer = this.writer.insert(Arc::new(writer));
        this.shared.writer.get_or_init(|| Arc::downgrade(writer));
        Ok(this)
    }

    fn of(runtime: R, queue: IdentifyQueue) -> Self {
        let requests = Mutex::new(Requests::new(queue));
        Self { shared: Arc::new(Shared { runtime, requests, writer: OnceLock::new() }), writer: None }
    }

    /// Replaces the limit with a newer `session_start_limit`. It applies immediately, also to waiting requests.
    ///
    /// # Errors
    ///
    /// If the shards could spend more in a day than the budget leaves them. Nothing changes then.
    pub fn update(&self, limit: &SessionStartLimit) -> Result<(), ConfigError> {
        self.shared.change(|queue, now| queue.update(limit, now))
    }

    /// Checks whether so many more sessions can be started today: see [`IdentifyQueue::check`].
    ///
    /// # Errors
    ///
    /// If fewer session starts are left, with the time until there are enough.
    pub fn check(&self, starts: u32) -> Result<(), TooFewStarts> {
        self.shared.lock().queue.check(starts, self.shared.runtime.now())
    }

    /// Changes [`IdentifyBudget::shards`], for a bot that reshards: see [`IdentifyQueue::set_shards`].
    ///
    /// # Errors
    ///
    /// If this many shards could spend more in a day than the budget leaves them. Nothing changes then.
    pub fn set_shards(&self, shards: u32) -> Result<(), ConfigError> {
        self.shared.change(|queue, now| queue.set_shards(shards, now))
    }

    /// How many session starts are left today, including the reserve.
    pub fn remaining(&self) -> u32 {
        self.shared.lock().queue.remaining(self.shared.runtime.now())
    }

    /// The session starts of the last 24 hours, for a caller that persists them itself after each permit.
    pub fn snapshot(&self) -> IdentifySnapshot {
        self.shared.lock().queue.snapshot(self.shared.runtime.now())
    }

    /// Counts the session starts of an earlier process too. `elapsed` is the time since the snapshot was taken. Zero is
    /// always safe, and correct if no clock can be trusted.
    pub fn restore(&self, snapshot: &IdentifySnapshot, elapsed: Duration) {
        self.shared.change(|queue, now| queue.restore(snapshot, elapsed, now));
    }

    /// Sets the callback for session starts that could not be persisted, in place of an earlier one. The persisting
    /// thread calls it and waits for it. A panic of the store is an error. Without a store it is never called.
    pub fn on_error(&self, mut on_error: impl FnMut(&io::Error) + Send + 'static) {
        if let Some(writer) = &self.writer {
            writer.on_error(Box::new(move |(), error| on_error(error)));
        }
    }

    /// Blocks until everything is written.
    ///
    /// # Errors
    ///
    /// The newest error of the store that was not taken yet.
    pub fn flush(&self) -> io::Result<()> {
        self.writer.as_ref().map_or(Ok(()), |writer| writer.flush())
    }

    /// Takes the newest error of the store that was not taken yet. Does not block.
    pub fn take_error(&self) -> Option<io::Error> {
        self.writer.as_ref()?.take_error()
    }
}

impl<R: Runtime> IdentifyGate for LocalIdentifyGate<R> {
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify {
        Box::pin(Acquire {
            ticket: self.shared.lock().begin(shard),
            timer: Timer::new(self.shared.runtime.clone()),
            shared: self.shared.clone(),
            _writer: self.writer.clone(),
        })
    }

    fn used(&self, shard: ShardId) {
        // Requests for this key see the later deadline when their timers fire.
        self.shared.lock().queue.used(shard, self.shared.runtime.now());
    }

    fn check(&self, starts: u32) -> Result<(), TooFewStarts> {
        self.check(starts)
    }

    fn remaining(&self) -> Option<u32> {
        Some(self.remaining())
    }
}

impl<R> fmt::Debug for LocalIdentifyGate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.shared.lock().queue.waiting();
        f.debug_struct("LocalIdentifyGate").field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> Shared<R> {
    /// Performs the outputs of the queue. The caller wakes the returned wakers after it has released the lock, since a
    /// waker may call anything.
    fn advance(&self, requests: &mut Requests, now: Instant) -> Vec<Waker> {
        requests.advance(now, |number, snapshot| {
            if let Some(writer) = self.writer.get().and_then(Weak::upgrade) {
                writer.put((), (number, snapshot.with_wall_clock(self.runtime.wall_clock())));
            }
        })
    }

    /// Polls for the answer to a request.
    fn poll(&self, ticket: Ticket, waker: &Waker) -> Answer {
        let mut requests = self.lock();
        let now = self.runtime.now();
        let woken = self.advance(&mut requests, now);
        let answer = requests.poll(ticket, waker, now);
        drop(requests);
        woken.into_iter().for_each(Waker::wake);
        answer
    }

    /// Reports that a snapshot was written. Runs on the persisting thread, which may have the next one to write.
    fn persisted(&self, number: u64, ok: bool) {
        self.change(|queue, now| queue.handle_persisted(number, ok, now));
    }

    /// Changes the queue in a way that may bring deadlines forward.
    fn change<T>(&self, change: impl FnOnce(&mut IdentifyQueue, Instant) -> T) -> T {
        let mut requests = self.lock();
        let now = self.runtime.now();
        let changed = change(&mut requests.queue, now);
        let mut woken = self.advance(&mut requests, now);
        woken.append(&mut requests.wake_all());
        drop(requests);
        woken.into_iter().for_each(Waker::wake);
        changed
    }
}

/// A request in the queue, cancelled when dropped.
struct Acquire<R: Runtime> {
    ticket: Ticket,
    timer: Timer<R>,
    shared: Arc<Shared<R>>,
    /// Keeps the persisting thread running as long as there are requests.
    _writer: Option<Arc<Writer>>,
}

impl<R: Runtime> Unpin for Acquire<R> {}

impl<R: Runtime> Future for Acquire<R> {
    type Output = Result<(), IdentifyRefused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.shared.poll(self.ticket, context.waker()) {
                Answer::Granted => return Poll::Ready(Ok(())),
                Answer::Refused(refused) => return Poll::Ready(Err(refused)),
                Answer::Wait(None) => return Poll::Pending,
                Answer::Wait(Some(deadline)) => std::task::ready!(self.timer.poll_until(deadline, context)),
            }
        }
    }
}

impl<R: Runtime> Drop for Acquire<R> {
    fn drop(&mut self) {
        self.shared.lock().end(self.ticket);
    }
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(error) => error.fmt(f),
            Self::Store(error) => write!(f, "session starts cannot be persisted: {error}"),
        }
    }
}

/// The text contains that of the inner error, so there is no `source`.
impl std::error::Error for GateError {}

impl From<BudgetError> for GateError {
    fn from(error: BudgetError) -> Self {
        Self::Budget(error)
    }
}
