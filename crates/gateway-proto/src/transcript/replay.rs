//! Replays a transcript.

use std::fmt;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use gateway_codec::text::escape_at_most;
use gateway_codec::{Compression, Encoding, Error};

use super::line::{
    EndLine, FailureLine, Head, InputLine, Line, MessageLine, Read, RequestLine, SendLimit, VERSION,
};
use super::recorded_output::{RecordedOutput, seconds};
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

/// Reads a transcript and gives its inputs to a new shard, step by step.
///
/// The shard receives the same inputs at the same times, so it returns the same outputs unless the library has changed.
pub struct Replay<R> {
    reader: R,
    shard: Shard,
    start: Instant,
    number: usize,
    ended: bool,
}

/// A replayed line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An input, or a request of the application.
    Input {
        /// The time since the start.
        at: Duration,
        /// The line as recorded.
        line: String,
    },
    /// An output of the shard.
    Output {
        /// The time since the start.
        at: Duration,
        /// The output in the transcript.
        recorded: RecordedOutput,
        /// The output of the replay.
        replayed: RecordedOutput,
    },
}

/// Why a transcript cannot be replayed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TranscriptError {
    /// Reading it failed.
    Io(io::Error),
    /// It has another version of the format, or is not a transcript.
    Version,
    /// A line is malformed.
    Line {
        /// The number of the line, counted from 1.
        number: usize,
        /// What is wrong with it. `None`: it holds neither an input nor a request nor an output.
        error: Option<Error>,
    },
    /// The configuration cannot be used.
    Config(ConfigError),
}

impl<R: BufRead> Replay<R> {
    /// Reads the first line. `start` is the time at which the replay begins; the times of the transcript are relative to
    /// it.
    ///
    /// # Errors
    ///
    /// If reading fails, or the first line is not that of a transcript of this version.
    pub fn new(mut reader: R, start: Instant) -> Result<Self, TranscriptError> {
        let line = read_line(&mut reader)?.ok_or(TranscriptError::Version)?;
        let head: Head = gateway_codec::json::from_slice(&line).map_err(|_| TranscriptError::Version)?;
        if head.transcript != VERSION {
            return Err(TranscriptError::Version);
        }
        let shard = Shard::new(config_of(head)?, start).map_err(TranscriptError::Config)?;
        Ok(Self { reader, shard, start, number: 1, ended: false })
    }

    /// The shard in its current state, for its health and its counters.
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
            Line { input: Some(input), request: None, output: None, .. } => {
                let now = self.start.checked_add(at).ok_or_else(|| wrong(None))?;
                let input = input_of(input).map_err(|error| wrong(Some(error)))?;
                let machine = self.shard.machine_mut();
                machine.handle_input(input, now.max(machine.now()));
            }
            Line { input: None, request: Some(request), output: None, .. } => {
                let request = request_of(request, self.shard.config().encoding);
                self.shard.machine_mut().handle_request(request);
            }
            Line { input: None, request: None, output: Some(recorded), .. } => {
                let replayed = RecordedOutput::of(&self.shard.machine_mut().poll_output(), self.start);
                return Ok(Some(Step::Output { at, recorded, replayed }));
            }
            _ => return Err(wrong(None)),
        }
        Ok(Some(Step::Input { at, line: String::from_utf8_lossy(&bytes).trim_end().to_owned() }))
    }
}

/// Ends after the last line of the transcript, or after an error.
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
    /// Whether the output of the replay differs from the recorded one.
    pub fn differs(&self) -> bool {
        matches!(self, Self::Output { recorded, replayed, .. } if recorded != replayed)
    }
}

/// The next line. `None` at the end, and for a last line that is incomplete.
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
    // A token that occurs in no event name, where it would be redacted.
    let mut config = ShardConfig::new("0", recorded.intents);
    let scheme = if recorded.tls { "wss" } else { "ws" };
    config.url = format!("{scheme}://gateway.invalid");
    config.shard = recorded.shard;
    config.encoding = recorded.encoding.parse().map_err(|_| TranscriptError::Version)?;
    // Nothing is inflated, so a compression that is not compiled in must not be refused.
    config.compression = match recorded.compression.parse::<Compression>() {
        Ok(compression) if compression.is_supported() => compression,
        Ok(_) => Compression::None,
        Err(_) => return Err(TranscriptError::Version),
    };
    config.delivery = recorded.delivery;
    // The recorder has replaced the URLs that the shard would not use.
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

/// The message as the receiver read it when the transcript was written.
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
            Self::Input { at, line } => {
                write!(f, "{:>12}  > {}", seconds(*at), escape_at_most(line, LINE_BYTES as usize))
            }
            Self::Output { at, recorded, replayed } if recorded == replayed => {
                write!(f, "{:>12}  < {replayed}", seconds(*at))
            }
            Self::Output { at, recorded, replayed } => {
                write!(f, "{:>12}  < {replayed}, instead of {recorded}", seconds(*at))
            }
        }
    }
}

/// Omits the reader, and the line, which may be long.
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

/// The text contains that of the inner error, so there is no `source`.
impl std::error::Error for TranscriptError {}
