//! A shard on a runtime: one poll function that moves the state machine, the byte stream and the clock.

use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::stream::FusedStream;
use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::health::{Health, Phase, Stats};
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::session::{AckError, DispatchKey, SessionSnapshot};
use gateway_proto::{Command, Event, GatewayUrl, Reconnect, ShardConfig, ShardId, Shutdown, StopReason};

use crate::budget::Budget;
use crate::dial::{Dialer, Dialing};
use crate::gate::{IdentifyGate, LocalIdentifyGate};
use crate::identify::AcquiringIdentify;
use crate::link::Link;
use crate::sender::Shared;
use crate::session_keeper::Checkpointer;
use crate::timer::Timer;
use crate::tls::default_client_config;
use crate::{BuildError, DriverConfig, Runtime, Sender};

/// The shortest time between two readings of the wall clock.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// A shard of a bot: connects, identifies, sends heartbeats, resumes.
///
/// It works only while it is polled, as a [`Stream`](futures_core::Stream) or by [`Shard::next_event`]. If a handler may
/// take longer than a few seconds, run the shard in the background: [`Shard::background`].
///
/// The shard holds all state: its futures may be dropped at any point, and nothing is lost. Dropping the shard closes its
/// socket; the session can then be resumed for some minutes.
pub struct Shard<R> {
    runtime: R,
    dialer: Dialer<R>,
    gate: Arc<dyn IdentifyGate>,
    id: ShardId,
    shared: Arc<Shared>,
    stream: Stream,
    permit: Option<AcquiringIdentify>,
    /// An Identify was sent, and neither READY nor the end of the connection has followed.
    identified: bool,
    checkpointer: Option<Checkpointer>,
    timer: Timer<R>,
    budget: Budget,
    clock: Clock,
    /// The deadline that the state machine returned last.
    deadline: Instant,
    reading: Reading,
    stopped: Option<StopReason>,
}

/// Provides the time of every input.
#[derive(Default)]
struct Clock {
    /// When the machine last received the wall clock.
    given: Option<Instant>,
}

impl Clock {
    /// The time of the next input. Passes the wall clock to the machine first if it is due: the input may come from a
    /// connection that went stale while the machine was suspended.
    fn tick(&mut self, runtime: &impl Runtime, connection: &mut Connection) -> Instant {
        let now = runtime.now();
        let is_due = self.given.is_none_or(|given| now >= given + CLOCK_EVERY);
        if is_due && let Some(since_1970) = runtime.wall_clock() {
            self.given = Some(now);
            connection.handle_input(Input::WallClock(since_1970), now);
        }
        now
    }
}

/// The state of the byte stream.
enum Stream {
    None,
    Dialing(Dialing),
    Open(Box<Link>),
}

/// Whether the socket is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    /// The application has no room for more events.
    Paused,
}

impl<R: Runtime + Default> Shard<R> {
    /// Creates a shard. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// If a field of the configuration cannot be used, or if the URL requires TLS and no crypto provider or no root
    /// certificates are compiled in.
    pub fn new(config: ShardConfig) -> Result<Self, BuildError> {
        Self::with(R::default(), config, DriverConfig::default())
    }
}

impl<R: Runtime> Shard<R> {
    /// Creates a shard on this runtime, with a configuration of the driver. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// As [`Shard::new`].
    pub fn with(runtime: R, mut config: ShardConfig, mut driver: DriverConfig) -> Result<Self, BuildError> {
        config.seed.get_or_insert_with(entropy);
        let (id, url) = (config.shard, GatewayUrl::parse(&config.url));
        let now = runtime.now();
        let connection = match driver.transcript.take() {
            None => Connection::new(config, now)?,
            Some(transcript) => {
                let taken =
                    || ConfigError::new("transcript", "another shard writes to it; give each shard its own");
                let writer = transcript.take().ok_or_else(taken)?;
                Connection::with_transcript(config, now, writer)?
            }
        };
        if driver.tls.is_none() && url.is_ok_and(|url| url.is_tls()) {
            driver.tls = Some(default_client_config()?);
        }
        let gate = match driver.identify_gate.take() {
            Some(gate) => gate,
            None => Arc::new(LocalIdentifyGate::new(runtime.clone(), 1)),
        };
        let checkpointer =
            driver.session_keeper.take().map(|keeper| Checkpointer::new(keeper, runtime.now()));
        Ok(Self {
            dialer: Dialer::new(runtime.clone(), &driver),
            gate,
            id,
            shared: Shared::new(connection),
            stream: Stream::None,
            permit: None,
            identified: false,
            checkpointer,
            timer: Timer::new(runtime.clone()),
            budget: Budget::default(),
            clock: Clock::default(),
            deadline: now,
            reading: Reading::On,
            stopped: None,
            runtime,
        })
    }

    /// The next event. `None` once the shard has stopped for good: see [`Shard::stop_reason`].
    ///
    /// Cancel-safe: the future may be dropped at any point.
    ///
    /// Yields to other tasks however much the server sends: after 128 events and inputs in a row it returns `Pending`
    /// once, with the task woken, although an event may be ready. A `Pending` seen by `now_or_never`, `poll_immediate` or
    /// a manual poll therefore does not mean that there is no event.
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// A handle for other tasks and threads.
    pub fn sender(&self) -> Sender {
        Sender { shared: self.shared.clone() }
    }

    /// Sends a command, as soon as the session and the rate limit allow it.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.sender().send(command)
    }

    /// Acknowledges **all** dispatches up to this sequence number.
    ///
    /// # Errors
    ///
    /// As [`Sender::ack`].
    pub fn ack(&self, sequence: u64) -> Result<(), AckError> {
        self.sender().ack(sequence)
    }

    /// Acknowledges all dispatches of a session up to this one.
    ///
    /// # Errors
    ///
    /// As [`Sender::ack_up_to`].
    pub fn ack_up_to(&self, key: DispatchKey) -> Result<(), AckError> {
        self.sender().ack_up_to(key)
    }

    /// Shuts the shard down: keep polling until the events end. See [`Sender::shutdown`].
    pub fn shutdown(&self, how: Shutdown) {
        self.sender().shutdown(how);
    }

    /// Replaces the connection, or ends the wait before the next one.
    pub fn reconnect(&self, how: Reconnect) {
        self.sender().reconnect(how);
    }

    /// The current session, for a later process to resume. It is a secret.
    pub fn session(&self) -> Option<SessionSnapshot> {
        self.sender().session()
    }

    /// Counters since the shard was created.
    pub fn stats(&self) -> Stats {
        self.sender().stats()
    }

    /// The health of the shard.
    pub fn health(&self) -> Health {
        self.sender().health()
    }

    /// Why the events have ended. `None` while they have not.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    /// Drives the shard until it has an event, must wait, or has used up its budget.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.stopped.is_some() {
            return Poll::Ready(None);
        }
        self.keep_session_in_time();
        let polled = self.poll_steps(context);
        if polled.is_pending() {
            self.budget.renew();
        }
        polled
    }

    fn poll_steps(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if self.budget.poll_step(context).is_pending() {
                // A server that sends pings, or a message without end, must not delay a timeout.
                if self.runtime.now() >= self.deadline {
                    self.handle_input(Input::Timeout);
                }
                return Poll::Pending;
            }
            match self.next_output(context) {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    if let Some(input) = ready!(self.poll_input(context)) {
                        self.handle_input(input);
                    }
                }
                output => {
                    if let ControlFlow::Break(event) = self.act_on(output, context) {
                        return Poll::Ready(event);
                    }
                }
            }
        }
    }

    /// The next output of the state machine. First passes on the bytes that were read, and writes the machine's bytes:
    /// during a burst the machine is locked once for each event.
    fn next_output(&mut self, context: &mut Context<'_>) -> Output {
        let mut state = self.shared.lock_to_drive(context.waker());
        let connection = &mut state.connection;
        let Stream::Open(link) = &mut self.stream else { return connection.poll_output() };
        if link.has_unread() && self.reading == Reading::On && !connection.has_output() {
            let now = self.clock.tick(&self.runtime, connection);
            link.hand_over(connection, now);
        }
        let output = connection.poll_output();
        link.write(connection, context);
        output
    }

    /// Performs an output. Breaks if the application receives something.
    fn act_on(&mut self, output: Output, context: &mut Context<'_>) -> ControlFlow<Option<Event>> {
        match output {
            Output::Event(event) => {
                self.notify_gate(&event);
                self.keep_session_after(&event);
                return ControlFlow::Break(Some(event));
            }
            Output::Connect(url) => self.stream = Stream::Dialing(self.dialer.dial(url)),
            Output::AcquireIdentify => self.permit = Some(self.gate.acquire(self.id)),
            Output::CancelIdentify => self.permit = None,
            Output::ShutDown => {
                if let Stream::Open(link) = std::mem::replace(&mut self.stream, Stream::None) {
                    link.close(context);
                }
            }
            // The caller handles it.
            Output::Timeout(_) => {}
            Output::Stopped(reason) => {
                (self.permit, self.stopped) = (None, Some(reason));
                self.keep_session();
                return ControlFlow::Break(None);
            }
        }
        ControlFlow::Continue(())
    }

    /// Reports the use of its permit to the gate.
    fn notify_gate(&mut self, event: &Event) {
        match event {
            // The Identify is written before this event, so that the spacing counts from the time of sending.
            Event::Identifying => {
                self.identified = true;
                self.gate.used(self.id);
            }
            Event::Ready => self.identified = false,
            Event::Disconnected(_) if self.identified => {
                self.identified = false;
                self.gate.failed(self.id);
            }
            _ => {}
        }
    }

    fn keep_session_after(&mut self, event: &Event) {
        if self.checkpointer.as_mut().is_some_and(|checkpointer| checkpointer.is_due_after(event)) {
            self.keep_session();
        }
    }

    fn keep_session_in_time(&mut self) {
        if let Some(checkpointer) = &self.checkpointer
            && checkpointer.is_due_at(self.runtime.now())
        {
            self.keep_session();
        }
    }

    /// Passes the session to the keeper. Does not block.
    fn keep_session(&mut self) {
        if let Some(checkpointer) = &mut self.checkpointer {
            let session = self.shared.lock().connection.session();
            checkpointer.keep(self.id, session, self.runtime.now());
        }
    }

    /// Stops or resumes reading the stream. All other work continues.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        if self.reading != reading {
            self.reading = reading;
            self.handle_input(match reading {
                Reading::On => Input::ReadingResumed,
                Reading::Paused => Input::ReadingPaused,
            });
        }
    }

    /// Whether a WebSocket is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stream, Stream::Open(_)) && self.shared.lock().connection.phase() != Phase::Connecting
    }

    /// Whether the application has requested a shutdown.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shared.lock().shutting_down
    }

    /// Waits for the next input of the state machine. `None` if there are bytes for it.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Option<Input>> {
        if let Some(permit) = &mut self.permit
            && let Poll::Ready(answer) = permit.as_mut().poll(context)
        {
            self.permit = None;
            return Poll::Ready(Some(match answer {
                Ok(()) => Input::IdentifyGranted,
                Err(refused) => Input::IdentifyRefused(refused),
            }));
        }
        // The stream comes before the clock: bytes already received arrived in time, and must not be taken for silence
        // because the shard was not polled. `poll_steps` keeps them from delaying a timeout.
        if let Poll::Ready(input) = self.poll_stream(context) {
            return Poll::Ready(input);
        }
        self.timer.poll_until(self.deadline, context).map(|()| Some(Input::Timeout))
    }

    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<Option<Input>> {
        match &mut self.stream {
            Stream::None => Poll::Pending,
            Stream::Dialing(dialing) => match ready!(dialing.as_mut().poll(context)) {
                Ok(stream) => {
                    self.stream = Stream::Open(Box::new(Link::new(stream)));
                    Poll::Ready(Some(Input::Opened))
                }
                Err(error) => {
                    self.stream = Stream::None;
                    Poll::Ready(Some(Input::ConnectFailed(error)))
                }
            },
            Stream::Open(_) if self.reading == Reading::Paused => Poll::Pending,
            Stream::Open(link) if link.has_unread() => Poll::Ready(None),
            Stream::Open(link) => link.poll_read(context),
        }
    }

    /// Passes an input to the state machine.
    fn handle_input(&mut self, input: Input) {
        let mut state = self.shared.lock();
        let now = self.clock.tick(&self.runtime, &mut state.connection);
        state.connection.handle_input(input, now);
    }
}

impl<R> Unpin for Shard<R> {}

impl<R: Runtime> futures_core::Stream for Shard<R> {
    type Item = Event;

    /// Yields as [`Shard::next_event`] does: after 128 events and inputs in a row it returns `Pending` once, with the
    /// task woken, although an event may be ready.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl<R: Runtime> FusedStream for Shard<R> {
    fn is_terminated(&self) -> bool {
        self.stopped.is_some()
    }
}

impl<R> Drop for Shard<R> {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl<R> fmt::Debug for Shard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

/// A seed from the only source of randomness that the standard library offers.
pub(crate) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
