//! The state of a shard.

use std::time::Instant;

use super::close::Closing;
use super::context::Context;
use crate::StopReason;
use crate::connection::{OpenConnection, OpenStage};
use crate::health::{Condition, Health, Phase};
use crate::heartbeat::Heartbeat;

/// The state, including all state of one connection, which is dropped with it.
// Each input matches on the state several times, so it has a tag of its own.
#[repr(u8)]
pub(super) enum State {
    /// Waits to connect.
    BackingOff { until: Instant },
    /// The socket is being opened.
    Dialing { deadline: Instant, resume_url: bool },
    /// The socket is open.
    Open(Box<OpenConnection>),
    /// Our close frame was sent; the server's was not received.
    Closing(Closing),
    /// The end.
    Stopped(StopReason),
}

impl State {
    pub(super) fn health(&self, cx: &Context) -> Health {
        let connection = match self {
            Self::Open(connection) | Self::Closing(Closing { connection, .. }) => Some(connection),
            Self::BackingOff { .. } | Self::Dialing { .. } | Self::Stopped(_) => None,
        };
        let heartbeat = connection.and_then(|connection| connection.heartbeat.as_ref());
        Health {
            condition: self.condition(cx),
            phase: self.phase(),
            latency: heartbeat.and_then(Heartbeat::latency),
            last_received: connection.map(|connection| connection.last_received),
            last_acknowledged: heartbeat.and_then(Heartbeat::last_acknowledged),
            last_dispatch: cx.last_dispatch,
            queued_commands: cx.commands.len(),
        }
    }

    fn condition(&self, cx: &Context) -> Condition {
        let last_reason = cx.last_reason.as_ref();
        let (next_at, reason) = match self {
            Self::Stopped(reason) => return Condition::Stopped(reason.clone()),
            Self::Open(connection) if matches!(connection.stage, OpenStage::Ready) => {
                let missed = connection.heartbeat.as_ref().map_or(0, Heartbeat::missed);
                return match missed {
                    0 => Condition::Healthy,
                    missed_heartbeats => Condition::Degraded { missed_heartbeats },
                };
            }
            Self::BackingOff { until } => (Some(*until), last_reason),
            Self::Closing(closing) => (None, Some(&closing.reason)),
            Self::Dialing { .. } | Self::Open(_) => (None, last_reason),
        };
        match reason {
            Some(reason) => {
                let attempt = cx.retry.failures();
                Condition::Reconnecting { attempt, next_at, reason: reason.clone() }
            }
            None => Condition::Starting,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::BackingOff { .. } => Phase::BackingOff,
            Self::Dialing { .. } => Phase::Connecting,
            Self::Open(connection) => match connection.stage {
                OpenStage::AwaitingHello { .. } => Phase::AwaitingHello,
                OpenStage::AwaitingIdentify => Phase::AwaitingIdentify,
                OpenStage::AwaitingReady { .. } => Phase::AwaitingReady,
                OpenStage::Resuming { .. } => Phase::Resuming,
                OpenStage::Ready => Phase::Ready,
            },
            Self::Closing(_) => Phase::Closing,
            Self::Stopped(_) => Phase::Stopped,
        }
    }
}
