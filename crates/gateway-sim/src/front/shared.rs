//! State shared by the tasks of a server and its callers: the gateway behind a lock, and the queues of the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_listener::{Event, EventListener};
use serde_json::Value;
use smol::channel::Sender;
use smol::net::TcpStream;
use smol::{Timer, future};

use super::clock::Clock;
#[cfg(feature = "tls")]
use super::tls::Identity;
use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::gateway::Gateway;
use crate::io::{ConnectionId, Output};
use crate::trace::Record;

/// The most queued bytes for a client that does not read; more end the connection.
const QUEUE_LIMIT: usize = 256 * 1024 * 1024;
/// The time in which the listeners must close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    /// The addresses on which the server listens: for everything, and optionally for Resume.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether `/_ctl/` is answered.
    pub(super) control: bool,
    #[cfg(feature = "tls")]
    pub(super) identity: Option<Identity>,
    state: Mutex<State>,
    /// Notified of each step.
    changed: Event,
    /// Notified when the next deadline is earlier than the one being waited for.
    earlier: Event,
    /// Notified when the gateway goes down or comes up again.
    turned: Event,
    clock: Clock,
}

pub(super) struct State {
    pub(super) gateway: Gateway,
    peers: BTreeMap<ConnectionId, Peer>,
    trace: Option<Box<dyn Write + Send>>,
    observer: Option<Observer>,
    started: Instant,
    /// The deadline being waited for.
    armed: Option<Instant>,
    /// The addresses at which connects are accepted at present.
    pub(super) listening: BTreeSet<SocketAddr>,
}

/// Receives each record of the trace.
pub type Observer = Box<dyn FnMut(&Record) + Send>;

/// The queue of a connection's task.
pub(super) struct Peer {
    pub(super) queue: Sender<Output>,
    /// The bytes of the payloads in the queue.
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) tcp: TcpStream,
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
                trace,
                observer,
                started: clock.started(),
                armed: None,
                listening: BTreeSet::new(),
            }),
            changed: Event::new(),
            earlier: Event::new(),
            turned: Event::new(),
            clock,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// The URL for Resume if this is its address.
    pub(super) fn resume_url_of(&self, address: SocketAddr) -> Option<String> {
        let own = self.addresses.get(1) == Some(&address);
        own.then(|| self.lock().gateway.config().resume_url.clone()).flatten()
    }

    /// Calls `work` with the gateway, then passes on the outputs.
    pub(super) fn step<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let was_down = state.gateway.is_down();
        let result = work(&mut state, self.clock.now());
        state.settle();
        let earlier = match (state.gateway.poll_timeout(), state.armed) {
            (Some(next), Some(armed)) => next < armed,
            (next, armed) => next.is_some() && armed.is_none(),
        };
        let turned = state.gateway.is_down() != was_down;
        drop(state);
        if earlier {
            self.earlier.notify(usize::MAX);
        }
        if turned {
            self.turned.notify(usize::MAX);
        }
        self.changed.notify(usize::MAX);
        result
    }

    /// Calls `look` with the gateway as of now.
    pub(super) fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.step(|state, now| {
            state.gateway.handle_timeout(now);
            look(state)
        })
    }

    /// Performs a control command. When a command that takes the gateway down returns, connects are refused.
    pub(super) async fn control(&self, target: Target, control: Control) -> Result<Value, ControlError> {
        let goes_down = matches!(control, Control::Down { .. });
        let answer = self.step(|state, now| state.gateway.control(target, control, now))?;
        if goes_down {
            let closed =
                |state: &mut State| (state.listening.is_empty() || !state.gateway.is_down()).then_some(());
            self.until(CLOSE_LIMIT, closed).await;
        }
        Ok(answer)
    }

    /// Waits until `look` returns a value. It is called after each step. `None` after `limit`.
    pub(super) async fn until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let found = async {
            loop {
                let changed = self.changed.listen();
                let found = look(&mut self.lock());
                if found.is_some() {
                    return found;
                }
                changed.await;
            }
        };
        let late = async {
            Timer::after(limit).await;
            None
        };
        future::or(found, late).await
    }

    /// Completes when the gateway goes down or comes up again after this call.
    pub(super) fn turned(&self) -> EventListener {
        self.turned.listen()
    }

    /// Waits for the gateway's deadlines and fires them.
    pub(super) async fn keep_time(&self) {
        loop {
            let earlier = self.earlier.listen();
            match self.arm() {
                None => earlier.await,
                Some(wait) if wait.is_zero() => {
                    self.step(|state, now| state.gateway.handle_timeout(now));
                    // Other tasks run even if the gateway is always late.
                    future::yield_now().await;
                }
                Some(wait) => {
                    let due = async {
                        Timer::after(wait).await;
                    };
                    future::or(earlier, due).await;
                }
            }
        }
    }

    /// The time until the next deadline. From now on an earlier one is reported.
    fn arm(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.armed = state.gateway.poll_timeout();
        let time = state.armed?.saturating_duration_since(self.clock.now());
        // Rounded up: a wait that ends just before the deadline would have to be repeated.
        Some(self.clock.wait(time) + Duration::from_nanos(u64::from(!time.is_zero())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A caller that panicked while it held the lock fails its own test; the server continues.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn add_peer(&mut self, id: ConnectionId, peer: Peer) {
        self.peers.insert(id, peer);
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
                // A trace that cannot be written does not end the simulation.
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
            // The task sees the end of the stream, unless it has already.
            let _ = self.tcp.shutdown(Shutdown::Both);
        }
        // A task that has ended has closed the connection.
        let _ = self.queue.try_send(output);
    }
}
