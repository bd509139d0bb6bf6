//! What the threads share: the gateway behind a lock, and the queues of the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::socket::Socket;
#[cfg(feature = "tls")]
use super::tls::Identity;
use crate::gateway::{ConnectionId, Gateway, Output};
use crate::trace::Record;

/// Bytes that may wait for a client that does not read; more end the connection.
const QUEUE_LIMIT: usize = 256 * 1024 * 1024;

pub(super) struct Shared {
    /// Where the server listens: for everything, and perhaps for Resume.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether `/_ctl/` is answered.
    pub(super) control: bool,
    #[cfg(feature = "tls")]
    pub(super) identity: Option<Identity>,
    state: Mutex<State>,
    /// Something happened that somebody may wait for.
    changed: Condvar,
    /// The next deadline is earlier than the one that is waited for.
    earlier: Condvar,
    clock: Clock,
}

/// The clock of the gateway: as fast as the wall's, or faster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    speed: u32,
}

impl Clock {
    /// A clock that begins now and runs `speed` times as fast as the wall's.
    pub(super) fn start(speed: u32) -> Self {
        Self { started: now(), speed: speed.max(1) }
    }

    pub(super) fn started(self) -> Instant {
        self.started
    }

    pub(super) fn now(self) -> Instant {
        self.started + (now() - self.started) * self.speed
    }

    /// How long to wait for so much time to pass on this clock.
    pub(super) fn wait(self, time: Duration) -> Duration {
        time / self.speed
    }
}

pub(super) struct State {
    pub(super) gateway: Gateway,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Every open socket, to end them all at the end.
    sockets: BTreeMap<u64, Socket>,
    socket_count: u64,
    trace: Option<Box<dyn Write + Send>>,
    observer: Option<Observer>,
    started: Instant,
    pub(super) stopping: bool,
    /// The deadline that the clock's thread waits for.
    armed: Option<Instant>,
    /// Where connects are accepted just now.
    pub(super) listening: BTreeSet<SocketAddr>,
}

/// Is told of each record of the trace.
pub type Observer = Box<dyn FnMut(&Record) + Send>;

/// The writing side of a connection.
pub(super) struct Peer {
    pub(super) queue: Sender<Command>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) socket: Socket,
}

/// What a writer thread is to do.
pub(super) enum Command {
    Output(Output),
    /// Bytes of the WebSocket layer: pongs.
    Bytes(Vec<u8>),
}

impl Shared {
    pub(super) fn new(
        gateway: Gateway,
        clock: Clock,
        trace: Option<Box<dyn Write + Send>>,
        observer: Option<Observer>,
    ) -> Self {
        Self {
            addresses: Vec::new(),
            control: false,
            #[cfg(feature = "tls")]
            identity: None,
            state: Mutex::new(State {
                gateway,
                peers: BTreeMap::new(),
                sockets: BTreeMap::new(),
                socket_count: 0,
                trace,
                observer,
                started: clock.started(),
                stopping: false,
                armed: None,
                listening: BTreeSet::new(),
            }),
            changed: Condvar::new(),
            earlier: Condvar::new(),
            clock,
        }
    }

    /// The URL for Resume, if this is its address.
    pub(super) fn resume_url_of(&self, address: SocketAddr) -> Option<String> {
        let own = self.addresses.get(1) == Some(&address);
        own.then(|| self.lock().gateway.config().resume_url.clone()).flatten()
    }

    /// Does something to the gateway, then passes on what came of it.
    pub(super) fn step<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state, self.clock.now());
        state.settle();
        let earlier = match (state.gateway.poll_timeout(), state.armed) {
            (Some(next), Some(armed)) => next < armed,
            (next, armed) => next.is_some() && armed.is_none(),
        };
        drop(state);
        if earlier {
            self.earlier.notify_all();
        }
        self.changed.notify_all();
        result
    }

    /// Waits until `look` finds what it is after, or `limit` has passed, or the server stops.
    pub(super) fn wait<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let deadline = now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(now())?;
            if state.stopping {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Fires the deadlines of the gateway until the server stops.
    pub(super) fn keep_time(&self) {
        let mut state = self.lock();
        while !state.stopping {
            let next = state.gateway.poll_timeout();
            let time = next.map(|next| next.saturating_duration_since(self.clock.now()));
            // Rounded up: a wait that ends just before the deadline would have to be repeated.
            let wait =
                time.map(|time| self.clock.wait(time) + Duration::from_nanos(u64::from(!time.is_zero())));
            if wait.is_some_and(|wait| wait.is_zero()) {
                state.gateway.handle_timeout(self.clock.now());
                state.settle();
                self.changed.notify_all();
                continue;
            }
            state.armed = next;
            state = match wait {
                Some(wait) => {
                    self.earlier.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.earlier.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Ends every connection and every thread.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.peers.clear();
        state.sockets.values().for_each(Socket::end);
        drop(state);
        self.earlier.notify_all();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it held the lock fails its own test; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn add_peer(&mut self, id: ConnectionId, peer: Peer) {
        self.peers.insert(id, peer);
    }

    /// Connects are accepted there from now on. False once the server stops.
    pub(super) fn listen_at(&mut self, address: SocketAddr) -> bool {
        self.listening.insert(address);
        !self.stopping
    }

    /// Remembers a socket until [`remove_socket`](Self::remove_socket).
    pub(super) fn add_socket(&mut self, socket: Socket) -> u64 {
        if self.stopping {
            socket.end();
        }
        self.socket_count += 1;
        self.sockets.insert(self.socket_count, socket);
        self.socket_count
    }

    pub(super) fn remove_socket(&mut self, number: u64) {
        self.sockets.remove(&number);
    }

    fn settle(&mut self) {
        while let Some((id, output)) = self.gateway.poll_output() {
            let last = matches!(output, Output::Refuse(_) | Output::Drop | Output::Abort | Output::Cut(_));
            if let Some(peer) = self.peers.get(&id) {
                peer.push(output);
            }
            if last {
                self.peers.remove(&id);
            }
        }
        let mut wrote = false;
        while let Some(record) = self.gateway.poll_record() {
            if let Some(observer) = &mut self.observer {
                observer(&record);
            }
            if let Some(trace) = &mut self.trace {
                // A trace that cannot be written is no reason to end the simulation.
                let _ = writeln!(trace, "{}", record.to_json(self.started));
                wrote = true;
            }
        }
        if wrote && let Some(trace) = &mut self.trace {
            let _ = trace.flush();
        }
    }
}

impl Peer {
    fn push(&self, output: Output) {
        if let Output::Send(message) = &output
            && self.queued.fetch_add(message.payload.len(), Ordering::Relaxed) > QUEUE_LIMIT
        {
            self.socket.end();
        }
        // A writer that is gone has ended the connection; its reader will say so.
        let _ = self.queue.send(Command::Output(output));
    }
}

/// The only source of time of the simulator.
#[expect(clippy::disallowed_methods, reason = "the front is where time comes from")]
pub(super) fn now() -> Instant {
    Instant::now()
}
