//! The lines of a transcript.

use serde::{Deserialize, Serialize};

use super::recorded_output::RecordedOutput;
use crate::config::{BackoffConfig, Delivery, ShardLimits, Timeouts};
use crate::identify::RefusalCause;
use crate::outbox::CommandKind;
use crate::{Intents, Reconnect, ShardId, Shutdown};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The first line of a transcript.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) transcript: u32,
    /// The version of this crate.
    pub(super) version: String,
    pub(super) config: ConfigLine,
}

/// A configuration without its secrets, and without the fields that do not affect a shard's outputs.
#[derive(Serialize, Deserialize)]
pub(super) struct ConfigLine {
    pub(super) shard: ShardId,
    pub(super) intents: Intents,
    /// Whether the base URL is `wss`.
    pub(super) tls: bool,
    pub(super) encoding: String,
    pub(super) compression: String,
    pub(super) delivery: Delivery,
    pub(super) seed: u64,
    pub(super) timeouts: Timeouts,
    pub(super) backoff: BackoffConfig,
    pub(super) limits: ShardLimits,
    pub(super) session: Option<SavedSession>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedSession {
    pub(super) sequence: u64,
    pub(super) shard: ShardId,
    pub(super) resume_url: Option<String>,
}

/// Any line after the first: exactly one of the three parts is present.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// Nanoseconds since the start of the transcript.
    pub(super) at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<InputLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<RequestLine>,
    #[serde(rename = "said", default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<RecordedOutput>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InputLine {
    Opened,
    ConnectFailed(FailureLine),
    Message(MessageLine),
    Progress {
        message: bool,
    },
    Closed(EndLine),
    IdentifyGranted,
    IdentifyRefused {
        /// Absent in transcripts of earlier versions.
        #[serde(default = "spent")]
        cause: RefusalCause,
        remaining: u32,
        reserve: u32,
        available_in: u64,
    },
    ReadingPaused,
    ReadingResumed,
    /// Nanoseconds since the first reading of the wall clock.
    WallClock(i64),
    Timeout,
}

fn spent() -> RefusalCause {
    RefusalCause::Spent
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FailureLine {
    Dns,
    Tcp,
    Tls,
    Refused { status: u16, retry_after: Option<u64> },
    Handshake,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndLine {
    Frame { code: Option<u16> },
    Eof,
    Failed,
    Protocol,
    MessageTooLarge,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequestLine {
    Send {
        op: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<SendLimit>,
    },
    Ack(u64),
    /// Acknowledges dispatches that are known to belong to the current session.
    AckCurrent(u64),
    Heartbeat,
    Shutdown(ShutdownLine),
    Reconnect(ReconnectLine),
}

/// The rate limit that a command has besides the limit of all commands.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SendLimit {
    Presence,
    /// With the number that the transcript gives to the guild.
    AllMembers(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ShutdownLine {
    Resumable,
    LogOff,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReconnectLine {
    Resume,
    Fresh,
}

/// A message, reduced to what the shard reads.
#[derive(Serialize, Deserialize)]
pub(super) struct MessageLine {
    /// The size on the wire.
    pub(super) bytes: usize,
    pub(super) read: Read,
    /// The size after decompression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inflated_bytes: Option<usize>,
    /// The number of bytes after the payload.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) trailing_bytes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<PayloadLine>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl MessageLine {
    pub(super) fn new(bytes: usize, read: Read) -> Self {
        Self { bytes, read, inflated_bytes: None, trailing_bytes: 0, payload: None }
    }
}

/// ShutdownLine a message was read.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Read {
    Payload,
    /// In another format than the one requested.
    UnexpectedPayload,
    Part,
    Undecodable,
    TooLarge,
    /// Not read, because the shard's state ignores messages.
    Ignored,
}

/// A payload in the gateway's own shape, with placeholders for secrets and content.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct PayloadLine {
    pub(super) op: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) t: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) d: Option<DataLine>,
}

/// The part of a payload's data that a shard reads, in the gateway's own shape.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum DataLine {
    /// Opcode 9.
    Resumable(bool),
    /// Opcode 10.
    Hello {
        heartbeat_interval: u64,
    },
    RateLimited {
        opcode: u64,
        retry_after: f64,
        meta: MetaLine,
    },
    Ready {
        session_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_gateway_url: Option<String>,
    },
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MetaLine {
    pub(super) guild_id: u64,
}

impl Line {
    pub(super) fn input(at: u64, input: InputLine) -> Self {
        Self { at, input: Some(input), ..Self::default() }
    }

    pub(super) fn request(at: u64, request: RequestLine) -> Self {
        Self { at, request: Some(request), ..Self::default() }
    }

    pub(super) fn output(at: u64, output: RecordedOutput) -> Self {
        Self { at, output: Some(output), ..Self::default() }
    }
}

impl SendLimit {
    pub(super) fn kind(limit: Option<Self>) -> CommandKind {
        match limit {
            None => CommandKind::Other,
            Some(Self::Presence) => CommandKind::Presence,
            Some(Self::AllMembers(guild)) => CommandKind::AllMembers(guild.into()),
        }
    }
}

impl From<Shutdown> for ShutdownLine {
    fn from(how: Shutdown) -> Self {
        match how {
            Shutdown::Resumable => Self::Resumable,
            Shutdown::LogOff => Self::LogOff,
        }
    }
}

impl From<ShutdownLine> for Shutdown {
    fn from(how: ShutdownLine) -> Self {
        match how {
            ShutdownLine::Resumable => Self::Resumable,
            ShutdownLine::LogOff => Self::LogOff,
        }
    }
}

impl From<Reconnect> for ReconnectLine {
    fn from(how: Reconnect) -> Self {
        match how {
            Reconnect::Resume => Self::Resume,
            Reconnect::Fresh => Self::Fresh,
        }
    }
}

impl From<ReconnectLine> for Reconnect {
    fn from(how: ReconnectLine) -> Self {
        match how {
            ReconnectLine::Resume => Self::Resume,
            ReconnectLine::Fresh => Self::Fresh,
        }
    }
}
