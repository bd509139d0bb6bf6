//! Living a life again that was written down.

use std::fmt;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use gateway_codec::text::escape_at_most;
use gateway_codec::{Compression, Encoding, Error};

use super::line::{
    EndLine, FailureLine, Head, InputLine, Line, MessageLine, Read, RequestLine, SendLimit, VERSION,
};
use super::said::{Said, seconds};
use crate::config::{ConfigError, ResumeHosts};
use crate::disconnect::Refused;
use crate::identify::IdentifyRefused;
use crate::machine::input::MachineInput;
use crate::machine::request::{EndRequest, MachineRequest};
use crate::outbox::AcceptedCommand;
use crate::payload::{Check, InboundPayload, ReadMessage, Reading};
use crate::session::SessionSnapshot;
use crate::{Closed, ConnectError, Shard, ShardConfig};

/// The maximum length of a line in bytes. Written lines have a few hundred.
const LINE_BYTES: u64 = 1 << 16;
/// The first reading of the wall clock in a replay: late enough that it can be set back by centuries.
const FIRST_WALL_CLOCK: Duration = Duration::from_secs(20_000_000_000);

/// Reads a transcript, and lets a fresh shard live what it tells, step by step.
///
/// The shard gets the same inputs at the same times, so it says the same, if the library still does the same.
pub struct Replay<R> {
    reader: R,
    shard: Shard,
    start: Instant,
    number: usize,
    ended: bool,
}

/// A line of a transcript, lived again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Something was told to the shard: an input, or a request of the application.
    Told {
        /// When, since the beginning.
        at: Duration,
        /// The line.
        line: String,
    },
    /// The shard has said something.
    Said {
        /// When, since the beginning.
        at: Duration,
        /// What it said when the transcript was written.
        recorded: Said,
        /// What it says when it is played again.
        replayed: Said,
    },
}

/// A transcript that cannot be played.
#[derive(Debug)]
#[non_exhaustive]
pub enum TranscriptError {
    /// It could not be read.
    Io(io::Error),
    /// It is of another version of the format, or none at all.
    Version,
    /// A line is not what it should be.
    Line {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it. None: it says nothing that a shard could be told.
        error: Option<Error>,
    },
    /// The configuration cannot be used.
    Config(ConfigError),
}

impl<R: BufRead> Replay<R> {
    /// Reads the first line. `start`: any time; those of the transcript count from it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or does not begin as a transcript of this version does.
    pub fn new(mut reader: R, start: Instant) -> Result<Self, TranscriptError> {
        let line = read_line(&mut reader)?.ok_or(TranscriptError::Version)?;
        let head: Head = gateway_codec::json::from_slice(&line).map_err(|_| TranscriptError::Version)?;
        if head.transcript != VERSION {
            return Err(TranscriptError::Version);
        }
        let shard = Shard::new(config_of(head)?, start).map_err(TranscriptError::Config)?;
        Ok(Self { reader, shard, start, number: 1, ended: false })
    }

    /// The shard as it stands, for its health and its counters.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    fn step(&mut self) -> Result<Option<Step>, TranscriptError> {
        let Some(bytes) = read_line(&mut self.reader)? else { return Ok(None) };
        self.number += 1;
        let number = self.number;
        let wrong = |error| TranscriptError::Line { number, error };
        let line: Line = gateway_codec::json::from_slice(&bytes).map_err(|error| wrong(Some(error)))?;
        let at = Duration::from_nanos(line.at);
        match line {
            Line { input: Some(input), request: None, said: None, .. } => {
                let now = self.start.checked_add(at).ok_or_else(|| wrong(None))?;
                let input = input_of(input).map_err(|error| wrong(Some(error)))?;
                let machine = self.shard.machine_mut();
                machine.handle_input(input, now.max(machine.now()));
            }
            Line { input: None, request: Some(request), said: None, .. } => {
                let request = request_of(request, self.shard.config().encoding);
                self.shard.machine_mut().handle_request(request);
            }
            Line { input: None, request: None, said: Some(recorded), .. } => {
                let replayed = Said::of(&self.shard.machine_mut().poll_output(), self.start);
                return Ok(Some(Step::Said { at, recorded, replayed }));
            }
            _ => return Err(wrong(None)),
        }
        Ok(Some(Step::Told { at, line: String::from_utf8_lossy(&bytes).trim_end().to_owned() }))
    }
}

/// Ends with the transcript, and after an error.
impl<R: BufRead> Iterator for Replay<R> {
    type Item = Result<Step, TranscriptError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step().transpose();
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}

impl Step {
    /// Whether the shard said something else than it did then.
    pub fn differs(&self) -> bool {
        matches!(self, Self::Said { recorded, replayed, .. } if recorded != replayed)
    }
}

/// The next line. None: there is none, or it was not written to its end.
fn read_line(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>, TranscriptError> {
    let mut line = Vec::new();
    io::Read::take(reader, LINE_BYTES).read_until(b'\n', &mut line).map_err(TranscriptError::Io)?;
    match line.last() {
        Some(b'\n') => Ok(Some(line)),
        _ if line.len() as u64 == LINE_BYTES => Err(TranscriptError::Io(io::ErrorKind::InvalidData.into())),
        _ => Ok(None),
    }
}

fn config_of(head: Head) -> Result<ShardConfig, TranscriptError> {
    let recorded = head.config;
    // A token that is in no name of an event, where it would be taken out.
    let mut config = ShardConfig::new("0", recorded.intents);
    let scheme = if recorded.tls { "wss" } else { "ws" };
    config.url = format!("{scheme}://gateway.invalid");
    config.shard = recorded.shard;
    config.encoding = recorded.encoding.parse().map_err(|_| TranscriptError::Version)?;
    // Nothing is inflated: a compression that was not compiled in would be refused for nothing.
    config.compression = match recorded.compression.parse::<Compression>() {
        Ok(compression) if compression.is_supported() => compression,
        Ok(_) => Compression::None,
        Err(_) => return Err(TranscriptError::Version),
    };
    config.delivery = recorded.delivery;
    // The recorder has left out the URLs that the shard would not use.
    config.resume_hosts = ResumeHosts::Any;
    config.seed = Some(recorded.seed);
    config.timeouts = recorded.timeouts;
    config.backoff = recorded.backoff;
    config.limits = recorded.limits;
    config.session = recorded.session.map(|session| {
        SessionSnapshot::new("session-0".to_owned(), session.resume_url, session.sequence, session.shard)
    });
    if config.encoding == Encoding::Etf && config.compression == Compression::Payload {
        return Err(TranscriptError::Version);
    }
    Ok(config)
}

fn request_of(line: RequestLine, encoding: Encoding) -> MachineRequest {
    match line {
        RequestLine::Send { op, limit } => {
            MachineRequest::Send(AcceptedCommand::without_data(op, SendLimit::kind(limit), encoding))
        }
        RequestLine::Ack(sequence) => MachineRequest::Ack(sequence),
        RequestLine::AckCurrent(sequence) => MachineRequest::AckCurrent(sequence),
        RequestLine::Heartbeat => MachineRequest::Heartbeat,
        RequestLine::Shutdown(how) => MachineRequest::End(EndRequest::Shutdown(how.into())),
        RequestLine::Reconnect(how) => MachineRequest::End(EndRequest::Reconnect(how.into())),
    }
}

fn input_of(line: InputLine) -> Result<MachineInput, Error> {
    Ok(match line {
        InputLine::Opened => MachineInput::Opened,
        InputLine::ConnectFailed(failure) => MachineInput::ConnectFailed(match failure {
            FailureLine::Dns => ConnectError::Dns(String::new()),
            FailureLine::Tcp => ConnectError::Tcp(String::new()),
            FailureLine::Tls => ConnectError::Tls(String::new()),
            FailureLine::Handshake => ConnectError::Handshake(String::new()),
            FailureLine::Refused { status, retry_after } => {
                let retry_after = retry_after.map(Duration::from_nanos);
                ConnectError::Refused(Refused { status, retry_after, ..Refused::default() })
            }
        }),
        InputLine::Message(line) => message_of(line)?,
        InputLine::Progress { message } => MachineInput::Progress { message },
        InputLine::Closed(end) => MachineInput::Closed(match end {
            EndLine::Frame { code } => Closed::Frame { code, reason: String::new() },
            EndLine::Eof => Closed::Eof,
            EndLine::Failed => Closed::Failed(String::new()),
            EndLine::Protocol => Closed::Protocol(String::new()),
            EndLine::MessageTooLarge => Closed::MessageTooLarge,
        }),
        InputLine::IdentifyGranted => MachineInput::IdentifyGranted,
        InputLine::IdentifyRefused { cause, remaining, reserve, available_in } => {
            let available_in = Duration::from_nanos(available_in);
            MachineInput::IdentifyRefused(IdentifyRefused { cause, remaining, reserve, available_in })
        }
        InputLine::ReadingPaused => MachineInput::ReadingPaused,
        InputLine::ReadingResumed => MachineInput::ReadingResumed,
        InputLine::WallClock(offset) => {
            let distance = Duration::from_nanos(offset.unsigned_abs());
            MachineInput::WallClock(match offset < 0 {
                true => FIRST_WALL_CLOCK.saturating_sub(distance),
                false => FIRST_WALL_CLOCK + distance,
            })
        }
        InputLine::Timeout => MachineInput::Timeout,
    })
}

/// What a receiver made of a message when the transcript was written.
fn message_of(line: MessageLine) -> Result<MachineInput, Error> {
    let MessageLine { bytes, read, inflated_bytes, trailing_bytes, payload } = line;
    let reading = match read {
        Read::Ignored => return Ok(MachineInput::UnreadMessage { bytes }),
        Read::Part => Reading::Part,
        Read::TooLarge => Reading::TooLarge,
        Read::Undecodable => {
            Reading::Undecodable { detail: "as in the transcript".to_owned(), inflated_bytes }
        }
        Read::Payload | Read::UnexpectedPayload => {
            let placeholder = gateway_codec::json::to_vec(&payload.unwrap_or_default())?;
            let unexpected = read == Read::UnexpectedPayload;
            let read =
                ReadMessage::of(bytes, placeholder.into(), Encoding::Json, unexpected, Check::Envelope);
            match read.reading {
                Reading::Payload(payload) => Reading::Payload(InboundPayload {
                    bytes: inflated_bytes.unwrap_or(payload.bytes),
                    trailing: trailing_bytes,
                    ..payload
                }),
                reading => reading,
            }
        }
    };
    Ok(MachineInput::Message(ReadMessage { bytes, reading }))
}

/// What a step is, with its time.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { at, line } => {
                write!(f, "{:>12}  > {}", seconds(*at), escape_at_most(line, LINE_BYTES as usize))
            }
            Self::Said { at, recorded, replayed } if recorded == replayed => {
                write!(f, "{:>12}  < {replayed}", seconds(*at))
            }
            Self::Said { at, recorded, replayed } => {
                write!(f, "{:>12}  < {replayed}, where it was {recorded}", seconds(*at))
            }
        }
    }
}

/// Shows no line: it may be long.
impl<R> fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("line", &self.number)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TranscriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transcript cannot be read: {error}"),
            Self::Version => write!(
                f,
                "this is not a transcript of version {VERSION}: replay it with the gateway-proto that wrote it"
            ),
            Self::Line { number, error: Some(error) } => {
                write!(f, "line {number} of the transcript: {error}")
            }
            Self::Line { number, error: None } => {
                write!(f, "line {number} of the transcript is neither an input nor a request nor an output")
            }
            Self::Config(error) => error.fmt(f),
        }
    }
}

/// Its text contains that of the error within, so it has no `source`.
impl std::error::Error for TranscriptError {}
