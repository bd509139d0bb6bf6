//! The shard as its owner sees it: inputs, outputs, commands, questions. What follows from what is in `transitions`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use gateway_codec::Encoding;

use crate::acknowledge::EarlierSessions;
use crate::connection::{Connection, Stage};
use crate::dispatch_key::SessionKey;
use crate::gaps::Gaps;
use crate::health::{Condition, Health, Phase};
use crate::heartbeat::Heartbeat;
use crate::outbox::{Kind, Outbox};
use crate::outgoing::{self, Identify, Payload, opcode};
use crate::presence::LatestPresence;
use crate::retry::Retry;
use crate::session::{Session, is_usable_session_id};
use crate::transcript::Recorder;
use crate::wall_clock::WallClock;
use crate::{
    Command, ConfigError, DisconnectReason, Event, GatewayUrl, Input, Message, Notice, Output, SendError,
    SessionSnapshot, ShardConfig, Stats, StopReason,
};

/// How to shut a shard down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Leave the session alive on the server (close code 4000), to be resumed with [`Shard::session`] in a later process.
    ///
    /// Dispatches that arrive from now on are neither delivered nor counted: that Resume replays them.
    Resumable,
    /// End the session (close code 1000): the bot goes offline at once.
    LogOff,
}

/// How to connect anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// Resume the session, if there is one.
    Resume,
    /// Begin a new session. Costs an Identify.
    Fresh,
}

/// The protocol of one shard as a value: no socket, no clock, no task.
///
/// Inputs and the time go in through [`handle_input`](Self::handle_input); what to do comes out of
/// [`poll_output`](Self::poll_output). The crate's documentation shows the loop.
pub struct Shard {
    pub(crate) config: ShardConfig,
    pub(crate) base_url: GatewayUrl,
    pub(crate) state: State,
    /// What survives a connection, beside the configuration and the counters.
    pub(crate) session: Option<Session>,
    /// The one before it: what must not be printed stays so for as long as the server may name it.
    pub(crate) former_session: Option<Session>,
    pub(crate) earlier_sessions: EarlierSessions,
    /// Sequence numbers that the server has skipped.
    pub(crate) gaps: Gaps,
    /// The presence to identify with: the one last asked for.
    pub(crate) presence: Option<LatestPresence>,
    /// Dialing the resume URL has failed in this outage.
    pub(crate) resume_url_failed: bool,
    /// The row of Resumes that failed. None: the last one was answered, with RESUMED or a replay.
    pub(crate) failed_resumes: Option<FailedResumes>,
    /// The sequence number behind which a message last could not be decoded, until a replay is whole.
    pub(crate) undecodable_at: Option<u64>,
    /// Refused upgrades in a row with a status that waiting may not cure.
    pub(crate) refusals: u32,
    pub(crate) retry: Retry,
    pub(crate) wall_clock: WallClock,
    pub(crate) rng: Rng,
    pub(crate) commands: Outbox,
    pub(crate) outputs: VecDeque<Output>,
    /// What the application asked for since the last input.
    pub(crate) requested: Option<Request>,
    /// The owner of the socket does not read it: silence proves nothing.
    pub(crate) reading_paused: bool,
    /// The time of the last input.
    pub(crate) now: Instant,
    /// The deadline given out last, if it has not been met.
    pub(crate) due: Option<Instant>,
    pub(crate) stats: Stats,
    pub(crate) last_dispatch: Option<Instant>,
    pub(crate) last_reason: Option<DisconnectReason>,
    /// Writes the transcript.
    pub(crate) recorder: Option<Box<Recorder>>,
    /// Its messages come from a transcript.
    pub(crate) replayed: bool,
}

/// Where a shard is. What belongs to one connection lives in here and dies with it.
pub(crate) enum State {
    /// Waits to connect.
    BackingOff { until: Instant },
    /// The socket is being opened.
    Dialing { deadline: Instant, resume_url: bool },
    /// The socket is open.
    Open(Box<Connection>),
    /// Our close frame is sent; the server's has not come.
    Closing { connection: Box<Connection>, deadline: Instant, ending: Ending },
    /// The end.
    Stopped(StopReason),
}

/// How a connection is being ended.
pub(crate) struct Ending {
    pub(crate) reason: DisconnectReason,
    /// None: connect again.
    pub(crate) stop: Option<StopReason>,
    /// Dispatches that still arrive are delivered: the stream is intact and the session goes on.
    pub(crate) deliver: bool,
}

/// Resumes in a row that failed: each connection ended before RESUMED, and before any event of the replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedResumes {
    /// When the first of them had failed.
    pub(crate) first: Instant,
    pub(crate) count: u32,
}

/// What the application may ask of a shard at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Reconnect(Reconnect),
    Shutdown(Shutdown),
}

impl Shard {
    /// A shard that wants to connect at once.
    ///
    /// # Errors
    ///
    /// Where a field of the configuration cannot be used; the error names it.
    pub fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let base_url = config.validate()?;
        if config.session.as_ref().is_some_and(|session| !is_usable_session_id(&session.session_id)) {
            return Err(ConfigError::new("session", "its session id is empty or too long"));
        }
        Identify::new(&config, config.presence.as_ref())
            .encode(config.encoding)
            .map_err(|error| ConfigError::new("encoding", error.to_string()))
            .and_then(|identify| match identify.len() {
                size if size > config.limits.payload_bytes => {
                    Err(ConfigError::new("presence", format!("with it, Identify has {size} bytes")))
                }
                _ => Ok(()),
            })?;
        // Shards that were given the same seed must not move in step.
        let shard = u64::from(config.shard.id()) << 32 | u64::from(config.shard.count());
        let rng = Rng::with_seed(config.seed.unwrap_or_default() ^ shard.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut this = Self {
            base_url,
            state: State::BackingOff { until: now },
            session: None,
            former_session: None,
            earlier_sessions: EarlierSessions::default(),
            gaps: Gaps::default(),
            presence: config.presence.clone().map(LatestPresence::Typed),
            resume_url_failed: false,
            failed_resumes: None,
            undecodable_at: None,
            refusals: 0,
            retry: Retry::new(config.backoff.clone(), config.shard, now),
            wall_clock: WallClock::default(),
            rng,
            commands: Outbox::default(),
            outputs: VecDeque::new(),
            requested: None,
            reading_paused: false,
            now,
            due: None,
            stats: Stats::default(),
            last_dispatch: None,
            last_reason: None,
            recorder: None,
            replayed: false,
            config,
        };
        this.take_up_saved_session();
        this.dial(now);
        Ok(this)
    }

    /// "Resume only if the count is unchanged": a session of another shard id or count has other guilds.
    fn take_up_saved_session(&mut self) {
        let Some(saved) = self.config.session.take() else { return };
        if saved.shard != self.config.shard {
            self.event(Event::Notice(Notice::SavedSessionForOtherShard));
            return;
        }
        let resume_url = saved.resume_url.as_ref().and_then(|url| self.usable_resume_url(url));
        if saved.resume_url.is_some() && resume_url.is_none() {
            self.event(Event::Notice(Notice::ResumeUrlUnusable));
        }
        let session = Session {
            key: SessionKey::of(&saved.session_id),
            id: saved.session_id.into(),
            resume_url,
            sequence: saved.sequence,
            acknowledged: saved.sequence,
            unusable_url: None,
        };
        self.session = Some(session.with_unusable_url(saved.resume_url.as_deref()));
    }

    /// Takes an input. Any input may come in any state, and any number before [`poll_output`](Self::poll_output).
    ///
    /// `now` must not run backwards; where it does, the latest time seen is used.
    pub fn handle_input(&mut self, mut input: Input, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        self.clean(&mut input);
        self.record(|recorder, _| recorder.input(&input, now));
        if let Input::Progress { .. } = input {
            return self.transition(input, now);
        }
        self.forgive_lateness(now);
        match input {
            // What became of a connection is so, whatever the application wants since.
            Input::Opened | Input::ConnectFailed(_) | Input::Closed(_) => {
                self.transition(input, now);
                self.obey_request(now);
            }
            // What arrives after the application has said stop is neither delivered nor counted.
            _ => {
                self.obey_request(now);
                self.transition(input, now);
            }
        }
        self.wall_clock.pass(now);
        self.fire_timers(now);
        self.answer_heartbeat_requests(now);
        self.flush_commands(now);
        self.record(|recorder, _| recorder.input_done(now));
    }

    /// The next thing to do. Ends in [`Output::Timeout`]: nothing more until then, or until the next input.
    pub fn poll_output(&mut self) -> Output {
        let output = self.next_output();
        self.record(|recorder, shard| recorder.said(&output, shard.now));
        output
    }

    /// What [`poll_output`](Self::poll_output) gives out before the next deadline.
    #[cfg(feature = "raw")]
    pub(crate) fn queued_outputs(&self) -> &VecDeque<Output> {
        &self.outputs
    }

    fn next_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let State::Stopped(reason) = &self.state {
            return Output::Stopped(reason.clone());
        }
        let deadline = self.next_deadline();
        self.due = Some(deadline);
        // A request is obeyed at the next input: that may be now.
        Output::Timeout(if self.requested.is_some() { self.now } else { deadline })
    }

    /// Queues a command. It goes out once the shard is READY and the rate limits allow; the order is kept.
    ///
    /// Presences have a limit of their own, and so have requests for all members of one guild: what these hold back lets
    /// other commands pass. A presence takes the place of one that still waits: only the newest counts.
    ///
    /// # Errors
    ///
    /// Where the gateway would not accept the command, where too many wait already, and after the shard has stopped.
    /// Nothing has changed then.
    pub fn send(&mut self, command: Command) -> Result<(), SendError> {
        if self.is_ending() {
            return Err(SendError::Stopped);
        }
        let bytes = command.encode(self.config.encoding, self.config.limits.payload_bytes)?;
        let kind = Kind::of(&command);
        let full = self.commands.len() >= self.config.limits.queued_commands;
        if full && !self.commands.replaces(kind) {
            return Err(SendError::QueueFull { waiting: self.commands.len() });
        }
        self.commands.push(kind, bytes.into());
        self.record(|recorder, shard| recorder.sent(command.op(), kind, shard.now));
        let presence = match command {
            Command::UpdatePresence(presence) => Some(LatestPresence::Typed(presence)),
            Command::Raw { op: opcode::PRESENCE_UPDATE, data } => LatestPresence::of_raw(&data),
            _ => None,
        };
        self.presence = presence.or(self.presence.take());
        Ok(())
    }

    /// As [`Shard::new`], for messages of a transcript.
    pub(crate) fn for_replay(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let mut shard = Self::new(config, now)?;
        shard.replayed = true;
        Ok(shard)
    }

    /// A command that was accepted when the transcript was written. What it said is not known.
    pub(crate) fn queue_replayed(&mut self, op: u64, kind: Kind) {
        let payload = Payload { op, d: &() }.encode(self.config.encoding);
        self.commands.push(kind, payload.expect("a number and null can be written in any encoding").into());
    }

    /// Ends the shard for good. [`Output::Stopped`] follows, at the latest after [`Timeouts::close`](crate::Timeouts).
    pub fn shutdown(&mut self, how: Shutdown) {
        self.request(Request::Shutdown(how));
    }

    /// Connects anew, and interrupts any waiting: for the end of a back-off, or for the server's close frame. A connection
    /// that is just being opened is not opened twice. Does nothing once the shard is shutting down.
    pub fn reconnect(&mut self, how: Reconnect) {
        self.request(Request::Reconnect(how));
    }

    fn request(&mut self, request: Request) {
        if !self.is_ending() {
            self.requested = Some(request);
            self.record(|recorder, shard| recorder.asked(request, shard.now));
        }
    }

    /// The session as it could be resumed by a later process. None before READY, and after its end.
    pub fn session(&self) -> Option<SessionSnapshot> {
        let session = self.session.as_ref()?;
        let resume_url = session.resume_url.as_ref().map(GatewayUrl::expose);
        let sequence = session.resume_from(self.config.delivery);
        Some(SessionSnapshot::new(session.id.to_string(), resume_url, sequence, self.config.shard))
    }

    /// What the shard has done so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How the shard was set up. A saved session has been taken out.
    pub fn config(&self) -> &ShardConfig {
        &self.config
    }

    /// How the shard is doing, as of the last input.
    pub fn health(&self) -> Health {
        let connection = match &self.state {
            State::Open(connection) | State::Closing { connection, .. } => Some(connection),
            _ => None,
        };
        let heartbeat = connection.and_then(|connection| connection.heartbeat.as_ref());
        Health {
            condition: self.condition(),
            phase: self.phase(),
            latency: heartbeat.and_then(Heartbeat::latency),
            last_received: connection.map(|connection| connection.last_received),
            last_acknowledged: heartbeat.and_then(Heartbeat::last_acknowledged),
            last_dispatch: self.last_dispatch,
            queued_commands: self.commands.len(),
        }
    }

    /// Where in its life the shard is.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::BackingOff { .. } => Phase::BackingOff,
            State::Dialing { .. } => Phase::Connecting,
            State::Open(connection) => match connection.stage {
                Stage::AwaitingHello { .. } => Phase::AwaitingHello,
                Stage::AwaitingIdentify => Phase::AwaitingIdentify,
                Stage::AwaitingReady { .. } => Phase::AwaitingReady,
                Stage::Resuming { .. } => Phase::Resuming,
                Stage::Ready => Phase::Ready,
            },
            State::Closing { .. } => Phase::Closing,
            State::Stopped(_) => Phase::Stopped,
        }
    }

    fn condition(&self) -> Condition {
        let next_at = match &self.state {
            State::Stopped(reason) => return Condition::Stopped(reason.clone()),
            State::Open(connection) if matches!(connection.stage, Stage::Ready) => {
                let missed = connection.heartbeat.as_ref().map_or(0, Heartbeat::missed);
                return match missed {
                    0 => Condition::Healthy,
                    missed_heartbeats => Condition::Degraded { missed_heartbeats },
                };
            }
            State::BackingOff { until } => Some(*until),
            _ => None,
        };
        let closing = match &self.state {
            State::Closing { ending, .. } => Some(&ending.reason),
            _ => None,
        };
        match closing.or(self.last_reason.as_ref()) {
            Some(reason) => {
                Condition::Reconnecting { attempt: self.retry.failures(), next_at, reason: reason.clone() }
            }
            None => Condition::Starting,
        }
    }

    /// Whether the shard has stopped, or is about to.
    fn is_ending(&self) -> bool {
        matches!(self.state, State::Stopped(_) | State::Closing { ending: Ending { stop: Some(_), .. }, .. })
            || matches!(self.requested, Some(Request::Shutdown(_)))
    }

    /// The earliest deadline of the state. Every state but the last has one.
    fn next_deadline(&self) -> Instant {
        match &self.state {
            State::BackingOff { until } => *until,
            State::Dialing { deadline, .. } | State::Closing { deadline, .. } => *deadline,
            State::Open(connection) => {
                let deadline = connection.next_deadline(self.now, self.commands.next(self.now));
                self.wall_clock.next().map_or(deadline, |next| next.min(deadline))
            }
            State::Stopped(_) => self.now,
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Gives out a message, and counts it against the connection's window.
    pub(crate) fn transmit(&mut self, payload: impl Into<Bytes>, now: Instant) {
        if let State::Open(connection) = &mut self.state {
            connection.window.record(now);
            self.give_out(payload.into());
        }
    }

    fn give_out(&mut self, payload: Bytes) {
        self.outputs.push_back(Output::Send(match self.config.encoding {
            Encoding::Json => Message::Text(payload),
            Encoding::Etf => Message::Binary(payload),
        }));
    }

    /// Sends what the application asked for, as far as the rate limit allows.
    pub(crate) fn flush_commands(&mut self, now: Instant) {
        while let State::Open(connection) = &self.state
            && matches!(connection.stage, Stage::Ready)
            && self.commands.len() > 0
            && connection.window.next_command(now) <= now
            && let Some(command) = self.commands.pop(now)
        {
            self.transmit(command, now);
            self.stats.commands += 1;
        }
    }

    /// Sends the heartbeats that the server asked for, as far as the rate limit allows. They go before commands.
    fn answer_heartbeat_requests(&mut self, now: Instant) {
        while let State::Open(connection) = &mut self.state
            && connection.answer_heartbeat_request(now)
        {
            self.send_heartbeat();
        }
    }

    /// A shard that is called long after its deadline was not driven: silence in that time proves nothing. But if there
    /// was nothing to read then, a second time does prove something.
    fn forgive_lateness(&mut self, now: Instant) {
        /// A busy machine is this late without meaning anything by it.
        const GRACE: Duration = Duration::from_secs(2);
        let due = self.due.take().unwrap_or_else(|| self.next_deadline());
        if due >= now {
            return;
        }
        let late = now.duration_since(due);
        if late > GRACE
            && let State::Open(connection) = &mut self.state
            && !connection.forgiven
        {
            connection.forgiven = true;
            connection.forgive(&self.config.timeouts, now);
            self.event(Event::Notice(Notice::NotDriven { late }));
        }
    }

    /// Gives out a heartbeat: "the last sequence number `s` received by the client. […] null if you have not yet
    /// received one" (Discord Docs, Gateway > Sending Heartbeats). The window has places for the scheduled ones.
    pub(crate) fn send_heartbeat(&mut self) {
        // Sequence numbers begin at 1: 0 stands for none, and is never sent.
        let sequence = self.session.as_ref().map(|session| session.sequence).filter(|sequence| *sequence > 0);
        let payload = outgoing::heartbeat(sequence, self.config.encoding);
        self.give_out(payload.expect("a number or null can be written in any encoding").into());
        self.stats.heartbeats += 1;
    }
}

/// Shows what is not secret.
impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("shard", &self.config.shard)
            .field("phase", &self.phase())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
