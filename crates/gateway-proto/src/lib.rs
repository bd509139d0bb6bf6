#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")
)]

mod ack_tracker;
mod acknowledge;
mod backoff_config;
mod close_code;
mod command;
mod config;
mod config_error;
mod connection;
mod disconnect;
mod disconnect_kind;
mod dispatch_bytes;
mod dispatch_key;
mod display;
mod event;
mod gaps;
mod health;
mod heartbeat;
mod identify_budget;
mod identify_ledger;
mod identify_output;
mod identify_queue;
mod identify_refused;
mod identify_snapshot;
mod identify_writes;
mod input;
mod intents;
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
mod session;
mod shard;
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

pub use ack_tracker::{AckTracker, AckTrackerFull};
pub use acknowledge::{AckError, Delivery};
pub use backoff_config::BackoffConfig;
pub use close_code::Reaction;
pub use command::{
    ChannelInfoField, Command, MemberSelection, RequestGuildMembers, SendError, VoiceStateUpdate,
};
pub use config::{DEFAULT_URL, IdentifyProperties, Limits, ShardConfig, Timeouts};
pub use config_error::ConfigError;
pub use disconnect::{DisconnectReason, Disconnected, Rejection, StopReason};
pub use disconnect_kind::DisconnectKind;
pub use dispatch_bytes::DispatchBytesError;
pub use dispatch_key::{DispatchKey, DispatchKeyError};
pub use event::{Dispatch, Event, Notice, UnknownMessage};
pub use gateway_codec::{Compression, Encoding, Raw, RawRef};
pub use health::{Ages, Condition, Health, Phase};
pub use identify_budget::{BudgetError, IdentifyBudget, SessionStartLimit, TooFewStarts, WhenSpent};
pub use identify_output::{IdentifyOutput, Ticket};
pub use identify_queue::IdentifyQueue;
pub use identify_refused::{IdentifyRefused, RefusalCause};
pub use identify_snapshot::IdentifySnapshot;
pub use input::{Closed, ConnectError, Input, Message, Refused};
pub use intents::Intents;
pub use member_requests::{MemberAnswer, MemberRequestError, MemberRequestId, MemberRequests};
pub use output::{CloseFrame, Output};
pub use presence::{Activity, ActivityKind, Presence, Status};
pub use resume_hosts::ResumeHosts;
pub use session::SessionSnapshot;
pub use shard::Shard;
pub use shard_id::{ShardId, ShardIdError};
pub use shutdown::{Reconnect, Shutdown};
pub use snowflake::Snowflake;
pub use stats::Stats;
pub use token::Token;
pub use url::{API_VERSION, GatewayUrl, UrlError};
