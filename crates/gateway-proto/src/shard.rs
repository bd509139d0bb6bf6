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
/// The crate's documentation shows the loop.
pub struct Shard {
    machine: Machine,
    /// The receiver of the current connection. `None` before its first message.
    receiver: Option<Receiver>,
    /// Writes the transcript.
    recorder: Option<Box<Recorder>>,
}

impl Shard {
    /// A shard, whose first output is [`Output::Connect`].
    ///
    /// # Errors
    ///
    /// If a field of the configuration cannot be used; the error names it.
    pub fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        Machine::new(config, now).map(|machine| Self { machine, receiver: None, recorder: None })
    }

    /// As [`Shard::new`], and writes a transcript: see [`transcript`](crate::transcript).
    ///
    /// The writer gets whole lines at every input and output, so it should not block: use a `BufWriter`, or memory. It is flushed
    /// when the shard has stopped. If it fails, the transcript ends with [`Notice::TranscriptEnded`] and the shard continues.
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

    /// Takes an input. Any input may come in any state, and any number before [`poll_output`](Self::poll_output).
    ///
    /// `now` must not run backwards; if it does, the latest time seen is used.
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
            // The compression context is the connection's.
            self.receiver = None;
        }
    }

    /// Undoes compression, if the connection is one whose messages count.
    fn read(&mut self, message: Message) -> MachineInput {
        let Some(check) = self.machine.reads() else {
            return MachineInput::UnreadMessage { bytes: message.as_bytes().len() };
        };
        let config = &self.machine.context().config;
        let receiver = self.receiver.get_or_insert_with(|| Receiver::new(config));
        MachineInput::Message(receiver.read(message, check))
    }

    /// The next output. After [`Output::Timeout`] there is none until that time, or until the next input.
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

    /// Queues a command. It goes out once the shard is READY and the rate limits allow; the order is kept.
    ///
    /// Presences have a limit of their own, and so have requests for all members of one guild: what these hold back lets
    /// other commands pass. A presence takes the place of one that still waits: only the newest counts.
    ///
    /// # Errors
    ///
    /// If the gateway would reject the command, if too many are queued, and after the shard has stopped.
    /// Nothing has changed then.
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

    /// Sends a heartbeat as soon as the rate limit allows, before any command, on an open session. Where there is none, and once the
    /// shard is shutting down, nothing happens.
    ///
    /// The server acknowledges it after everything that it sent before it has read the heartbeat: once
    /// [`Event::HeartbeatAcknowledged`](crate::Event::HeartbeatAcknowledged) gives out a `sent` that is not before this call, what
    /// the server had sent by the time of this call has arrived.
    ///
    /// The schedule of the other heartbeats stays, and what is taken for a dead connection too. Any heartbeat that goes out
    /// after this call serves for it, so two calls before it is sent send one.
    pub fn heartbeat(&mut self) {
        self.request(MachineRequest::Heartbeat);
    }

    /// Ends the shard for good. [`Output::Stopped`] follows, at the latest after [`Timeouts::close`](crate::config::Timeouts).
    pub fn shutdown(&mut self, how: Shutdown) {
        self.request_end(EndRequest::Shutdown(how));
    }

    /// Connects anew, and interrupts any waiting: for the end of a back-off, or for the server's close frame. A connection
    /// that is just being opened is not opened twice. Does nothing once the shard is shutting down.
    pub fn reconnect(&mut self, how: Reconnect) {
        self.request_end(EndRequest::Reconnect(how));
    }

    fn request_end(&mut self, request: EndRequest) {
        if !self.machine.is_ending() {
            self.request(MachineRequest::End(request));
        }
    }

    /// Acknowledges **all** dispatches up to this sequence number ([`Dispatch::sequence`](crate::Dispatch::sequence)), not
    /// this one alone: acknowledgements are cumulative. Only with [`Delivery::Acknowledged`](crate::config::Delivery::Acknowledged).
    ///
    /// So a number is to be acknowledged only when everything before it has been dealt with too. Where dispatches are dealt
    /// with in any order, as by a pool of workers, an [`AckTracker`](crate::session::AckTracker) says how far that is, and
    /// [`ack_up_to`](Self::ack_up_to) takes it.
    ///
    /// Acknowledge in the order of delivery; some may be left out. A number below one that was acknowledged before
    /// changes nothing.
    ///
    /// Numbers begin anew with each session. Where dispatches of an earlier session are still outstanding, a number that
    /// both sessions have is taken for the earlier one's. So a late acknowledgement never passes for one of events that
    /// were not dealt with; at worst some events are replayed that need not be.
    ///
    /// # Errors
    ///
    /// Where this session has given out no dispatch with this number, or the delivery is
    /// [`Delivery::Received`](crate::config::Delivery::Received). Nothing has changed then.
    pub fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.machine.context().sessions.check_ack(sequence)?;
        self.request(MachineRequest::Ack(sequence));
        Ok(())
    }

    /// Acknowledges all dispatches of a session up to the one with this key, and none of another session: what
    /// [`AckTracker::done`](crate::session::AckTracker::done) gives may come at any time. Only with
    /// [`Delivery::Acknowledged`](crate::config::Delivery::Acknowledged).
    ///
    /// The key of a session that is over changes nothing: there is nothing left to resume.
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

    /// Hands over a request that was checked.
    fn request(&mut self, request: MachineRequest) {
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.request(&request, self.machine.now());
            self.written(written);
        }
        self.machine.handle_request(request);
    }

    /// The transcript ends where it cannot be written on.
    fn written(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.recorder = None;
            self.machine.notice(Notice::TranscriptEnded { kind: error.kind() });
        }
    }

    /// The session as it could be resumed by a later process. None before READY, and after its end.
    pub fn session(&self) -> Option<SessionSnapshot> {
        let cx = self.machine.context();
        let session = cx.sessions.current()?;
        let resume_url = session.resume_url.as_ref().map(GatewayUrl::expose);
        let sequence = session.resume_from(cx.config.delivery);
        Some(SessionSnapshot::new(session.id.to_string(), resume_url, sequence, cx.config.shard))
    }

    /// What the shard has done so far.
    pub fn stats(&self) -> &Stats {
        &self.machine.context().stats
    }

    /// How the shard was set up. A saved session has been taken out.
    pub fn config(&self) -> &ShardConfig {
        &self.machine.context().config
    }

    /// How the shard is doing, as of the last input.
    pub fn health(&self) -> Health {
        self.machine.health()
    }

    /// Where in its life the shard is.
    pub fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// For a replay, which hands in what a receiver made of messages.
    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

/// Shows what is not secret.
impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("shard", &self.config().shard)
            .field("phase", &self.phase())
            .field("stats", self.stats())
            .finish_non_exhaustive()
    }
}
