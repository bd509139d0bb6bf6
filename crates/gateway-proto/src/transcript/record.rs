//! Writes a transcript.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_codec::RawRef;
use serde::Serialize;

use super::line::{
    ConfigLine, DataLine, EndLine, FailureLine, Head, InputLine, Line, MessageLine, MetaLine, PayloadLine,
    Read, RequestLine, SavedSession, SendLimit, VERSION,
};
use super::recorded_output::{RecordedOutput, event_name, nanoseconds};
use crate::live_session::{ResumeUrl, SessionId, is_usable_session_id};
use crate::machine::context::Context;
use crate::machine::input::MachineInput;
use crate::machine::request::{EndRequest, MachineRequest};
use crate::member_requests::RateLimited;
use crate::outbox::CommandKind;
use crate::outgoing::opcode;
use crate::payload::{Inbound, ReadMessage, Reading};
use crate::{Closed, ConnectError, Dispatch, GatewayUrl, Output, ShardConfig, Snowflake};

/// Records the inputs, requests and outputs of a shard, without secrets.
pub(crate) struct Recorder {
    /// Never contended: the lock only makes the recorder `Sync`.
    writer: Mutex<Box<dyn Write + Send>>,
    start: Instant,
    /// `None` once it is written.
    head: Option<Head>,
    /// The output of the newest line, if that output may repeat.
    repeats: Option<RecordedOutput>,
    sessions: SessionNumbers,
    /// A number for each guild that a command names.
    guilds: BTreeMap<Snowflake, u64>,
    /// The first reading of the wall clock.
    wall_clock: Option<Duration>,
}

/// Numbers for the current session and for that of the newest READY.
#[derive(Default)]
struct SessionNumbers {
    current: Option<(Box<str>, u64)>,
    newest: Option<(Box<str>, u64)>,
    count: u64,
}

impl Recorder {
    pub(crate) fn new(config: &ShardConfig, start: Instant, writer: Box<dyn Write + Send>) -> Self {
        let saved = config.session.as_ref().map(|session| session.session_id.as_str().into());
        Self {
            writer: Mutex::new(writer),
            start,
            head: Some(Head::of(config)),
            repeats: None,
            sessions: SessionNumbers { current: saved.map(|id| (id, 0)), ..SessionNumbers::default() },
            guilds: BTreeMap::new(),
            wall_clock: None,
        }
    }

    /// Writes the first line.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let head = self.head.take();
        self.write(&head)
    }

    /// Records an input before the machine handles it.
    pub(crate) fn input(&mut self, input: &MachineInput, cx: &Context, now: Instant) -> io::Result<()> {
        let line = match input {
            MachineInput::Opened => InputLine::Opened,
            MachineInput::ConnectFailed(error) => InputLine::ConnectFailed(FailureLine::of(error)),
            MachineInput::Message(message) => InputLine::Message(self.message(message, cx)),
            MachineInput::UnreadMessage { bytes } => {
                InputLine::Message(MessageLine::new(*bytes, Read::Ignored))
            }
            MachineInput::Progress { message } => InputLine::Progress { message: *message },
            MachineInput::Closed(closed) => InputLine::Closed(EndLine::of(closed)),
            MachineInput::IdentifyGranted => InputLine::IdentifyGranted,
            MachineInput::IdentifyRefused(refused) => InputLine::IdentifyRefused {
                cause: refused.cause,
                remaining: refused.remaining,
                reserve: refused.reserve,
                available_in: nanoseconds(refused.available_in),
            },
            MachineInput::ReadingPaused => InputLine::ReadingPaused,
            MachineInput::ReadingResumed => InputLine::ReadingResumed,
            MachineInput::WallClock(since_1970) => InputLine::WallClock(self.since_first_told(*since_1970)),
            MachineInput::Timeout => InputLine::Timeout,
        };
        self.line(&Line::input(self.at(now), line))
    }

    /// Records a request of the application before the machine handles it.
    pub(crate) fn request(&mut self, request: &MachineRequest, now: Instant) -> io::Result<()> {
        let line = match request {
            MachineRequest::Send(command) => {
                RequestLine::Send { op: command.op, limit: self.send_limit(command.kind) }
            }
            MachineRequest::Ack(sequence) => RequestLine::Ack(*sequence),
            MachineRequest::AckCurrent(sequence) => RequestLine::AckCurrent(*sequence),
            MachineRequest::Heartbeat => RequestLine::Heartbeat,
            MachineRequest::End(EndRequest::Shutdown(how)) => RequestLine::Shutdown((*how).into()),
            MachineRequest::End(EndRequest::Reconnect(how)) => RequestLine::Reconnect((*how).into()),
        };
        self.line(&Line::request(self.at(now), line))
    }

    /// Records an output of the machine.
    pub(crate) fn output(&mut self, output: &Output, now: Instant) -> io::Result<()> {
        let recorded = RecordedOutput::of(output, self.start);
        if self.repeats.as_ref() == Some(&recorded) {
            return Ok(());
        }
        let repeats = matches!(recorded, RecordedOutput::Wait { .. } | RecordedOutput::Stopped(_))
            .then(|| recorded.clone());
        self.line(&Line::output(self.at(now), recorded))?;
        self.repeats = repeats;
        match output {
            // The application may keep the shard long after it has stopped.
            Output::Stopped(_) => self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).flush(),
            _ => Ok(()),
        }
    }

    fn message(&mut self, message: &ReadMessage, cx: &Context) -> MessageLine {
        let line = |read| MessageLine::new(message.bytes, read);
        match &message.reading {
            Reading::Part => line(Read::Part),
            Reading::TooLarge => line(Read::TooLarge),
            Reading::Undecodable { inflated_bytes, .. } => {
                MessageLine { inflated_bytes: *inflated_bytes, ..line(Read::Undecodable) }
            }
            Reading::Payload(payload) => MessageLine {
                inflated_bytes: Some(payload.bytes),
                trailing_bytes: payload.trailing,
                payload: Some(self.payload(&payload.content, cx)),
                ..line(if payload.unexpected { Read::UnexpectedPayload } else { Read::Payload })
            },
        }
    }

    fn payload(&mut self, content: &Inbound, cx: &Context) -> PayloadLine {
        let line = |op, d| PayloadLine { op, d, ..PayloadLine::default() };
        match content {
            Inbound::Dispatch(dispatch) => PayloadLine {
                op: opcode::DISPATCH,
                s: dispatch.sequence(),
                t: Some(event_name(&cx.event_name(dispatch.name())).into_owned())
                    .filter(|name| !name.is_empty()),
                d: match dispatch.name() {
                    "READY" => self.ready(dispatch.data(), cx),
                    "RATE_LIMITED" => self.rate_limited(dispatch),
                    _ => None,
                },
            },
            Inbound::HeartbeatRequest => line(opcode::HEARTBEAT, None),
            Inbound::Reconnect => line(opcode::RECONNECT, None),
            Inbound::InvalidSession { resumable } => {
                line(opcode::INVALID_SESSION, Some(DataLine::Resumable(*resumable)))
            }
            Inbound::Hello { interval_ms } => line(
                opcode::HELLO,
                interval_ms.map(|heartbeat_interval| DataLine::Hello { heartbeat_interval }),
            ),
            Inbound::HeartbeatAck => line(opcode::HEARTBEAT_ACK, None),
            Inbound::Unknown(unknown) => line(unknown.op, None),
        }
    }

    fn send_limit(&mut self, kind: CommandKind) -> Option<SendLimit> {
        match kind {
            CommandKind::Other => None,
            CommandKind::Presence => Some(SendLimit::Presence),
            CommandKind::AllMembers(guild) => {
                let next = self.guilds.len() as u64 + 1;
                Some(SendLimit::AllMembers(*self.guilds.entry(guild).or_insert(next)))
            }
        }
    }

    fn ready(&mut self, data: RawRef<'_>, cx: &Context) -> Option<DataLine> {
        let id = data.decode::<SessionId>().ok()?.session_id;
        if !is_usable_session_id(&id) {
            return None;
        }
        let url = data.decode::<ResumeUrl>().ok();
        Some(DataLine::Ready {
            session_id: format!("session-{}", self.sessions.number(&id, cx.sessions.id())),
            resume_gateway_url: url
                .map(|ready| placeholder(cx.usable_resume_url(&ready.resume_gateway_url).as_ref())),
        })
    }

    fn rate_limited(&self, dispatch: &Dispatch) -> Option<DataLine> {
        let limited = RateLimited::of_member_request(dispatch)?;
        // The machine ignores a guild for which it sent no request, so all of them share number 0.
        let guild_id = self.guilds.get(&limited.guild).copied().unwrap_or(0);
        let retry_after = limited.retry_after.as_secs_f64();
        Some(DataLine::RateLimited {
            opcode: opcode::REQUEST_GUILD_MEMBERS,
            retry_after,
            meta: MetaLine { guild_id },
        })
    }

    fn since_first_told(&mut self, since_1970: Duration) -> i64 {
        let first = *self.wall_clock.get_or_insert(since_1970);
        let difference = since_1970.as_nanos() as i128 - first.as_nanos() as i128;
        difference.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn at(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.start))
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        self.repeats = None;
        self.write(line)
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = gateway_codec::json::to_vec(value).map_err(io::Error::other)?;
        bytes.push(b'\n');
        self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }
}

impl SessionNumbers {
    /// The number of the session that READY names. `current` is the shard's current session id.
    fn number(&mut self, id: &str, current: Option<&str>) -> u64 {
        if let Some((newest, _)) = &self.newest
            && current == Some(&**newest)
        {
            self.current = self.newest.take();
        }
        match &self.current {
            Some((known, number)) if **known == *id && current == Some(id) => *number,
            _ => {
                self.count += 1;
                self.newest = Some((id.into(), self.count));
                self.count
            }
        }
    }
}

impl Head {
    fn of(config: &ShardConfig) -> Self {
        let base = GatewayUrl::parse(&config.url).ok();
        let usable = |url: &str| config.resume_url(base.as_ref()?, url);
        let session = config.session.as_ref().map(|session| SavedSession {
            sequence: session.sequence,
            shard: session.shard,
            resume_url: session.resume_url.as_deref().map(|url| placeholder(usable(url).as_ref())),
        });
        let tls = base.as_ref().is_some_and(GatewayUrl::is_tls);
        let config = ConfigLine {
            shard: config.shard,
            intents: config.intents,
            tls,
            encoding: config.encoding.to_string(),
            compression: config.compression.to_string(),
            delivery: config.delivery,
            seed: config.seed.unwrap_or_default(),
            timeouts: config.timeouts.clone(),
            backoff: config.backoff.clone(),
            limits: config.limits.clone(),
            session,
        };
        Self { transcript: VERSION, version: env!("CARGO_PKG_VERSION").to_owned(), config }
    }
}

/// Replaces a URL, and keeps only whether the shard may use it and whether it is `wss`. Empty if it may not be used.
fn placeholder(usable: Option<&GatewayUrl>) -> String {
    match usable {
        Some(url) if url.is_tls() => "wss://resume.invalid".to_owned(),
        Some(_) => "ws://resume.invalid".to_owned(),
        None => String::new(),
    }
}

impl FailureLine {
    fn of(error: &ConnectError) -> Self {
        match error {
            ConnectError::Dns(_) => Self::Dns,
            ConnectError::Tcp(_) => Self::Tcp,
            ConnectError::Tls(_) => Self::Tls,
            ConnectError::Refused(refused) => {
                Self::Refused { status: refused.status, retry_after: refused.retry_after.map(nanoseconds) }
            }
            ConnectError::Handshake(_) => Self::Handshake,
        }
    }
}

impl EndLine {
    fn of(closed: &Closed) -> Self {
        match closed {
            Closed::Frame { code, .. } => Self::Frame { code: *code },
            Closed::Eof => Self::Eof,
            Closed::Failed(_) => Self::Failed,
            Closed::Protocol(_) => Self::Protocol,
            Closed::MessageTooLarge => Self::MessageTooLarge,
        }
    }
}
