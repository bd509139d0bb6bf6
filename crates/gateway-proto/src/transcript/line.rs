//! The lines of a transcript.

use serde::{Deserialize, Serialize};

use super::said::Said;
use crate::config::{BackoffConfig, Delivery, ShardLimits, Timeouts};
use crate::identify::RefusalCause;
use crate::outbox::CommandKind;
use crate::{Intents, Reconnect, ShardId, Shutdown};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) transcript: u32,
    /// Of this crate.
    pub(super) version: String,
    pub(super) config: ConfigLine,
}

/// A configuration without its secrets, and without what has no part in what a shard does.
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

/// Any other line: exactly one of the three parts.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// Nanoseconds since the beginning.
    pub(super) at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<InputLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<RequestLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<Said>,
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
        /// Transcripts of earlier versions have none.
        #[serde(default = "spent")]
        cause: RefusalCause,
        remaining: u32,
        reserve: u32,
        available_in: u64,
    },
    ReadingPaused,
    ReadingResumed,
    /// Nanoseconds since it was told first.
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
    /// Of dispatches that are known to be of the current session.
    AckCurrent(u64),
    Heartbeat,
    Shutdown(How),
    Reconnect(Anew),
}

/// The limit that a command has of its own.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SendLimit {
    Presence,
    /// With the number of the guild.
    AllMembers(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    Resumable,
    LogOff,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Anew {
    Resume,
    Fresh,
}

/// A message, as far as the shard looked at it.
#[derive(Serialize, Deserialize)]
pub(super) struct MessageLine {
    /// As it came over the wire.
    pub(super) bytes: usize,
    pub(super) read: Read,
    /// Inflated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inflated_bytes: Option<usize>,
    /// Behind the payload.
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

/// What a message was read as.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Read {
    Payload,
    /// It came in another format than was asked for.
    UnexpectedPayload,
    Part,
    Undecodable,
    TooLarge,
    /// It came in a state in which none is read.
    Ignored,
}

/// A payload in the shape of the gateway's own, with placeholders in it.
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

/// Of a payload's data, what a shard reads. Externally the shape is the gateway's.
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

    pub(super) fn said(at: u64, said: Said) -> Self {
        Self { at, said: Some(said), ..Self::default() }
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

impl From<Shutdown> for How {
    fn from(how: Shutdown) -> Self {
        match how {
            Shutdown::Resumable => Self::Resumable,
            Shutdown::LogOff => Self::LogOff,
        }
    }
}

impl From<How> for Shutdown {
    fn from(how: How) -> Self {
        match how {
            How::Resumable => Self::Resumable,
            How::LogOff => Self::LogOff,
        }
    }
}

impl From<Reconnect> for Anew {
    fn from(how: Reconnect) -> Self {
        match how {
            Reconnect::Resume => Self::Resume,
            Reconnect::Fresh => Self::Fresh,
        }
    }
}

impl From<Anew> for Reconnect {
    fn from(how: Anew) -> Self {
        match how {
            Anew::Resume => Self::Resume,
            Anew::Fresh => Self::Fresh,
        }
    }
}
