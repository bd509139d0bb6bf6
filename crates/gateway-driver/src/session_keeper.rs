//! Stores sessions on a separate thread, so that events do not wait.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Event, ShardId};

use crate::background_writer::BackgroundWriter;
use crate::store::SessionStore;

/// How often a session is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoints {
    /// After this many dispatches. 0 is read as 1. Default 100.
    pub dispatches: u32,
    /// After this time, when the shard is driven next. Default 1 s.
    pub interval: Duration,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { dispatches: 100, interval: Duration::from_secs(1) }
    }
}

/// Stores the sessions of a process's shards in a [`SessionStore`], so that the next process can resume them.
///
/// The store is called on a separate thread, and shards never wait for it. If it is slow, only the newest session of each
/// shard is written. A session that begins or ends is written immediately, others as the [`Checkpoints`] determine. After
/// a crash, the replay begins at the last written session. With
/// [`Delivery::Acknowledged`](gateway_proto::config::Delivery::Acknowledged) no dispatch is lost; those handled since
/// that session was written are delivered again.
///
/// Errors go to the callback of [`on_error`](SessionKeeper::on_error), and [`take_error`](SessionKeeper::take_error) returns the
/// newest. The next session is written after an error too. Dropping the keeper blocks until everything is written.
///
/// ```no_run
/// # fn keeper(mut config: gateway_driver::proto::ShardConfig) -> std::io::Result<gateway_driver::DriverConfig> {
/// use std::sync::Arc;
/// use gateway_driver::store::{Checkpoints, FileSessionStore, SessionKeeper};
/// use gateway_driver::DriverConfig;
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
    store: Arc<dyn SessionStore>,
    writer: BackgroundWriter<ShardId, Option<SessionSnapshot>>,
    checkpoints: Checkpoints,
}

impl SessionKeeper {
    /// Starts the writing thread.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    pub fn new(store: impl SessionStore, checkpoints: Checkpoints) -> io::Result<Self> {
        let store: Arc<dyn SessionStore> = Arc::new(store);
        let written = store.clone();
        let write = move |shard: &ShardId, session: &Option<_>| written.save(*shard, session.as_ref());
        let writer = BackgroundWriter::start("session-keeper", write, |_, _| {})?;
        Ok(Self { store, writer, checkpoints })
    }

    /// The stored session of a shard. Blocks.
    ///
    /// # Errors
    ///
    /// As [`SessionStore::load`].
    pub fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>> {
        self.store.load(shard)
    }

    /// Queues a session to be stored. Does not block.
    pub fn keep(&self, shard: ShardId, session: Option<SessionSnapshot>) {
        self.writer.put(shard, session);
    }

    /// Waits until everything is written. Blocks.
    ///
    /// # Errors
    ///
    /// The newest error that was not returned yet. Later sessions may have been written. A panic of the store is an error.
    pub fn flush(&self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Takes the newest error that was not returned yet. Does not block.
    pub fn take_error(&self) -> Option<io::Error> {
        self.writer.take_error()
    }

    /// Sets the callback for sessions that could not be stored, in place of an earlier one. The writing thread calls it and
    /// waits for it, so it must not call [`SessionKeeper::flush`].
    pub fn on_error(&self, mut on_error: impl FnMut(ShardId, &io::Error) + Send + 'static) {
        self.writer.on_error(Box::new(move |shard, error| on_error(*shard, error)));
    }
}

impl fmt::Debug for SessionKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeeper").field("checkpoints", &self.checkpoints).finish_non_exhaustive()
    }
}

/// Determines when one shard's session is due to be stored. A [`Shard`](crate::Shard) has its own; use this with a state
/// machine that you drive yourself.
#[derive(Debug)]
pub struct Checkpointer {
    keeper: Arc<SessionKeeper>,
    dispatches: u32,
    last: Instant,
    /// The sequence number of the session stored last, `Some(None)` if none was stored because it had ended. `None`:
    /// store it in any case.
    kept: Option<Option<u64>>,
}

impl Checkpointer {
    /// For one shard, whose session was not stored yet.
    pub fn new(keeper: Arc<SessionKeeper>, now: Instant) -> Self {
        Self { keeper, dispatches: 0, last: now, kept: None }
    }

    /// Whether the session should be stored after this event.
    pub fn is_due_after(&mut self, event: &Event) -> bool {
        match event {
            Event::Dispatch(_) => {
                self.dispatches = self.dispatches.saturating_add(1);
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

    /// Whether the session should be stored at this time.
    pub fn is_due_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= self.keeper.checkpoints.interval
    }

    /// Passes the session to the keeper, unless it is unchanged. Does not block.
    pub fn keep(&mut self, shard: ShardId, session: Option<SessionSnapshot>, now: Instant) {
        (self.dispatches, self.last) = (0, now);
        let sequence = session.as_ref().map(SessionSnapshot::sequence);
        if self.kept != Some(sequence) {
            self.keeper.keep(shard, session);
            self.kept = Some(sequence);
        }
    }
}
