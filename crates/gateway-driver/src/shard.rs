//! A shard on a runtime: one poll function that moves the state machine, the socket and the clock.

use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use gateway_proto::{
    AckError, Command, ConfigError, DispatchKey, Event, GatewayUrl, Health, Input, Output, Reconnect,
    SendError, SessionSnapshot, ShardConfig, ShardId, Shutdown, Stats, StopReason,
};

use crate::budget::Budget;
use crate::dial::{Dialer, Dialing};
use crate::identify::AcquiringIdentify;
use crate::sender::Shared;
use crate::session_keeper::Checkpointer;
use crate::timer::Timer;
use crate::tls::default_client_config;
use crate::websocket::{Received, Socket};
use crate::{BuildError, DriverConfig, IdentifyGate, LocalIdentifyGate, Runtime, Sender};

/// The wall clock is told no more often than this.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// A shard of a bot: connects, identifies, keeps itself alive, resumes.
///
/// It does all that while it is polled, as a [`Stream`] or by [`Shard::next_event`], and nothing in between. Where a
/// handler may take longer than some seconds, let it run in the background: [`Shard::background`].
///
/// All state lives in the shard. Any future that it gives out may be dropped at any point, and nothing is lost.
/// Dropping the shard itself closes its socket; the session can then be resumed for some minutes.
pub struct Shard<R> {
    runtime: R,
    dialer: Dialer<R>,
    gate: Arc<dyn IdentifyGate>,
    id: ShardId,
    shared: Arc<Shared>,
    link: Link,
    permit: Option<AcquiringIdentify>,
    identify: Identify,
    checkpointer: Option<Checkpointer>,
    timer: Timer<R>,
    budget: Budget,
    clock: Clock,
    reading: Reading,
    stopped: Option<StopReason>,
}

/// Whether an Identify is on its way.
enum Identify {
    None,
    /// It comes next. The event waits for it: it might keep the application busy, and others are spaced by when it is sent.
    Next,
    /// It is sent; READY has not come.
    Sent,
}

/// Brings the time along with every input.
#[derive(Default)]
struct Clock {
    /// When the machine was last told the wall clock.
    told: Option<Instant>,
}

impl Clock {
    fn tell(&mut self, runtime: &impl Runtime, machine: &mut gateway_proto::Shard, input: Input) {
        let now = runtime.now();
        let is_told = self.told.is_some_and(|told| now < told + CLOCK_EVERY);
        if !is_told && let Some(since_1970) = runtime.wall_clock() {
            self.told = Some(now);
            // Before the input, which may be of a connection that has gone stale.
            machine.handle_input(Input::WallClock(since_1970), now);
        }
        machine.handle_input(input, now);
    }
}

/// Where the connection stands.
enum Link {
    None,
    Dialing(Dialing),
    Open(Box<Socket>),
}

/// Whether the socket is read at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    /// The application has no room for more events.
    Paused,
}

impl<R: Runtime + Default> Shard<R> {
    /// Makes a shard. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// Where a field of the configuration cannot be used, or the URL asks for TLS and neither crypto provider nor root
    /// certificates are compiled in.
    pub fn new(config: ShardConfig) -> Result<Self, BuildError> {
        Self::with(R::default(), config, DriverConfig::default())
    }
}

impl<R: Runtime> Shard<R> {
    /// Makes a shard on this runtime, driven as asked. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// As [`Shard::new`].
    pub fn with(runtime: R, mut config: ShardConfig, mut driver: DriverConfig) -> Result<Self, BuildError> {
        config.seed.get_or_insert_with(entropy);
        let (id, limits, url) = (config.shard, config.limits.clone(), GatewayUrl::parse(&config.url));
        let now = runtime.now();
        let machine = match driver.transcript.take() {
            None => gateway_proto::Shard::new(config, now)?,
            Some(transcript) => {
                let taken =
                    || ConfigError::new("transcript", "another shard writes to it: give each its own");
                let writer = transcript.take().ok_or_else(taken)?;
                gateway_proto::Shard::with_transcript(config, now, writer)?
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
            dialer: Dialer::new(runtime.clone(), driver, limits),
            gate,
            id,
            shared: Shared::new(machine),
            link: Link::None,
            permit: None,
            identify: Identify::None,
            checkpointer,
            timer: Timer::new(runtime.clone()),
            budget: Budget::default(),
            clock: Clock::default(),
            reading: Reading::On,
            stopped: None,
            runtime,
        })
    }

    /// The next event. None once the shard has stopped for good: see [`Shard::stop_reason`].
    ///
    /// Cancel-safe: the future may be dropped at any point.
    ///
    /// Other tasks of the thread get their turn however much the server sends: after 128 events and inputs in a row the task
    /// is woken and `Pending` returned once, although an event may be ready. So a `Pending` that `now_or_never`,
    /// `poll_immediate` or a poll by hand sees does not mean that there is no event.
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

    /// Ends the shard: poll on until the events end. See [`Sender::shutdown`].
    pub fn shutdown(&self, how: Shutdown) {
        self.sender().shutdown(how);
    }

    /// Replaces the connection, or ends the wait before the next one.
    pub fn reconnect(&self, how: Reconnect) {
        self.sender().reconnect(how);
    }

    /// The session as it stands, to be resumed by a later process. Keep it where secrets are kept.
    pub fn session(&self) -> Option<SessionSnapshot> {
        self.sender().session()
    }

    /// Counters since the shard was made.
    pub fn stats(&self) -> Stats {
        self.sender().stats()
    }

    /// How the shard is doing.
    pub fn health(&self) -> Health {
        self.sender().health()
    }

    /// Why the events have ended. None: they have not.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    /// Drives the shard until it has an event, or cannot go on for now, or has used up its budget.
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
            ready!(self.budget.poll_step(context));
            match self.next_output(context.waker()) {
                Output::Timeout(deadline) => {
                    let input = ready!(self.poll_input(deadline, context));
                    self.handle_input(input);
                }
                output => {
                    if let ControlFlow::Break(event) = self.act_on(output, context) {
                        return Poll::Ready(event);
                    }
                }
            }
        }
    }

    /// What the state machine says next. A message that was read already is handed to it on the way: while a burst is dealt
    /// with, the machine is locked once for each event.
    fn next_output(&mut self, waker: &Waker) -> Output {
        let mut state = self.shared.lock_to_drive(waker);
        let output = state.machine.poll_output();
        if let Output::Timeout(_) = output
            && self.permit.is_none()
            && self.reading == Reading::On
            && let Link::Open(socket) = &mut self.link
            && let Some(message) = socket.take_ahead()
        {
            self.clock.tell(&self.runtime, &mut state.machine, Input::Message(message));
            return state.machine.poll_output();
        }
        output
    }

    /// Does what the state machine says. Breaks off where the application is to hear of something.
    fn act_on(&mut self, output: Output, context: &mut Context<'_>) -> ControlFlow<Option<Event>> {
        match output {
            Output::Event(Event::Identifying) => self.identify = Identify::Next,
            Output::Event(event) => {
                self.tell_gate(&event);
                self.keep_session_after(&event);
                return ControlFlow::Break(Some(event));
            }
            Output::Connect(url) => self.link = Link::Dialing(self.dialer.dial(url)),
            Output::AcquireIdentify => self.permit = Some(self.gate.acquire(self.id)),
            Output::CancelIdentify => self.permit = None,
            Output::Send(message) => {
                if let Link::Open(socket) = &mut self.link {
                    socket.send(message);
                }
                if matches!(self.identify, Identify::Next) {
                    self.identify_sent(context);
                    return ControlFlow::Break(Some(Event::Identifying));
                }
            }
            Output::Close(frame) => {
                if let Link::Open(socket) = &mut self.link {
                    socket.close(frame);
                }
            }
            Output::Disconnect => self.disconnect(context),
            // Waited for by the caller.
            Output::Timeout(_) => {}
            Output::Stopped(reason) => {
                self.disconnect(context);
                (self.permit, self.stopped) = (None, Some(reason));
                self.keep_session();
                return ControlFlow::Break(None);
            }
        }
        ControlFlow::Continue(())
    }

    /// The gate hears that its permit is used, once the Identify is written.
    fn identify_sent(&mut self, context: &mut Context<'_>) {
        if let Link::Open(socket) = &mut self.link {
            socket.poll_write(context);
        }
        self.identify = Identify::Sent;
        self.gate.used(self.id);
    }

    /// The gate hears what becomes of the Identify.
    fn tell_gate(&mut self, event: &Event) {
        match (event, &self.identify) {
            (Event::Ready, _) => self.identify = Identify::None,
            (Event::Disconnected(_), Identify::Sent) => {
                self.identify = Identify::None;
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

    /// Hands the session over to be kept; does not wait for it.
    fn keep_session(&mut self) {
        if let Some(checkpointer) = &mut self.checkpointer {
            let session = self.shared.lock().machine.session();
            checkpointer.keep(self.id, session, self.runtime.now());
        }
    }

    /// Stops or resumes reading the socket. Everything else goes on.
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
        matches!(self.link, Link::Open(_))
    }

    /// Whether the application has asked for the end.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shared.lock().shutting_down
    }

    /// Waits for the next thing to tell the state machine.
    fn poll_input(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<Input> {
        if let Some(permit) = &mut self.permit
            && let Poll::Ready(answer) = permit.as_mut().poll(context)
        {
            self.permit = None;
            return Poll::Ready(match answer {
                Ok(()) => Input::IdentifyGranted,
                Err(refused) => Input::IdentifyRefused(refused),
            });
        }
        // The socket comes before the clock: what lies in it has come in time, and must not be taken for silence only
        // because nobody looked. It cannot hold up the clock, since every input brings the time along.
        if let Poll::Ready(input) = self.poll_link(context) {
            return Poll::Ready(input);
        }
        self.timer.poll_until(deadline, context).map(|()| Input::Timeout)
    }

    fn poll_link(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        match &mut self.link {
            Link::None => Poll::Pending,
            Link::Dialing(dialing) => match ready!(dialing.as_mut().poll(context)) {
                Ok(socket) => {
                    self.link = Link::Open(Box::new(socket));
                    Poll::Ready(Input::Opened)
                }
                Err(error) => {
                    self.link = Link::None;
                    Poll::Ready(Input::ConnectFailed(error))
                }
            },
            Link::Open(socket) => {
                socket.poll_write(context);
                if self.reading == Reading::Paused {
                    return Poll::Pending;
                }
                match socket.poll_read(context, &mut self.budget) {
                    Poll::Ready(Received::Message(message)) => Poll::Ready(Input::Message(message)),
                    Poll::Ready(Received::Closed(closed)) => {
                        self.disconnect(context);
                        Poll::Ready(Input::Closed(closed))
                    }
                    Poll::Pending => {
                        // It asks for nothing to be done, so the clock can be looked at right after it.
                        if let Some(message) = socket.take_progress() {
                            let now = self.runtime.now();
                            self.shared.lock().machine.handle_input(Input::Progress { message }, now);
                        }
                        Poll::Pending
                    }
                }
            }
        }
    }

    /// Hands an input to the state machine.
    fn handle_input(&mut self, input: Input) {
        self.clock.tell(&self.runtime, &mut self.shared.lock().machine, input);
    }

    /// Drops the connection, or gives up opening it. What can be written without waiting is written.
    fn disconnect(&mut self, context: &mut Context<'_>) {
        if let Link::Open(mut socket) = std::mem::replace(&mut self.link, Link::None) {
            socket.leave(context);
        }
    }
}

impl<R> Unpin for Shard<R> {}

impl<R: Runtime> Stream for Shard<R> {
    type Item = Event;

    /// Yields as [`Shard::next_event`] does: after 128 events and inputs in a row `Pending` is returned once, with the task
    /// woken, although an event may be ready.
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
