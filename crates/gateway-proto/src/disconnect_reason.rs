//! Why a connection, or a shard, ended.

use std::fmt;
use std::time::Duration;

use gateway_codec::text::escape;

use crate::identify::IdentifyRefused;
use crate::{Closed, ConnectError, Shutdown};

/// A connection, or an attempt at one, has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Disconnected {
    /// The reason.
    pub reason: DisconnectReason,
    /// Whether the session can still be resumed.
    pub resumable: bool,
    /// The wait before the next attempt. `None` if there is none.
    pub retry_in: Option<Duration>,
}

impl Disconnected {
    /// The end of a connection, for tests of what receives it.
    pub fn new(reason: DisconnectReason, resumable: bool, retry_in: Option<Duration>) -> Self {
        Self { reason, resumable, retry_in }
    }
}

/// Why a connection, or an attempt at one, ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It could not be opened.
    ConnectFailed(ConnectError),
    /// It did not open within [`Timeouts::connect`](crate::config::Timeouts::connect).
    ConnectTimeout,
    /// Hello was not received within [`Timeouts::hello`](crate::config::Timeouts::hello).
    HelloTimeout,
    /// Neither READY nor an acknowledgement was received within [`Timeouts::ready`](crate::config::Timeouts::ready).
    ReadyTimeout,
    /// Neither RESUMED nor a replayed dispatch was received within [`Timeouts::resumed`](crate::config::Timeouts::resumed).
    ResumedTimeout,
    /// The machine was suspended, so the connection is stale.
    Suspended {
        /// How long it was suspended.
        slept: Duration,
    },
    /// Heartbeats went unanswered: the connection was dead.
    Zombie,
    /// The server requested a reconnect (opcode 7).
    ReconnectRequested,
    /// The server sent Invalid Session (opcode 9).
    InvalidSession {
        /// Whether the session may be resumed, by the server's `d`.
        resumable: bool,
    },
    /// The server closed the connection, or it failed.
    Closed(Closed),
    /// A message could not be decoded.
    Undecodable(String),
    /// The server skipped sequence numbers. A Resume requests the events that may have them.
    SequenceGap {
        /// The newest number before.
        after: u64,
        /// The number received. Its dispatch is not delivered before the skipped ones.
        got: u64,
    },
    /// A message was larger, compressed or inflated, than the limits allow.
    MessageTooLarge,
    /// The identify gate refused a permit.
    IdentifyRefused(IdentifyRefused),
    /// The application asked for it.
    Requested,
    /// The shard shuts down.
    Shutdown(Shutdown),
}

/// Why a shard has stopped for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The application asked for it.
    Shutdown(Shutdown),
    /// The gateway rejected the bot, and a reconnect would not help.
    Rejected(Rejection),
    /// The identify gate refused a permit: the budget of session starts is spent, or the start could not be persisted.
    IdentifyRefused(IdentifyRefused),
}

/// The close codes after which a client must not reconnect
/// (Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// 4004: the token is wrong.
    AuthenticationFailed,
    /// 4010: the shard id or the shard count is not allowed.
    InvalidShard,
    /// 4011: the bot is in too many guilds for this number of shards.
    ShardingRequired,
    /// 4012: the gateway does not support this API version.
    InvalidApiVersion,
    /// 4013: an intent bit that does not exist.
    InvalidIntents,
    /// 4014: a privileged intent that is not enabled for the bot.
    DisallowedIntents,
}

impl Rejection {
    /// The close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::AuthenticationFailed => 4004,
            Self::InvalidShard => 4010,
            Self::ShardingRequired => 4011,
            Self::InvalidApiVersion => 4012,
            Self::InvalidIntents => 4013,
            Self::DisallowedIntents => 4014,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AuthenticationFailed => {
                "the token is wrong; check it, or make a new one in the developer portal"
            }
            Self::InvalidShard => {
                "the shard id or shard count is not allowed; use the count that GET /gateway/bot recommends"
            }
            Self::ShardingRequired => "the bot is in too many guilds for this shard count; use more shards",
            Self::InvalidApiVersion => "the gateway no longer supports this API version; update this library",
            Self::InvalidIntents => "the intents contain a bit that does not exist; check their value",
            Self::DisallowedIntents => {
                "the bot uses privileged intents that are not enabled; enable them in the developer portal"
            }
        };
        write!(f, "{text} (close code {})", self.code())
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown(Shutdown::Resumable) => f.write_str("shut down, the session can be resumed"),
            Self::Shutdown(Shutdown::LogOff) => f.write_str("logged off"),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::IdentifyRefused(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for StopReason {}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailed(error) => error.fmt(f),
            Self::ConnectTimeout => f.write_str("the connection did not open in time"),
            Self::HelloTimeout => f.write_str("Hello did not come in time"),
            Self::ReadyTimeout => f.write_str("READY did not come in time"),
            Self::ResumedTimeout => f.write_str("RESUMED did not come in time"),
            Self::Suspended { slept } => write!(f, "the machine was suspended for {} s", slept.as_secs()),
            Self::Zombie => f.write_str("heartbeats went unanswered"),
            Self::ReconnectRequested => f.write_str("the server asked for a reconnect"),
            Self::InvalidSession { resumable: true } => f.write_str("the server asked to resume the session"),
            Self::InvalidSession { resumable: false } => f.write_str("the server ended the session"),
            Self::Closed(closed) => closed.fmt(f),
            Self::Undecodable(detail) => {
                write!(f, "a message could not be decoded: {}", escape(detail))
            }
            Self::SequenceGap { after, got } => {
                write!(f, "the server skipped sequence numbers: {got} came after {after}")
            }
            Self::MessageTooLarge => f.write_str("a message was larger than the limit"),
            Self::IdentifyRefused(refused) => refused.fmt(f),
            Self::Requested => f.write_str("the application asked for a reconnect"),
            Self::Shutdown(_) => f.write_str("the shard is shutting down"),
        }
    }
}
