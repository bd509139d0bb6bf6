//! A handle to a shard for other tasks and threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use gateway_proto::command::SendError;
use gateway_proto::health::{Health, Stats};
use gateway_proto::raw::Connection;
use gateway_proto::session::{AckError, DispatchKey, SessionSnapshot};
use gateway_proto::{Command, Reconnect, Shutdown};

/// Controls a shard from any task or thread. Clones control the same shard.
///
/// No method blocks: it checks and stores the request, and the shard performs it when it is driven next.
#[derive(Clone)]
pub struct Sender {
    pub(crate) shared: Arc<Shared>,
}

impl Sender {
    /// Sends a command, as soon as the session and the rate limit allow it.
    ///
    /// # Errors
    ///
    /// If the command can never be sent, or too many are queued. Nothing changes then. A shard that has stopped or was
    /// dropped returns [`SendError::Stopped`].
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        if state.dropped {
            return Err(SendError::Stopped);
        }
        state.connection.send(command)?;
        state.wake();
        Ok(())
    }

    /// Acknowledges **all** dispatches up to this sequence number, in the order of delivery. Requires
    /// [`Delivery::Acknowledged`](gateway_proto::config::Delivery::Acknowledged): see [`gateway_proto::Shard::ack`].
    ///
    /// # Errors
    ///
    /// If no dispatch with this number was delivered, or the shard expects no acknowledgements. Nothing changes then.
    pub fn ack(&self, sequence: u64) -> Result<(), AckError> {
        self.shared.lock().connection.ack(sequence)
    }

    /// Acknowledges all dispatches of a session up to this one, in any order of such calls: see
    /// [`gateway_proto::Shard::ack_up_to`] and [`gateway_proto::session::AckTracker`].
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&self, key: DispatchKey) -> Result<(), AckError> {
        self.shared.lock().connection.ack_up_to(key)
    }

    /// Sends a heartbeat as soon as the rate limit allows, before any command, on an open session; otherwise does
    /// nothing. See [`gateway_proto::Shard::heartbeat`] for what its acknowledgement proves.
    pub fn heartbeat(&self) {
        let mut state = self.shared.lock();
        state.connection.heartbeat();
        state.wake();
    }

    /// Wakes the task that drives the shard, for an [`EventSink`](crate::task::EventSink) that was closed.
    pub fn wake(&self) {
        self.shared.lock().wake();
    }

    /// Shuts the shard down. [`Shutdown::Resumable`] keeps the session alive for [`Sender::session`];
    /// [`Shutdown::LogOff`] ends it.
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

    /// The current session, for a later process to resume. It is a secret.
    pub fn session(&self) -> Option<SessionSnapshot> {
        self.shared.lock().connection.session()
    }

    /// Counters since the shard was created.
    pub fn stats(&self) -> Stats {
        self.shared.lock().connection.stats().clone()
    }

    /// The health of the shard.
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

    /// Marks the shard as dropped: no task drives it.
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
