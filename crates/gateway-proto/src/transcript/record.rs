//! Writing a transcript.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_codec::{Envelope, RawRef};
use serde::Serialize;

use super::Said;
use super::line::{
    Config, Data, End, Failure, Head, InputLine, Line, MessageLine, Meta, Payload, Read, RequestLine,
    SavedSession, SendLimit, VERSION, event_name, nanoseconds,
};
use crate::heartbeat::interval_ms;
use crate::member_requests::RateLimited;
use crate::outbox::Kind;
use crate::outgoing::opcode;
use crate::receiver::{ReceiveError, Received};
use crate::session::{ResumeUrl, SessionId, is_usable_session_id};
use crate::shard::Request;
use crate::{
    Closed, ConfigError, ConnectError, Event, GatewayUrl, Input, Notice, Output, Shard, ShardConfig,
    Snowflake,
};

/// Writes down what happens to a shard, without secrets.
pub(crate) struct Recorder {
    /// Never waited for: the lock is there because a shard can be shared.
    writer: Mutex<Box<dyn Write + Send>>,
    start: Instant,
    /// A message that has been handed in, and not looked at so far: its size.
    message: Option<usize>,
    /// What the newest line says, if that is an output that repeats.
    repeats: Option<Said>,
    sessions: Sessions,
    /// The number of each guild that a command was about.
    guilds: BTreeMap<Snowflake, u64>,
    /// What the wall clock said first.
    wall_clock: Option<Duration>,
}

/// The numbers of sessions: that of the current one, and that of the newest READY.
#[derive(Default)]
struct Sessions {
    current: Option<(Box<str>, u64)>,
    newest: Option<(Box<str>, u64)>,
    count: u64,
}

impl Shard {
    /// As [`Shard::new`], and writes a transcript: see [`transcript`](crate::transcript).
    ///
    /// The writer gets whole lines on the way of every input and output, so it should not wait: a `BufWriter`, or memory. It
    /// is flushed when the shard has stopped. If it fails, the transcript ends with [`Notice::TranscriptEnded`] and the shard
    /// goes on.
    ///
    /// # Errors
    ///
    /// As [`Shard::new`].
    pub fn with_transcript(
        config: ShardConfig,
        now: Instant,
        writer: impl Write + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let head = Head::of(&config);
        let saved = config.session.as_ref().map(|session| session.session_id.as_str().into());
        let mut shard = Self::new(config, now)?;
        shard.recorder = Some(Box::new(Recorder {
            writer: Mutex::new(Box::new(writer)),
            start: now,
            message: None,
            repeats: None,
            sessions: Sessions { current: saved.map(|id| (id, 0)), ..Sessions::default() },
            guilds: BTreeMap::new(),
            wall_clock: None,
        }));
        shard.record(|recorder, _| recorder.write(&head));
        Ok(shard)
    }

    /// Writes to the transcript, if there is one.
    pub(crate) fn record(&mut self, write: impl FnOnce(&mut Recorder, &Self) -> io::Result<()>) {
        if let Some(mut recorder) = self.recorder.take() {
            match write(&mut recorder, self) {
                Ok(()) => self.recorder = Some(recorder),
                Err(error) => self.event(Event::Notice(Notice::TranscriptEnded { kind: error.kind() })),
            }
        }
    }
}

impl Recorder {
    /// An input, unless it is a message: that is written down once it has been read, or has not been.
    pub(crate) fn input(&mut self, input: &Input, now: Instant) -> io::Result<()> {
        let line = match input {
            Input::Message(message) => {
                self.message = Some(message.as_bytes().len());
                return Ok(());
            }
            Input::Opened => InputLine::Opened,
            Input::ConnectFailed(error) => InputLine::ConnectFailed(Failure::of(error)),
            Input::Progress { message } => InputLine::Progress { message: *message },
            Input::Closed(closed) => InputLine::Closed(End::of(closed)),
            Input::IdentifyGranted => InputLine::IdentifyGranted,
            Input::IdentifyRefused(refused) => InputLine::IdentifyRefused {
                cause: refused.cause,
                remaining: refused.remaining,
                reserve: refused.reserve,
                available_in: nanoseconds(refused.available_in),
            },
            Input::ReadingPaused => InputLine::ReadingPaused,
            Input::ReadingResumed => InputLine::ReadingResumed,
            Input::WallClock(since_1970) => InputLine::WallClock(self.since_first_told(*since_1970)),
            Input::Timeout => InputLine::Timeout,
        };
        self.line(&Line::input(self.at(now), line))
    }

    /// A message has been read, with this result. `checked`: the shard looks at the structure of its data before it goes on.
    pub(crate) fn read(
        &mut self,
        received: &Result<Option<Received>, ReceiveError>,
        checked: bool,
        shard: &Shard,
    ) -> io::Result<()> {
        let Some(bytes) = self.message.take() else { return Ok(()) };
        let mut line = MessageLine::new(bytes, Read::Part);
        match received {
            Ok(None) => {}
            Err(ReceiveError::TooLarge) => line.read = Read::TooLarge,
            Err(ReceiveError::Undecodable(_)) => line.read = Read::Undecodable,
            Ok(Some(Received { payload, encoding, unexpected, .. })) => {
                line.inflated_bytes = Some(payload.len());
                line.read = match unexpected {
                    true => Read::UnexpectedPayload,
                    false => Read::Payload,
                };
                let envelope = match checked {
                    true => Envelope::parse(payload, *encoding),
                    false => Envelope::skim(payload, *encoding),
                };
                match envelope {
                    Ok(envelope) => {
                        line.trailing_bytes = envelope.trailing;
                        line.payload = Some(self.payload(&envelope, shard));
                    }
                    Err(_) => line.read = Read::Undecodable,
                }
            }
        }
        self.line(&Line::input(self.at(shard.now), InputLine::Message(line)))
    }

    /// All that an input leads to has been done. A message that nobody has read is written down now.
    pub(crate) fn input_done(&mut self, now: Instant) -> io::Result<()> {
        let Some(bytes) = self.message.take() else { return Ok(()) };
        let line = MessageLine::new(bytes, Read::Ignored);
        self.line(&Line::input(self.at(now), InputLine::Message(line)))
    }

    /// A command was accepted.
    pub(crate) fn sent(&mut self, op: u64, kind: Kind, now: Instant) -> io::Result<()> {
        let limit = match kind {
            Kind::Other => None,
            Kind::Presence => Some(SendLimit::Presence),
            Kind::AllMembers(guild) => {
                let next = self.guilds.len() as u64 + 1;
                Some(SendLimit::AllMembers(*self.guilds.entry(guild).or_insert(next)))
            }
        };
        self.request(RequestLine::Send { op, limit }, now)
    }

    pub(crate) fn acknowledged(&mut self, sequence: u64, now: Instant) -> io::Result<()> {
        self.request(RequestLine::Ack(sequence), now)
    }

    pub(crate) fn acknowledged_current(&mut self, sequence: u64, now: Instant) -> io::Result<()> {
        self.request(RequestLine::AckCurrent(sequence), now)
    }

    pub(crate) fn asked(&mut self, request: Request, now: Instant) -> io::Result<()> {
        let line = match request {
            Request::Shutdown(how) => RequestLine::Shutdown(how.into()),
            Request::Reconnect(how) => RequestLine::Reconnect(how.into()),
        };
        self.request(line, now)
    }

    /// The application asked for something, and was not refused.
    fn request(&mut self, request: RequestLine, now: Instant) -> io::Result<()> {
        self.line(&Line::request(self.at(now), request))
    }

    /// An output was given out.
    pub(crate) fn said(&mut self, output: &Output, now: Instant) -> io::Result<()> {
        let said = Said::of(output, self.start);
        if self.repeats.as_ref() == Some(&said) {
            return Ok(());
        }
        let repeats = matches!(said, Said::Wait { .. } | Said::Stopped(_)).then(|| said.clone());
        self.line(&Line::said(self.at(now), said))?;
        self.repeats = repeats;
        match output {
            // Somebody may keep the shard for long after its end.
            Output::Stopped(_) => self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).flush(),
            _ => Ok(()),
        }
    }

    fn payload(&mut self, envelope: &Envelope<'_>, shard: &Shard) -> Payload {
        let name = envelope.t.as_deref().unwrap_or_default();
        Payload {
            op: envelope.op,
            s: envelope.s,
            t: Some(event_name(&shard.event_name(name)).into_owned()).filter(|name| !name.is_empty()),
            d: match (envelope.op, name) {
                (opcode::HELLO, _) => {
                    interval_ms(envelope.d).map(|heartbeat_interval| Data::Hello { heartbeat_interval })
                }
                (opcode::INVALID_SESSION, _) => envelope.d.decode().ok().map(Data::Resumable),
                (opcode::DISPATCH, "READY") => self.ready(envelope.d, shard),
                (opcode::DISPATCH, "RATE_LIMITED") => self.rate_limited(envelope.d),
                _ => None,
            },
        }
    }

    fn ready(&mut self, data: RawRef<'_>, shard: &Shard) -> Option<Data> {
        let id = data.decode::<SessionId>().ok()?.session_id;
        if !is_usable_session_id(&id) {
            return None;
        }
        let current = shard.session.as_ref().map(|session| &*session.id);
        let url = data.decode::<ResumeUrl>().ok();
        Some(Data::Ready {
            session_id: format!("session-{}", self.sessions.number(&id, current)),
            resume_gateway_url: url
                .map(|ready| placeholder(shard.usable_resume_url(&ready.resume_gateway_url).as_ref())),
        })
    }

    fn rate_limited(&self, data: RawRef<'_>) -> Option<Data> {
        let limited = RateLimited::read(data)?;
        // A guild that nobody has asked about is not believed, whichever it is.
        let guild_id = self.guilds.get(&limited.guild).copied().unwrap_or(0);
        let retry_after = limited.retry_after.as_secs_f64();
        Some(Data::RateLimited {
            opcode: opcode::REQUEST_GUILD_MEMBERS,
            retry_after,
            meta: Meta { guild_id },
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

impl Sessions {
    /// The number of a session that READY names. `current`: the one that the shard has.
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
        let config = Config {
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

/// A URL in place of this one, which says no more than whether the shard may use it. None: it may not.
fn placeholder(usable: Option<&GatewayUrl>) -> String {
    match usable {
        Some(url) if url.is_tls() => "wss://resume.invalid".to_owned(),
        Some(_) => "ws://resume.invalid".to_owned(),
        None => String::new(),
    }
}

impl Failure {
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

impl End {
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
