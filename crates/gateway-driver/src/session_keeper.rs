//! Sessions on their way to a store, off the path of the events.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_proto::{Event, SessionSnapshot, ShardId};

use crate::SessionStore;

/// How often a session is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoints {
    /// After this many dispatches. 0 is read as 1. Default 100.
    pub dispatches: u32,
    /// After this time, whenever the shard is driven. Default 1 s.
    pub interval: Duration,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { dispatches: 100, interval: Duration::from_secs(1) }
    }
}

/// Keeps the sessions of a process's shards in a [`SessionStore`], so that the next process can resume them.
///
/// The store is called on a thread of its own, and never waited for. If it is slow, only the newest session of each shard
/// is written. A session that begins or ends is written at once, others as the [`Checkpoints`] say. After a crash, the
/// replay begins at the last one written: with [`Delivery::Acknowledged`](gateway_proto::Delivery::Acknowledged) nothing is
/// lost, and what was handled since comes twice.
///
/// ```no_run
/// # fn keeper(mut config: gateway_driver::proto::ShardConfig) -> std::io::Result<gateway_driver::DriverConfig> {
/// use std::sync::Arc;
/// use gateway_driver::{Checkpoints, DriverConfig, FileSessionStore, SessionKeeper};
///
/// let store = FileSessionStore::in_folder("/var/lib/bot");
/// let keeper = Arc::new(SessionKeeper::new(store, Checkpoints::default())?);
/// config.session = keeper.load(config.shard)?;
/// let mut driver = DriverConfig::default();
/// driver.session_keeper = Some(keeper);
/// # Ok(driver)
/// # }
/// ```
pub struct SessionKeeper {
    shared: Arc<Shared>,
    checkpoints: Checkpoints,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Box<dyn SessionStore>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is to be written.
    waiting: BTreeMap<ShardId, Option<SessionSnapshot>>,
    /// Something is being written.
    busy: bool,
    ending: bool,
    error: Option<io::Error>,
}

impl SessionKeeper {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// Where the system has no thread to give.
    pub fn new(store: impl SessionStore, checkpoints: Checkpoints) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { store: Box::new(store), state: Mutex::default(), changed: Condvar::new() });
        let writer = shared.clone();
        let thread =
            std::thread::Builder::new().name("session-keeper".to_owned()).spawn(move || writer.write())?;
        Ok(Self { shared, checkpoints, thread: Some(thread) })
    }

    /// The session that was kept last for a shard. Blocks.
    ///
    /// # Errors
    ///
    /// As [`SessionStore::load`].
    pub fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>> {
        self.shared.store.load(shard)
    }

    /// Has a session kept. Does not block.
    pub fn keep(&self, shard: ShardId, session: Option<SessionSnapshot>) {
        self.shared.lock().waiting.insert(shard, session);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written. Blocks.
    ///
    /// # Errors
    ///
    /// The last thing that went wrong since this was last asked. Later sessions may have been written all the same.
    pub fn flush(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.busy || !state.waiting.is_empty() {
            state = self.shared.wait(state);
        }
        state.error.take().map_or(Ok(()), Err)
    }
}

impl Shared {
    /// What the thread does.
    fn write(&self) {
        let mut state = self.lock();
        loop {
            if let Some((shard, session)) = state.waiting.pop_first() {
                state.busy = true;
                drop(state);
                let result = self.store.save(shard, session.as_ref());
                state = self.lock();
                state.busy = false;
                if let Err(error) = result {
                    state.error = Some(error);
                }
                self.changed.notify_all();
            } else if state.ending {
                return;
            } else {
                state = self.wait(state);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until everything is written.
impl Drop for SessionKeeper {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A store that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SessionKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeeper").field("checkpoints", &self.checkpoints).finish_non_exhaustive()
    }
}

/// When a shard's session is due to be kept.
pub(crate) struct Checkpointer {
    keeper: Arc<SessionKeeper>,
    dispatches: u32,
    last: Instant,
    /// The sequence number of what was kept last, if it was a session. None: it is to be kept whatever it is.
    kept: Option<Option<u64>>,
}

impl Checkpointer {
    pub(crate) fn new(keeper: Arc<SessionKeeper>, now: Instant) -> Self {
        Self { keeper, dispatches: 0, last: now, kept: None }
    }

    /// Whether the session should be kept now, that this event has come.
    pub(crate) fn is_due_after(&mut self, event: &Event) -> bool {
        match event {
            Event::Dispatch(_) => {
                self.dispatches += 1;
                self.dispatches >= self.keeper.checkpoints.dispatches
            }
            // A session has begun, or may have ended.
            Event::Ready | Event::Disconnected(_) => {
                self.kept = None;
                true
            }
            _ => false,
        }
    }

    /// Whether it should be kept because of the time.
    pub(crate) fn is_due_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= self.keeper.checkpoints.interval
    }

    pub(crate) fn keep(&mut self, shard: ShardId, session: Option<SessionSnapshot>, now: Instant) {
        (self.dispatches, self.last) = (0, now);
        let sequence = session.as_ref().map(SessionSnapshot::sequence);
        if self.kept != Some(sequence) {
            self.keeper.keep(shard, session);
            self.kept = Some(sequence);
        }
    }
}
