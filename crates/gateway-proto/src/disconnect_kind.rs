//! Kinds of disconnects, for counters.

use crate::disconnect::DisconnectReason;
use crate::{Closed, ConnectError};

/// A [`DisconnectReason`] without its details: the label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DisconnectKind {
    /// The host name could not be resolved.
    Dns,
    /// No TCP connection could be made.
    Tcp,
    /// The TLS handshake failed.
    Tls,
    /// The upgrade was refused.
    Refused,
    /// The answer to the upgrade was not a WebSocket handshake.
    Handshake,
    /// The connection did not open in time.
    ConnectTimeout,
    /// Hello did not come in time.
    HelloTimeout,
    /// READY did not come in time.
    ReadyTimeout,
    /// RESUMED did not come in time.
    ResumedTimeout,
    /// The machine was suspended.
    Suspended,
    /// Heartbeats went unanswered.
    Zombie,
    /// The server requested a reconnect (opcode 7).
    ReconnectRequested,
    /// The server sent Invalid Session (opcode 9).
    InvalidSession,
    /// The server sent a close frame, with this code if it had one.
    CloseFrame(Option<u16>),
    /// The stream ended without a close frame.
    Eof,
    /// The stream failed.
    Failed,
    /// The server broke the WebSocket protocol.
    Protocol,
    /// A message could not be decoded.
    Undecodable,
    /// The server skipped sequence numbers.
    SequenceGap,
    /// A message was larger than the limits allow.
    MessageTooLarge,
    /// The identify gate refused a permit.
    IdentifyRefused,
    /// The application requested a reconnect.
    Requested,
    /// The shard was shut down.
    Shutdown,
}

impl DisconnectReason {
    /// The reason without its details.
    pub fn kind(&self) -> DisconnectKind {
        match self {
            Self::ConnectFailed(ConnectError::Dns(_)) => DisconnectKind::Dns,
            Self::ConnectFailed(ConnectError::Tcp(_)) => DisconnectKind::Tcp,
            Self::ConnectFailed(ConnectError::Tls(_)) => DisconnectKind::Tls,
            Self::ConnectFailed(ConnectError::Refused(_)) => DisconnectKind::Refused,
            Self::ConnectFailed(ConnectError::Handshake(_)) => DisconnectKind::Handshake,
            Self::ConnectTimeout => DisconnectKind::ConnectTimeout,
            Self::HelloTimeout => DisconnectKind::HelloTimeout,
            Self::ReadyTimeout => DisconnectKind::ReadyTimeout,
            Self::ResumedTimeout => DisconnectKind::ResumedTimeout,
            Self::Suspended { .. } => DisconnectKind::Suspended,
            Self::Zombie => DisconnectKind::Zombie,
            Self::ReconnectRequested => DisconnectKind::ReconnectRequested,
            Self::InvalidSession { .. } => DisconnectKind::InvalidSession,
            Self::Closed(Closed::Frame { code, .. }) => DisconnectKind::CloseFrame(*code),
            Self::Closed(Closed::Eof) => DisconnectKind::Eof,
            Self::Closed(Closed::Failed(_)) => DisconnectKind::Failed,
            Self::Closed(Closed::Protocol(_)) => DisconnectKind::Protocol,
            Self::Undecodable(_) => DisconnectKind::Undecodable,
            Self::SequenceGap { .. } => DisconnectKind::SequenceGap,
            Self::MessageTooLarge | Self::Closed(Closed::MessageTooLarge) => DisconnectKind::MessageTooLarge,
            Self::IdentifyRefused(_) => DisconnectKind::IdentifyRefused,
            Self::Requested => DisconnectKind::Requested,
            Self::Shutdown(_) => DisconnectKind::Shutdown,
        }
    }
}
