//! A shard and the stage of its byte stream.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::framing::{Framing, Incoming};
use super::transmit::Transmit;
use super::{Input, Output};
use crate::command::SendError;
use crate::config::ConfigError;
use crate::health::{Health, Phase, Stats};
use crate::session::{AckError, DispatchKey, SessionSnapshot};
use crate::upgrade::{Upgrade, Upgraded};
use crate::{Closed, Command, ConnectError, GatewayUrl, Reconnect, Shard, ShardConfig, Shutdown};

/// How long to wait for the body of a refused upgrade, which serves only for diagnosis.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// A whole gateway client over a byte stream: no socket, no clock, no task.
///
/// Received bytes go in through [`handle_bytes`](Self::handle_bytes), all other inputs through [`handle_input`](Self::handle_input),
/// both with the time. [`poll_output`](Self::poll_output) returns what to do, and the bytes to send are in
/// [`transmit`](Self::transmit). The [module's documentation](super) shows the loop.
///
/// It contains a [`Shard`], whose guarantees hold here. With the same seed and the same messages at the same times, it does the
/// same as a shard that is driven with messages.
pub struct Connection {
    shard: Shard,
    stage: Stage,
    transmit: Transmit,
    outputs: VecDeque<Output>,
    /// Whether the last output was [`Output::ShutDown`]: the bytes in `transmit` are for that socket, and are dropped with the
    /// next output.
    shut_down: bool,
    /// The time of the last input.
    now: Instant,
    /// For the keys of upgrade requests, and masks. The shard has its own.
    rng: Rng,
}

/// The stage of the byte stream, with all state of one stream.
enum Stage {
    /// There is no stream, and none is opened.
    Idle,
    /// The driver opens the stream.
    Dialing { url: GatewayUrl, deadline: Instant },
    /// The upgrade request was written; the answer was not received.
    Upgrading(Box<Upgrading>),
    /// The WebSocket is open.
    Open(Box<Open>),
}

struct Upgrading {
    url: GatewayUrl,
    upgrade: Upgrade,
    /// The shard's connect timeout.
    deadline: Instant,
    /// When to stop waiting for the body of a refusal. `None` if there is none.
    refusal_deadline: Option<Instant>,
}

struct Open {
    url: GatewayUrl,
    framing: Framing,
}

impl Connection {
    /// A connection, whose first output is [`Output::Connect`].
    ///
    /// # Errors
    ///
    /// If a field of the configuration cannot be used; the error names it.
    pub fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        Shard::new(config, now).map(|shard| Self::around(shard, now))
    }

    /// As [`Connection::new`], and writes a transcript of the shard within: see [`Shard::with_transcript`].
    ///
    /// # Errors
    ///
    /// As [`Connection::new`].
    pub fn with_transcript(
        config: ShardConfig,
        now: Instant,
        writer: impl Write + Send + 'static,
    ) -> Result<Self, ConfigError> {
        Shard::with_transcript(config, now, writer).map(|shard| Self::around(shard, now))
    }

    fn around(shard: Shard, now: Instant) -> Self {
        let config = shard.config();
        // Not the shard's own sequence, so that the shard does the same whether it is driven with bytes or with messages.
        let seed = config.seed.unwrap_or_default().rotate_left(32) ^ u64::from(config.shard.id());
        let mut this = Self {
            shard,
            stage: Stage::Idle,
            transmit: Transmit::default(),
            outputs: VecDeque::new(),
            shut_down: false,
            now,
            rng: Rng::with_seed(seed),
        };
        this.take_over_outputs();
        this
    }

    /// The maximum number of queued outputs, plus those of one message: while this many are queued,
    /// [`handle_bytes`](Self::handle_bytes) takes no bytes.
    pub const OUTPUT_LIMIT: usize = 64;

    /// Takes received bytes, in order and cut anywhere. Removes those up to the end of a message, a ping or a pong from the front
    /// of `bytes`; the caller keeps the rest. Empties `bytes` if they complete nothing, or belong to a stream that has ended.
    ///
    /// Call [`poll_output`](Self::poll_output) until it has nothing more, then pass in the rest, until there is none; read only
    /// then. While [`OUTPUT_LIMIT`](Self::OUTPUT_LIMIT) outputs are queued, no bytes are taken. So memory stays bounded for a
    /// caller that follows this, for any data at any speed.
    ///
    /// Bytes that complete no message prove that the connection is alive, and do not move the clock: pass in [`Input::Timeout`] at
    /// the deadline of [`Output::Timeout`], also while there is more to read.
    ///
    /// `now` must not run backwards; if it does, the latest time seen is used.
    pub fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant) {
        self.now = self.now.max(now);
        self.stop_waiting_for_body();
        if let Stage::Upgrading(_) = self.stage {
            self.receive_answer(bytes);
        }
        if let Stage::Open(open) = &mut self.stage
            && !bytes.is_empty()
            && self.outputs.len() + self.shard.queued_outputs().len() < Self::OUTPUT_LIMIT
        {
            match open.framing.receive(bytes, &mut self.transmit) {
                Some(Incoming::Message(message)) => self.drive(crate::Input::Message(message)),
                Some(Incoming::Closed(closed)) => self.end(closed),
                Some(Incoming::Control) | None => {
                    let message = open.framing.is_message_under_way();
                    self.drive(crate::Input::Progress { message });
                }
            }
        }
        if let Stage::Idle | Stage::Dialing { .. } = self.stage {
            // Otherwise a caller that opens the next stream at once would pass them in as that one's.
            *bytes = &[];
        }
    }

    /// Takes an input. Any input may come in any state, and any number before [`poll_output`](Self::poll_output).
    ///
    /// If `now` is earlier than in a previous call, the latest time seen is used.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.now = self.now.max(now);
        self.stop_waiting_for_body();
        match input {
            Input::Opened => self.opened(),
            Input::ConnectFailed(error) => self.connect_failed(error),
            Input::EndOfStream => self.stream_ended(None),
            Input::Failed(text) => self.stream_ended(Some(&text)),
            Input::IdentifyGranted => self.drive(crate::Input::IdentifyGranted),
            Input::IdentifyRefused(refused) => self.drive(crate::Input::IdentifyRefused(refused)),
            Input::ReadingPaused => self.drive(crate::Input::ReadingPaused),
            Input::ReadingResumed => self.drive(crate::Input::ReadingResumed),
            Input::WallClock(since_1970) => self.drive(crate::Input::WallClock(since_1970)),
            Input::Timeout => self.drive(crate::Input::Timeout),
        }
    }

    /// The next output. After [`Output::Timeout`] there is none until that time, or until the next input.
    pub fn poll_output(&mut self) -> Output {
        if self.shut_down {
            self.transmit.clear();
        }
        let output = loop {
            if let Some(output) = self.outputs.pop_front() {
                break output;
            }
            match self.shard.poll_output() {
                crate::Output::Event(event) => break Output::Event(event),
                crate::Output::Timeout(deadline) => break Output::Timeout(self.earlier(deadline)),
                other => {
                    if let Some(output) = self.take_over(other) {
                        break output;
                    }
                }
            }
        };
        self.shut_down = matches!(output, Output::ShutDown);
        output
    }

    /// Whether [`poll_output`](Self::poll_output) has an output other than a deadline. If not, the driver can pass in bytes at
    /// once.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || !self.shard.queued_outputs().is_empty()
    }

    /// The bytes to write to the socket, in order. Report the number of written bytes with [`transmitted`](Self::transmitted).
    ///
    /// Empty if there is nothing to write. After [`Output::ShutDown`] they are the last of the old socket, and are dropped with
    /// the next output.
    pub fn transmit(&self) -> &[u8] {
        self.transmit.unsent()
    }

    /// Removes this many written bytes from [`transmit`](Self::transmit). A larger number removes all.
    pub fn transmitted(&mut self, count: usize) {
        self.transmit.consume(count);
        if let Stage::Open(open) = &mut self.stage {
            open.framing.flush(&mut self.transmit);
        }
    }

    /// Queues a command, see [`Shard::send`].
    ///
    /// # Errors
    ///
    /// If the gateway would reject the command, if too many are queued, and after the shard has stopped.
    /// Nothing has changed then.
    pub fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    /// Acknowledges all dispatches up to this sequence number, see [`Shard::ack`].
    ///
    /// # Errors
    ///
    /// If no dispatch with this number was delivered, or the shard awaits no acknowledgements. Nothing has changed then.
    pub fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.shard.ack(sequence)
    }

    /// Acknowledges all dispatches of a session up to this one, see [`Shard::ack_up_to`].
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&mut self, key: DispatchKey) -> Result<(), AckError> {
        self.shard.ack_up_to(key)
    }

    /// Sends a heartbeat on an open session, see [`Shard::heartbeat`].
    pub fn heartbeat(&mut self) {
        self.shard.heartbeat();
    }

    /// Ends the shard for good, see [`Shard::shutdown`].
    pub fn shutdown(&mut self, how: Shutdown) {
        self.shard.shutdown(how);
    }

    /// Connects anew, see [`Shard::reconnect`].
    pub fn reconnect(&mut self, how: Reconnect) {
        self.shard.reconnect(how);
    }

    /// The session for a later process to resume, see [`Shard::session`]. Dispatches that are still queued do not count: the
    /// Resume requests them again.
    pub fn session(&self) -> Option<SessionSnapshot> {
        let here = self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        let within = self.shard.queued_outputs().iter().filter_map(|output| match output {
            crate::Output::Event(event) => Some(event),
            _ => None,
        });
        let first = here.chain(within).filter_map(sequence_of).min();
        let mut session = self.shard.session()?;
        if let Some(first) = first {
            session.sequence = session.sequence.min(first.saturating_sub(1));
        }
        Some(session)
    }

    /// The phase of the shard, see [`Shard::phase`].
    pub fn phase(&self) -> Phase {
        self.shard.phase()
    }

    /// The counters of the shard.
    pub fn stats(&self) -> &Stats {
        self.shard.stats()
    }

    /// The condition of the shard at the time of the last input.
    pub fn health(&self) -> Health {
        self.shard.health()
    }

    /// The configuration of the shard, without a saved session.
    pub fn config(&self) -> &ShardConfig {
        self.shard.config()
    }

    // ---- The shard ----------------------------------------------------------------------------------------------------

    /// Passes an input to the shard, and handles its outputs at once, so that the sent bytes do not depend on when the caller
    /// polls. Events stay queued in the shard until another output follows them.
    fn drive(&mut self, input: crate::Input) {
        self.shard.handle_input(input, self.now);
        if self.shard.queued_outputs().iter().all(|output| matches!(output, crate::Output::Event(_))) {
            return;
        }
        self.take_over_outputs();
        if let Stage::Open(open) = &self.stage
            && open.framing.is_overfull()
        {
            self.end(Closed::Failed("the server does not read".to_owned()));
        }
    }

    fn take_over_outputs(&mut self) {
        while !self.shard.queued_outputs().is_empty() {
            let output = self.shard.poll_output();
            if let Some(output) = self.take_over(output) {
                self.outputs.push_back(output);
            }
        }
    }

    /// Handles an output of the shard. Returns what is left to the caller.
    fn take_over(&mut self, output: crate::Output) -> Option<Output> {
        match output {
            crate::Output::Connect(url) => {
                let deadline = self.now + self.shard.config().timeouts.connect;
                self.stage = Stage::Dialing { url: url.clone(), deadline };
                Some(Output::Connect(url))
            }
            crate::Output::Send(message) => {
                if let Stage::Open(open) = &mut self.stage {
                    open.framing.send(&message, &mut self.transmit);
                }
                None
            }
            crate::Output::Close(frame) => {
                if let Stage::Open(open) = &mut self.stage {
                    open.framing.close(Some(&frame), &mut self.transmit);
                }
                None
            }
            crate::Output::Disconnect => {
                self.stage = Stage::Idle;
                Some(Output::ShutDown)
            }
            crate::Output::AcquireIdentify => Some(Output::AcquireIdentify),
            crate::Output::CancelIdentify => Some(Output::CancelIdentify),
            crate::Output::Event(event) => Some(Output::Event(event)),
            crate::Output::Timeout(deadline) => Some(Output::Timeout(self.earlier(deadline))),
            crate::Output::Stopped(reason) => Some(Output::Stopped(reason)),
        }
    }

    /// The shard's deadline, or that of the body of a refused upgrade.
    fn earlier(&self, deadline: Instant) -> Instant {
        match &self.stage {
            Stage::Upgrading(upgrading) => {
                upgrading.refusal_deadline.map_or(deadline, |refusal_deadline| refusal_deadline.min(deadline))
            }
            _ => deadline,
        }
    }

    // ---- The byte stream ----------------------------------------------------------------------------------------------

    fn opened(&mut self) {
        let Stage::Dialing { url, deadline } = &self.stage else { return };
        let (url, deadline) = (url.clone(), *deadline);
        let mut key = [0; 16];
        self.rng.fill(&mut key);
        let upgrade = Upgrade::new(&url, key);
        self.transmit.clear();
        self.transmit.buffer().extend_from_slice(upgrade.request());
        self.stage = Stage::Upgrading(Box::new(Upgrading { url, upgrade, deadline, refusal_deadline: None }));
    }

    fn connect_failed(&mut self, error: ConnectError) {
        let Stage::Dialing { url, .. } = &self.stage else { return };
        let error = match error {
            ConnectError::Dns(text) => ConnectError::Dns(url.redact(&text)),
            ConnectError::Tcp(text) => ConnectError::Tcp(url.redact(&text)),
            ConnectError::Tls(text) => ConnectError::Tls(url.redact(&text)),
            ConnectError::Handshake(text) => ConnectError::Handshake(url.redact(&text)),
            ConnectError::Refused(refused) => ConnectError::Refused(refused),
        };
        self.stage = Stage::Idle;
        self.drive(crate::Input::ConnectFailed(error));
    }

    /// Takes bytes of the answer to the upgrade request.
    fn receive_answer(&mut self, bytes: &mut &[u8]) {
        let Stage::Upgrading(upgrading) = &mut self.stage else { return };
        match upgrading.upgrade.push(bytes) {
            Some(Upgraded::Open { used }) => {
                *bytes = &bytes[used..];
                let framing = Framing::new(&self.shard.config().limits, self.rng.fork());
                self.stage = Stage::Open(Box::new(Open { url: upgrading.url.clone(), framing }));
                self.drive(crate::Input::Opened);
            }
            Some(Upgraded::Failed(error)) => self.upgrade_failed(error),
            None => {
                *bytes = &[];
                if upgrading.upgrade.is_refused() {
                    let body_deadline = (self.now + BODY_WAIT).min(upgrading.deadline);
                    upgrading.refusal_deadline.get_or_insert(body_deadline);
                }
            }
        }
    }

    /// The stream ended, or failed with this text.
    fn stream_ended(&mut self, failure: Option<&str>) {
        match (&mut self.stage, failure) {
            (Stage::Upgrading(upgrading), Some(text)) if !upgrading.upgrade.is_refused() => {
                let error = ConnectError::Handshake(upgrading.url.redact(text));
                self.upgrade_failed(error);
            }
            (Stage::Upgrading(upgrading), _) => {
                let error = upgrading.upgrade.finish();
                self.upgrade_failed(error);
            }
            (Stage::Open(open), Some(text)) => {
                let closed = Closed::Failed(open.url.redact(text));
                self.end(closed);
            }
            (Stage::Open(_), None) => self.end(Closed::Eof),
            // It belongs to the old stream, or to none.
            (Stage::Idle | Stage::Dialing { .. }, _) => {}
        }
    }

    /// Reports a refusal whose body has not ended.
    fn stop_waiting_for_body(&mut self) {
        if let Stage::Upgrading(upgrading) = &mut self.stage
            && upgrading.refusal_deadline.is_some_and(|deadline| deadline <= self.now)
        {
            let error = upgrading.upgrade.finish();
            self.upgrade_failed(error);
        }
    }

    fn upgrade_failed(&mut self, error: ConnectError) {
        self.shut_down_socket();
        self.drive(crate::Input::ConnectFailed(error));
    }

    /// The WebSocket has ended, and all bytes for the server are written.
    fn end(&mut self, closed: Closed) {
        self.shut_down_socket();
        self.drive(crate::Input::Closed(closed));
    }

    fn shut_down_socket(&mut self) {
        self.take_over_outputs();
        self.stage = Stage::Idle;
        self.outputs.push_back(Output::ShutDown);
    }
}

fn sequence_of(event: &crate::Event) -> Option<u64> {
    match event {
        crate::Event::Dispatch(dispatch) => dispatch.sequence(),
        _ => None,
    }
}

/// Prints no secrets.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = match self.stage {
            Stage::Idle => "idle",
            Stage::Dialing { .. } => "dialing",
            Stage::Upgrading(_) => "upgrading",
            Stage::Open(_) => "open",
        };
        f.debug_struct("Connection")
            .field("shard", &self.shard)
            .field("stream", &stream)
            .field("bytes_to_send", &self.transmit.unsent().len())
            .finish_non_exhaustive()
    }
}
