//! Who may identify when: the trait, and the gate for the shards of one process.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_proto::{
    BudgetError, ConfigError, IdentifyBudget, IdentifyQueue, IdentifyRefused, IdentifySnapshot,
    SessionStartLimit, ShardId, Ticket,
};

use crate::background_writer::BackgroundWriter;
use crate::identify_requests::{Answer, Keeping, Requests, lock, wake};
use crate::timer::Timer;
use crate::{IdentifyStore, KeptIdentifies, Runtime};

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
/// # fn shards<R: gateway_driver::Runtime>(runtime: R, answer: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use gateway_driver::proto::{Encoding, IdentifyBudget, Raw, SessionStartLimit};
/// use gateway_driver::{DriverConfig, FileIdentifyStore, LocalIdentifyGate};
///
/// // `session_start_limit`, as GET /gateway/bot has just answered.
/// let limit: SessionStartLimit = Raw::new(answer.to_vec(), Encoding::Json).decode()?;
/// let mut budget = IdentifyBudget::default();
/// budget.shards = 4;
/// let store = FileIdentifyStore::in_file("/var/lib/bot/identifies.json");
/// let gate = LocalIdentifyGate::kept_in(store, runtime, budget, &limit)?;
/// gate.on_error(|error| eprintln!("session starts cannot be kept: {error}"));
/// let mut driver = DriverConfig::default();
/// driver.identify_gate = Some(Arc::new(gate));
/// # Ok(())
/// # }
/// ```
pub struct LocalIdentifyGate<R> {
    runtime: R,
    requests: Arc<Mutex<Requests>>,
    keeper: Option<Arc<Keeper>>,
}

/// Writes down session starts, each time with a number that grows.
type Keeper = BackgroundWriter<(), (u64, KeptIdentifies)>;

/// Why there can be no gate.
#[derive(Debug)]
#[non_exhaustive]
pub enum GateError {
    /// The budget cannot be used, or too little of it is left.
    Budget(BudgetError),
    /// What earlier processes have kept cannot be read, or the system has no thread to keep more.
    Store(io::Error),
}

impl<R: Runtime> LocalIdentifyGate<R> {
    /// A gate for `session_start_limit.max_concurrency` of `GET /gateway/bot`. 0 is read as 1.
    ///
    /// As long as nothing else is known, it spends 900 of 1000 session starts in 24 hours, and refuses the next. It knows
    /// of this process only: a bot that is restarted over and over wants [`LocalIdentifyGate::kept_in`].
    pub fn new(runtime: R, max_concurrency: u32) -> Self {
        Self::of(runtime, IdentifyQueue::new(max_concurrency))
    }

    /// A gate for `session_start_limit` of `GET /gateway/bot`, asked for just now. It knows of this process only.
    ///
    /// # Errors
    ///
    /// Where the shards could spend more in a day than the budget leaves them; the error says which field. And, with
    /// [`WhenSpent::Refuse`](gateway_proto::WhenSpent::Refuse), where fewer session starts are left than they need.
    pub fn with_budget(
        runtime: R,
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
    ) -> Result<Self, BudgetError> {
        let queue = IdentifyQueue::with_budget(budget, limit, runtime.now())?;
        Ok(Self::of(runtime, queue))
    }

    /// A gate as by [`LocalIdentifyGate::with_budget`] that counts the session starts of earlier processes too: each is
    /// kept in this store before its permit is given, on a thread that nobody waits for but the shard that asks. Reading what
    /// there is blocks.
    ///
    /// The time in which no process ran counts as the runtime's wall clock tells it. Without one it does not count, nor does
    /// the time between the last permit and a crash.
    ///
    /// A start that cannot be kept is no start. The permit is refused; with
    /// [`WhenSpent::Hold`](gateway_proto::WhenSpent::Hold) it waits, and the store is tried again every five seconds. See
    /// [`LocalIdentifyGate::on_error`].
    ///
    /// # Errors
    ///
    /// As [`LocalIdentifyGate::with_budget`], with the starts of earlier processes counted; and where the store cannot be
    /// read.
    pub fn kept_in(
        store: impl IdentifyStore,
        runtime: R,
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
    ) -> Result<Self, GateError> {
        let mut queue = IdentifyQueue::with_budget(budget.clone(), limit, runtime.now())?;
        if let Some(kept) = store.load().map_err(GateError::Store)? {
            queue.restore(kept.starts(), kept.elapsed(runtime.wall_clock()), runtime.now());
            queue.check_start(runtime.now()).map_err(BudgetError::from)?;
        }
        let mut this = Self::of(runtime.clone(), queue);
        lock(&this.requests).keeping = Some(Keeping::new(budget.when_spent));
        let requests = this.requests.clone();
        let write = move |(): &(), (_, starts): &(u64, KeptIdentifies)| store.save(starts);
        let done = move |(number, _): &(u64, KeptIdentifies), well: bool| {
            let woken = lock(&requests).kept(*number, well, runtime.now());
            wake(woken);
        };
        let keeper = BackgroundWriter::start("identify-keeper", write, done).map_err(GateError::Store)?;
        this.keeper = Some(Arc::new(keeper));
        Ok(this)
    }

    fn of(runtime: R, queue: IdentifyQueue) -> Self {
        Self { runtime, requests: Arc::new(Mutex::new(Requests::new(queue))), keeper: None }
    }

    /// Takes a newer `session_start_limit`. It holds at once, also for those who wait.
    ///
    /// # Errors
    ///
    /// Where the shards could spend more in a day than the budget leaves them. Nothing has changed then.
    pub fn update(&self, limit: &SessionStartLimit) -> Result<(), ConfigError> {
        let woken = {
            let mut requests = lock(&self.requests);
            requests.queue.update(limit, self.runtime.now())?;
            requests.everybody()
        };
        wake(woken);
        Ok(())
    }

    /// How many session starts are left today, those of the reserve among them.
    pub fn remaining(&self) -> u32 {
        lock(&self.requests).queue.remaining(self.runtime.now())
    }

    /// The session starts of the last 24 hours, to be kept for the next process by means of your own: after each permit.
    pub fn snapshot(&self) -> IdentifySnapshot {
        lock(&self.requests).queue.snapshot(self.runtime.now())
    }

    /// Counts the session starts of an earlier process too. `elapsed` is the time since the snapshot was made; zero is
    /// always safe, and right where no clock can be trusted.
    pub fn restore(&self, snapshot: &IdentifySnapshot, elapsed: Duration) {
        let woken = {
            let mut requests = lock(&self.requests);
            requests.queue.restore(snapshot, elapsed, self.runtime.now());
            requests.everybody()
        };
        wake(woken);
    }

    /// Has this called whenever session starts could not be kept, in place of what was set before: on the thread that
    /// writes, which waits for it. A store that panics has failed. Without a store it is never called.
    pub fn on_error(&self, mut on_error: impl FnMut(&io::Error) + Send + 'static) {
        if let Some(keeper) = &self.keeper {
            keeper.on_error(Box::new(move |(), error| on_error(error)));
        }
    }

    /// Waits until everything is kept that is to be. Blocks.
    ///
    /// # Errors
    ///
    /// The last thing that went wrong with the store, if nobody was given it yet.
    pub fn flush(&self) -> io::Result<()> {
        self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.flush())
    }

    /// The last thing that went wrong with the store, if nobody was given it yet. Does not block.
    pub fn take_error(&self) -> Option<io::Error> {
        self.keeper.as_ref()?.take_error()
    }
}

impl<R: Runtime> IdentifyGate for LocalIdentifyGate<R> {
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify {
        let ticket = lock(&self.requests).begin(shard);
        Box::pin(Acquire {
            runtime: self.runtime.clone(),
            timer: Timer::new(self.runtime.clone()),
            requests: self.requests.clone(),
            keeper: self.keeper.clone(),
            ticket,
        })
    }

    fn used(&self, shard: ShardId) {
        // Whoever waits for the key has to wait longer, and finds out when he looks.
        lock(&self.requests).queue.used(shard, self.runtime.now());
    }
}

impl<R> fmt::Debug for LocalIdentifyGate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = lock(&self.requests).queue.waiting();
        f.debug_struct("LocalIdentifyGate").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// A request in the queue, taken back when dropped.
struct Acquire<R: Runtime> {
    runtime: R,
    timer: Timer<R>,
    requests: Arc<Mutex<Requests>>,
    keeper: Option<Arc<Keeper>>,
    ticket: Ticket,
}

impl<R: Runtime> Unpin for Acquire<R> {}

impl<R: Runtime> Future for Acquire<R> {
    type Output = Result<(), IdentifyRefused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let now = this.runtime.now();
            let mut woken = Vec::new();
            let answer = {
                let mut requests = lock(&this.requests);
                let answer = requests.poll(this.ticket, context.waker(), now, &mut woken);
                if let Some(keeper) = &this.keeper
                    && let Some((number, starts)) = requests.take_unkept(now)
                {
                    keeper.put((), (number, KeptIdentifies::new(starts, this.runtime.wall_clock())));
                }
                answer
            };
            wake(woken);
            match answer {
                Answer::Granted => return Poll::Ready(Ok(())),
                Answer::Refused(refused) => return Poll::Ready(Err(refused)),
                Answer::Wait(None) => return Poll::Pending,
                Answer::Wait(Some(deadline)) => std::task::ready!(this.timer.poll_until(deadline, context)),
            }
        }
    }
}

impl<R: Runtime> Drop for Acquire<R> {
    fn drop(&mut self) {
        lock(&self.requests).end(self.ticket);
    }
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(error) => error.fmt(f),
            Self::Store(error) => write!(f, "session starts cannot be kept: {error}"),
        }
    }
}

impl std::error::Error for GateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Budget(error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

impl From<BudgetError> for GateError {
    fn from(error: BudgetError) -> Self {
        Self::Budget(error)
    }
}
