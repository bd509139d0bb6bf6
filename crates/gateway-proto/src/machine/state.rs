//! Where in its life a shard is.

use std::time::Instant;

use super::close::Closing;
use crate::connection::{OpenConnection, Stage};
use crate::{DisconnectReason, Phase, StopReason};

/// What belongs to one connection lives in here and dies with it.
pub(super) enum State {
    /// Waits to connect.
    BackingOff { until: Instant },
    /// The socket is being opened.
    Dialing { deadline: Instant, resume_url: bool },
    /// The socket is open.
    Open(Box<OpenConnection>),
    /// Our close frame is sent; the server's has not come.
    Closing(Closing),
    /// The end.
    Stopped(StopReason),
}

impl State {
    pub(super) fn connection(&self) -> Option<&OpenConnection> {
        match self {
            Self::Open(connection) | Self::Closing(Closing { connection, .. }) => Some(connection),
            Self::BackingOff { .. } | Self::Dialing { .. } | Self::Stopped(_) => None,
        }
    }

    /// Why the connection ends that is being closed.
    pub(super) fn closing_reason(&self) -> Option<&DisconnectReason> {
        match self {
            Self::Closing(closing) => Some(&closing.reason),
            _ => None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::BackingOff { .. } => Phase::BackingOff,
            Self::Dialing { .. } => Phase::Connecting,
            Self::Open(connection) => match connection.stage {
                Stage::AwaitingHello { .. } => Phase::AwaitingHello,
                Stage::AwaitingIdentify => Phase::AwaitingIdentify,
                Stage::AwaitingReady { .. } => Phase::AwaitingReady,
                Stage::Resuming { .. } => Phase::Resuming,
                Stage::Ready => Phase::Ready,
            },
            Self::Closing(_) => Phase::Closing,
            Self::Stopped(_) => Phase::Stopped,
        }
    }
}
