//! A handle to a shard for other tasks and threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use gateway_proto::command::SendError;
use gateway_proto::health::{Health, Stats};
use gateway_proto::raw::Connection;
use gateway_proto::session::{AckError, DispatchKey, SessionSnapshot};
use gateway_proto::{Command, Reconnect, Shutdown};

/// Talks to a shard from any task or thread. Clones talk to the same shard.
///
/// Nothing here waits: what is asked for is checked and noted, and happens when the shard is driven next.
#[derive(Clone)]
pub struct Sender {
    pub(crate) shared: Arc<Shared>,
}

impl Sender {
    /// Sends a command, as soon as the session and the rate limit allow it.
    ///
    /// # Errors
    ///
    /// Where the command can never be sent, or too many wait already. Nothing has changed then. A shard that has
    /// stopped or was dropped says [`SendError::Stopped`].
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        if state.dropped {
            return Err(SendError::Stopped);
        }
        state.connection.send(command)?;
        state.wake();
        Ok(())
    }

    /// Acknowledges **all** dispatches up to this sequence number, in the order of delivery. Only with [`Delivery::Acknowledged`](gateway_proto::config::Delivery::Acknowledged): see [`gateway_proto::Shard::ack`].
    ///
    /// # Errors
    ///
    /// Where no dispatch with this number was given out, or the shard awaits no acknowledgements. Nothing has changed
    /// then.
    pub fn ack(&self, sequence: u64) -> Result<(), AckError> {
        self.shared.lock().connection.ack(sequence)
    }

    /// Acknowledges all dispatches of a session up to this one, whatever order such calls come in: see
    /// [`gateway_proto::Shard::ack_up_to`] and [`gateway_proto::session::AckTracker`].
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&self, key: DispatchKey) -> Result<(), AckError> {
        self.shared.lock().connection.ack_up_to(key)
    }

    /// Sends a heartbeat as soon as the rate limit allows, before any command, on an open session; otherwise nothing happens. See
    /// [`gateway_proto::Shard::heartbeat`] for what its acknowledgement proves.
    pub fn heartbeat(&self) {
        let mut state = self.shared.lock();
        state.connection.heartbeat();
        state.wake();
    }

    /// Wakes the task that drives the shard, for an [`EventSink`](crate::task::EventSink) that was closed.
    pub fn wake(&self) {
        self.shared.lock().wake();
    }

    /// Ends the shard. [`Shutdown::Resumable`] leaves the session alive for [`Sender::session`];
    /// [`Shutdown::LogOff`] ends it too.
    pub fn shutdown(&self, how: Shutdown) {
        let mut state = self.shared.lock();
        state.connection.shutdown(how);
        state.shutting_down = true;
        state.wake();
    }

    /// Replaces the connection, or ends the wait before the next one.
    pub fn reconnect(&self, how: Reconnect) {
        let mut state = self.shared.lock();
        state.connection.reconnect(how);
        state.wake();
    }

    /// The session as it stands, to be resumed by a later process. Keep it where secrets are kept.
    pub fn session(&self) -> Option<SessionSnapshot> {
        self.shared.lock().connection.session()
    }

    /// Counters since the shard was made.
    pub fn stats(&self) -> Stats {
        self.shared.lock().connection.stats().clone()
    }

    /// How the shard is doing.
    pub fn health(&self) -> Health {
        self.shared.lock().connection.health()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The state machine, shared by the driver and its senders.
pub(crate) struct Shared {
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) connection: Connection,
    /// Wakes the task that drives the shard.
    waker: Option<Waker>,
    pub(crate) shutting_down: bool,
    dropped: bool,
}

impl Shared {
    pub(crate) fn new(connection: Connection) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { connection, waker: None, shutting_down: false, dropped: false }),
        })
    }

    /// Locks the state, also after a panic of another thread that held the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Shared::lock`], for the task that drives the shard. Senders wake it.
    pub(crate) fn lock_to_drive(&self, waker: &Waker) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        state
    }

    /// Marks the shard as dropped: no task drives it any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.dropped = true;
        state.waker = None;
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
