//! The public shard: inputs, outputs, commands, queries.
//!
//! Decodes messages and writes the transcript. The transitions are in `machine`.

#[cfg(feature = "raw")]
use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Instant;

use crate::command::SendError;
use crate::config::ConfigError;
use crate::health::{Health, Phase, Stats};
use crate::machine::Machine;
use crate::machine::input::MachineInput;
use crate::machine::request::{EndRequest, MachineRequest};
use crate::outbox::AcceptedCommand;
use crate::receiver::Receiver;
use crate::session::{AckError, DispatchKey, SessionSnapshot};
use crate::transcript::record::Recorder;
use crate::{Command, GatewayUrl, Input, Message, Notice, Output, Reconnect, ShardConfig, Shutdown};

/// The protocol of one shard as a value: no socket, no clock, no task.
///
/// Inputs and the time go in through [`handle_input`](Self::handle_input); [`poll_output`](Self::poll_output) returns what to do.
/// The crate documentation shows the loop.
pub struct Shard {
    machine: Machine,
    /// The receiver of the current connection. `None` before its first message.
    receiver: Option<Receiver>,
    /// Writes the transcript.
    recorder: Option<Box<Recorder>>,
}

impl Shard {
    /// Creates a shard. Its first output is [`Output::Connect`].
    ///
    /// # Errors
    ///
    /// If a field of the configuration cannot be used. The error names the field.
    pub fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        Machine::new(config, now).map(|machine| Self { machine, receiver: None, recorder: None })
    }

    /// Creates a shard that writes a transcript: see [`transcript`](crate::transcript).
    ///
    /// The writer receives whole lines at every input and output. It should not block: use a `BufWriter`, or memory. It
    /// is flushed when the shard has stopped. If it fails, the transcript ends with [`Notice::TranscriptEnded`] and the
    /// shard continues.
    ///
    /// # Errors
    ///
    /// As [`Shard::new`].
    pub fn with_transcript(
        config: ShardConfig,
        now: Instant,
        writer: impl Write + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let mut recorder = Recorder::new(&config, now, Box::new(writer));
        let mut shard = Self::new(config, now)?;
        let begun = recorder.begin();
        shard.recorder = Some(Box::new(recorder));
        shard.written(begun);
        Ok(shard)
    }

    /// Handles an input. Any input is valid in any state, and any number may precede [`poll_output`](Self::poll_output).
    ///
    /// If `now` is earlier than in a previous call, the latest time seen is used.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let now = self.machine.now().max(now);
        let input = match input {
            Input::Message(message) => self.read(message),
            Input::Opened => MachineInput::Opened,
            Input::ConnectFailed(error) => MachineInput::ConnectFailed(error),
            Input::Progress { message } => MachineInput::Progress { message },
            Input::Closed(closed) => MachineInput::Closed(closed),
            Input::IdentifyGranted => MachineInput::IdentifyGranted,
            Input::IdentifyRefused(refused) => MachineInput::IdentifyRefused(refused),
            Input::ReadingPaused => MachineInput::ReadingPaused,
            Input::ReadingResumed => MachineInput::ReadingResumed,
            Input::WallClock(since_1970) => MachineInput::WallClock(since_1970),
            Input::Timeout => MachineInput::Timeout,
        };
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.input(&input, self.machine.context(), now);
            self.written(written);
        }
        self.machine.handle_input(input, now);
        if self.machine.reads().is_none() {
            // Each connection has its own compression context.
            self.receiver = None;
        }
    }

    /// Decompresses a message, unless the state ignores messages.
    fn read(&mut self, message: Message) -> MachineInput {
        let Some(check) = self.machine.reads() else {
            return MachineInput::UnreadMessage { bytes: message.as_bytes().len() };
        };
        let config = &self.machine.context().config;
        let receiver = self.receiver.get_or_insert_with(|| Receiver::new(config));
        MachineInput::Message(receiver.read(message, check))
    }

    /// The next output. After [`Output::Timeout`] there is no other until that time or the next input.
    pub fn poll_output(&mut self) -> Output {
        let output = self.machine.poll_output();
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.output(&output, self.machine.now());
            self.written(written);
        }
        output
    }

    /// The outputs before the next deadline.
    #[cfg(feature = "raw")]
    pub(crate) fn queued_outputs(&self) -> &VecDeque<Output> {
        &self.machine.context().outputs
    }

    /// Queues a command. It is sent once the shard is READY and the rate limits allow it. Commands keep their order.
    ///
    /// Presences have an additional rate limit, and so have requests for all members of one guild. Other commands
    /// overtake those that such a limit holds back. A presence replaces one that is still queued.
    ///
    /// # Errors
    ///
    /// If the gateway would reject the command, if too many commands are queued, or if the shard has stopped. Nothing
    /// changes then.
    pub fn send(&mut self, command: Command) -> Result<(), SendError> {
        if self.machine.is_ending() {
            return Err(SendError::Stopped);
        }
        let cx = self.machine.context();
        let limits = &cx.config.limits;
        let command = AcceptedCommand::new(command, cx.config.encoding, limits.payload_bytes)?;
        cx.commands.check_room(command.kind, limits.queued_commands)?;
        self.request(MachineRequest::Send(command));
        Ok(())
    }

    /// Sends a heartbeat as soon as the rate limit allows, before any queued command. Does nothing without an open
    /// session, or once the shard is shutting down.
    ///
    /// The server sends the acknowledgement after everything that it sent before it read the heartbeat. If
    /// [`Event::HeartbeatAcknowledged`](crate::Event::HeartbeatAcknowledged) reports a `sent` that is not before this
    /// call, everything that the server had sent by the time of this call has arrived.
    ///
    /// The schedule of the other heartbeats and the detection of dead connections do not change. Any heartbeat sent after
    /// this call satisfies it, so two calls before it is sent cause one heartbeat.
    pub fn heartbeat(&mut self) {
        self.request(MachineRequest::Heartbeat);
    }

    /// Shuts the shard down. [`Output::Stopped`] follows, at the latest after
    /// [`Timeouts::close`](crate::config::Timeouts).
    pub fn shutdown(&mut self, how: Shutdown) {
        self.request_end(EndRequest::Shutdown(how));
    }

    /// Reconnects, and ends any wait, such as a back-off or the wait for the server's close frame. A connection that is
    /// being opened is kept. Does nothing once the shard is shutting down.
    pub fn reconnect(&mut self, how: Reconnect) {
        self.request_end(EndRequest::Reconnect(how));
    }

    fn request_end(&mut self, request: EndRequest) {
        if !self.machine.is_ending() {
            self.request(MachineRequest::End(request));
        }
    }

    /// Acknowledges **all** dispatches up to this sequence number ([`Dispatch::sequence`](crate::Dispatch::sequence)),
    /// not only this one: acknowledgements are cumulative. Requires
    /// [`Delivery::Acknowledged`](crate::config::Delivery::Acknowledged).
    ///
    /// Acknowledge a number only when everything before it has been handled too. If dispatches are handled in any order,
    /// for instance by a pool of workers, an [`AckTracker`](crate::session::AckTracker) determines up to which key all
    /// are handled; pass that key to [`ack_up_to`](Self::ack_up_to).
    ///
    /// Acknowledge in the order of delivery; numbers may be skipped. A number below one that was acknowledged before
    /// changes nothing.
    ///
    /// Numbers start again with each session. While dispatches of an earlier session are outstanding, a number that
    /// occurs in both sessions acknowledges the earlier session's. A late acknowledgement therefore never covers events
    /// that were not handled; at worst some handled events are replayed.
    ///
    /// # Errors
    ///
    /// If this session has delivered no dispatch with this number, or the delivery is
    /// [`Delivery::Received`](crate::config::Delivery::Received). Nothing changes then.
    pub fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.machine.context().sessions.check_ack(sequence)?;
        self.request(MachineRequest::Ack(sequence));
        Ok(())
    }

    /// Acknowledges all dispatches of a session up to the one with this key, and none of another session. Call it at any
    /// time with the result of [`AckTracker::done`](crate::session::AckTracker::done). Requires
    /// [`Delivery::Acknowledged`](crate::config::Delivery::Acknowledged).
    ///
    /// The key of a session that has ended changes nothing: there is nothing left to resume.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&mut self, key: DispatchKey) -> Result<(), AckError> {
        if self.machine.context().sessions.check_ack_of(key)? {
            self.request(MachineRequest::AckCurrent(key.sequence()));
        }
        Ok(())
    }

    /// Passes on a request that has been checked.
    fn request(&mut self, request: MachineRequest) {
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.request(&request, self.machine.now());
            self.written(written);
        }
        self.machine.handle_request(request);
    }

    /// Ends the transcript if writing it failed.
    fn written(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.recorder = None;
            self.machine.notice(Notice::TranscriptEnded { kind: error.kind() });
        }
    }

    /// The session, so that a later process can resume it. `None` before READY and after its end.
    pub fn session(&self) -> Option<SessionSnapshot> {
        let cx = self.machine.context();
        let session = cx.sessions.current()?;
        let resume_url = session.resume_url.as_ref().map(GatewayUrl::expose);
        let sequence = session.resume_from(cx.config.delivery);
        Some(SessionSnapshot::new(session.id.to_string(), resume_url, sequence, cx.config.shard))
    }

    /// Counters since the shard was created.
    pub fn stats(&self) -> &Stats {
        &self.machine.context().stats
    }

    /// The configuration. The saved session has been taken out of it.
    pub fn config(&self) -> &ShardConfig {
        &self.machine.context().config
    }

    /// The health of the shard as of the last input.
    pub fn health(&self) -> Health {
        self.machine.health()
    }

    /// The phase that the shard is in.
    pub fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// For a replay, which passes in messages as a receiver has read them.
    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

/// Omits secrets.
impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("shard", &self.config().shard)
            .field("phase", &self.phase())
            .field("stats", self.stats())
            .finish_non_exhaustive()
    }
}
