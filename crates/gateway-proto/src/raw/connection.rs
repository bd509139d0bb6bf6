//! The connection as its owner sees it: a shard, and whatever stage its byte stream is in.

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

/// How long to wait for the body of a refused upgrade. It is only for whoever has to find out why.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// A whole gateway client over a byte stream: no socket, no clock, no task.
///
/// What the stream gave goes in through [`handle_bytes`](Self::handle_bytes), everything else that happens through
/// [`handle_input`](Self::handle_input), both with the time. What to do comes out of [`poll_output`](Self::poll_output), and the
/// bytes to send wait in [`transmit`](Self::transmit). The
/// [module's documentation](super) shows the loop.
///
/// Within is a [`Shard`]; everything it promises holds here. Given the same seed and the same messages at the same times,
/// it does the same as a shard that is driven with messages.
pub struct Connection {
    shard: Shard,
    stage: Stage,
    transmit: Transmit,
    outputs: VecDeque<Output>,
    /// The socket was shut down: what `transmit` holds is for it, and goes with the next output.
    forsaken: bool,
    /// The time of the last input.
    now: Instant,
    /// For the keys of upgrade requests, and masks. The shard has its own.
    rng: Rng,
}

/// Where the byte stream is. What belongs to one stream lives in here and dies with it.
enum Stage {
    /// There is none, and none is wanted.
    Idle,
    /// The caller opens it.
    Dialing { url: GatewayUrl, deadline: Instant },
    /// The upgrade request has been written; the answer has not come.
    Upgrading(Box<Upgrading>),
    /// The WebSocket is open.
    Open(Box<Open>),
}

struct Upgrading {
    url: GatewayUrl,
    upgrade: Upgrade,
    /// The shard gives up then.
    deadline: Instant,
    /// A refusal has come; its body is not waited for any longer than this.
    refusal_deadline: Option<Instant>,
}

struct Open {
    url: GatewayUrl,
    framing: Framing,
}

impl Connection {
    /// A connection that wants to connect at once.
    ///
    /// # Errors
    ///
    /// Where a field of the configuration cannot be used; the error names it.
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
        // Not the shard's own sequence: what the shard does must not depend on who drives it.
        let seed = config.seed.unwrap_or_default().rotate_left(32) ^ u64::from(config.shard.id());
        let mut this = Self {
            shard,
            stage: Stage::Idle,
            transmit: Transmit::default(),
            outputs: VecDeque::new(),
            forsaken: false,
            now,
            rng: Rng::with_seed(seed),
        };
        this.take_over_outputs();
        this
    }

    /// As many outputs as wait at most, give or take those of one message, whatever the server sends: while there are so many,
    /// [`handle_bytes`](Self::handle_bytes) takes nothing.
    pub const OUTPUT_LIMIT: usize = 64;

    /// Takes bytes that the stream gave, in order and cut anywhere: those up to the end of a message, a ping or a pong are
    /// removed from the front of `bytes`, the caller keeps the rest. Empties `bytes` where they complete nothing, and where they
    /// are of a stream that is over.
    ///
    /// Call [`poll_output`](Self::poll_output) until it has nothing more, and then hand in the rest, until there is none; read
    /// only then. While [`OUTPUT_LIMIT`](Self::OUTPUT_LIMIT) outputs wait no bytes are taken. So memory stays bounded for a
    /// caller that follows this, however fast the server sends and whatever.
    ///
    /// Bytes that complete no message prove life, and do not move the clock: hand in [`Input::Timeout`] when
    /// [`Output::Timeout`] says so, however much there is to read.
    ///
    /// `now` must not run backwards; where it does, the latest time seen is used.
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
            // Otherwise a caller that opens the next stream at once would hand them in as that one's.
            *bytes = &[];
        }
    }

    /// Takes an input. Any input may come in any state, and any number before [`poll_output`](Self::poll_output).
    ///
    /// `now` must not run backwards; where it does, the latest time seen is used.
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

    /// The next thing to do. Ends in [`Output::Timeout`]: nothing more until then, or until the next input.
    pub fn poll_output(&mut self) -> Output {
        if self.forsaken {
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
        self.forsaken = matches!(output, Output::ShutDown);
        output
    }

    /// Whether [`poll_output`](Self::poll_output) has something to give out before the next deadline. A caller that has bytes
    /// and hears no can hand them in at once.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || !self.shard.queued_outputs().is_empty()
    }

    /// The bytes that wait to be written to the socket, in order. Say with [`transmitted`](Self::transmitted) how many
    /// have been.
    ///
    /// Empty where there is nothing to write. After [`Output::ShutDown`] they are the old socket's last, and gone with the
    /// next output.
    pub fn transmit(&self) -> &[u8] {
        self.transmit.unsent()
    }

    /// This many bytes of [`transmit`](Self::transmit) have been written. More than there are means all.
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
    /// Where the gateway would not accept the command, where too many wait already, and after the shard has stopped.
    /// Nothing has changed then.
    pub fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    /// Acknowledges all dispatches up to this sequence number, see [`Shard::ack`].
    ///
    /// # Errors
    ///
    /// Where no dispatch with this number was given out, or the shard awaits no acknowledgements. Nothing has changed
    /// then.
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

    /// The session as it could be resumed by a later process, see [`Shard::session`]. Dispatches that came and were not
    /// given out yet do not count: the Resume asks for them again.
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

    /// Where in its life the shard is, see [`Shard::phase`].
    pub fn phase(&self) -> Phase {
        self.shard.phase()
    }

    /// What the shard has done so far.
    pub fn stats(&self) -> &Stats {
        self.shard.stats()
    }

    /// How the shard is doing, as of the last input that it was told of.
    pub fn health(&self) -> Health {
        self.shard.health()
    }

    /// How the shard was set up. A saved session has been taken out.
    pub fn config(&self) -> &ShardConfig {
        self.shard.config()
    }

    // ---- The shard ----------------------------------------------------------------------------------------------------

    /// Hands an input to the shard, and does at once what it says: the bytes out must not depend on when the caller asks.
    /// Events stay with the shard, until something is to be given out between them.
    fn drive(&mut self, input: crate::Input) {
        self.shard.handle_input(input, self.now);
        if self.shard.queued_outputs().iter().all(|output| matches!(output, crate::Output::Event(_))) {
            return;
        }
        self.take_over_outputs();
        if let Stage::Open(open) = &self.stage
            && open.framing.is_overfull()
        {
            self.end(Closed::Failed("the server does not read what it is sent".to_owned()));
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

    /// Does what the shard says. What is left is the caller's to do.
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

    /// The stream ended, or failed with these words.
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
            // It is the old stream's, or none's.
            (Stage::Idle | Stage::Dialing { .. }, _) => {}
        }
    }

    /// A refusal has come, but the end of its body is not to be waited for.
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

    /// The WebSocket is over. What was to be said to the server has been written.
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

/// Shows what is not secret.
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
