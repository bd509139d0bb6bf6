//! Why a cluster cannot start.

use std::fmt;
use std::io;

use gateway_driver::BuildError;
use gateway_driver::gate::GateError;
use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::identify::TooFewStarts;

use crate::ClusterError;

/// Why a cluster cannot start. No shard was started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A field of the configuration cannot be used.
    Build(BuildError),
    /// The shards are none, or not the bot's.
    Cluster(ClusterError),
    /// `GET /gateway/bot` has no answer. Whether to ask again, and when, the error tells.
    GatewayBot(GatewayBotError),
    /// The session starts of earlier processes cannot be read, or the budget is wrong.
    Gate(GateError),
    /// Fewer session starts are left today than shards without a session are to start.
    TooFewStarts(TooFewStarts),
    /// Sessions or plan cannot be read or written.
    Store(io::Error),
    /// The store belongs to another bot.
    OtherBot {
        /// The bot of the store: the id of its user, or a hash of its token.
        found: String,
        /// The bot of the token.
        expected: String,
    },
    /// A reshard is not finished, and another number of shards was asked for.
    ReshardUnfinished {
        /// The shard count of the old generation.
        from: u32,
        /// The shard count of the next generation.
        to: u32,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Cluster(error) => error.fmt(f),
            Self::GatewayBot(error) => error.fmt(f),
            Self::Gate(error) => error.fmt(f),
            Self::TooFewStarts(error) => error.fmt(f),
            Self::Store(error) => write!(f, "the store cannot be used: {error}"),
            Self::OtherBot { found, expected } => write!(
                f,
                "the store belongs to another bot ({found}, not {expected}): name another folder, or move it away"
            ),
            Self::ReshardUnfinished { from, to } => write!(
                f,
                "a reshard from {from} to {to} is not finished: start with either number, or the recommended one, to let it go on"
            ),
        }
    }
}

/// Its text contains that of the error within, so it has no `source`.
impl std::error::Error for StartError {}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Build(error.into())
    }
}

impl From<ClusterError> for StartError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl From<GatewayBotError> for StartError {
    fn from(error: GatewayBotError) -> Self {
        Self::GatewayBot(error)
    }
}

impl From<GateError> for StartError {
    fn from(error: GateError) -> Self {
        Self::Gate(error)
    }
}

impl From<TooFewStarts> for StartError {
    fn from(error: TooFewStarts) -> Self {
        Self::TooFewStarts(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}
