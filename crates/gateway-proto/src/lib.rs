#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")
)]

mod ack_tracker;
mod acknowledge;
mod backoff_config;
mod close_code;
mod commands;
mod config_error;
mod connection;
mod disconnect_kind;
mod disconnect_reason;
mod dispatch_bytes;
mod dispatch_key;
mod display;
mod event;
mod gaps;
mod gateway_bot;
#[cfg(feature = "raw")]
mod gateway_bot_request;
mod heartbeat;
#[cfg(feature = "raw")]
mod http_response;
mod identify_budget;
mod identify_ledger;
mod identify_output;
mod identify_queue;
mod identify_refused;
mod identify_snapshot;
mod identify_writes;
mod input;
mod intents;
mod live_session;
mod machine;
mod member_requests;
mod number;
mod outbox;
mod outgoing;
mod output;
mod payload;
mod presence;
#[cfg(feature = "raw")]
pub mod raw;
mod receiver;
mod resume_hosts;
mod retry;
mod send_window;
mod shard;
mod shard_config;
mod shard_health;
mod shard_id;
mod shutdown;
mod snowflake;
mod stats;
mod text;
mod token;
pub mod transcript;
#[cfg(feature = "raw")]
pub mod upgrade;
mod url;
mod wall_clock;

pub use gateway_codec as codec;

// For every bot.
pub use commands::Command;
pub use disconnect_reason::StopReason;
pub use event::{Dispatch, Event, Notice, UnknownMessage};
pub use gateway_codec::{Compression, Encoding, Raw};
pub use intents::Intents;
pub use shard_config::ShardConfig;
pub use shard_id::ShardId;
pub use shutdown::{Reconnect, Shutdown};
pub use snowflake::Snowflake;
pub use token::Token;

// For drivers.
pub use input::{Closed, ConnectError, Input, Message};
pub use output::{CloseFrame, Output};
pub use shard::Shard;
pub use url::GatewayUrl;

/// The parts of a [`Command`], the answers to requests for members, and why a command is refused.
pub mod command {
    pub use crate::commands::{
        ChannelInfoField, MemberSelection, RequestGuildMembers, SendError, VoiceStateUpdate,
    };
    pub use crate::member_requests::{MemberAnswer, MemberRequestError, MemberRequestId, MemberRequests};
    pub use crate::presence::{Activity, ActivityKind, Presence, Status};
}

/// The fields of [`ShardConfig`], their defaults, and the error for a value that cannot be used.
pub mod config {
    pub use crate::acknowledge::Delivery;
    pub use crate::backoff_config::BackoffConfig;
    pub use crate::config_error::ConfigError;
    pub use crate::resume_hosts::ResumeHosts;
    pub use crate::shard_config::{DEFAULT_URL, IdentifyProperties, ShardLimits, Timeouts};
    pub use crate::shard_id::ShardIdError;
    pub use crate::url::{API_VERSION, UrlError};
}

/// The one request of the HTTP API that a bot sends before it connects, over plain bytes.
#[cfg(feature = "raw")]
pub mod api {
    pub use crate::gateway_bot_request::{DEFAULT_API_URL, GatewayBotError, GatewayBotRequest};
}

/// Why a connection ended, and what follows from a close code.
pub mod disconnect {
    pub use crate::close_code::Reaction;
    pub use crate::disconnect_kind::DisconnectKind;
    pub use crate::disconnect_reason::{DisconnectReason, Disconnected, Rejection};
    pub use crate::input::Refused;
}

/// The condition of a shard, and its counters.
pub mod health {
    pub use crate::shard_health::{Ages, Condition, Health, Phase};
    pub use crate::stats::Stats;
}

/// When a shard may identify: the gate that the shards of a bot share, and its budget of session starts.
pub mod identify {
    pub use crate::gateway_bot::GatewayBot;
    pub use crate::identify_budget::{
        BudgetError, IdentifyBudget, SessionStartLimit, TooFewStarts, WhenSpent,
    };
    pub use crate::identify_output::{IdentifyOutput, Ticket};
    pub use crate::identify_queue::IdentifyQueue;
    pub use crate::identify_refused::{IdentifyRefused, RefusalCause};
    pub use crate::identify_snapshot::IdentifySnapshot;
}

/// What outlives a connection or a process: sessions, acknowledgements, and dispatches on their way to another process.
pub mod session {
    pub use crate::ack_tracker::{AckTracker, AckTrackerFull};
    pub use crate::acknowledge::AckError;
    pub use crate::dispatch_bytes::DispatchBytesError;
    pub use crate::dispatch_key::{DispatchKey, DispatchKeyError};
    pub use crate::live_session::SessionSnapshot;
}
