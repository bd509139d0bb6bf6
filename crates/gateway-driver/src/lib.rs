#![doc = include_str!("../README.md")]

mod atomic_file;
mod background;
mod background_writer;
mod budget;
mod config;
mod dial;
mod gateway_bot;
mod identify;
mod identify_requests;
mod identify_store;
mod link;
pub mod net;
mod read_ahead;
mod runtime;
mod sender;
mod session_keeper;
mod session_store;
mod shard;
mod spawn;
pub mod stream;
mod timer;
pub mod tls;
mod transcript;

pub use gateway_proto as proto;
pub use rustls;

// The types that every bot uses, so that one import root is enough.
pub use gateway_proto::{
    Command, Compression, Dispatch, Encoding, Event, Intents, Notice, Raw, Reconnect, ShardConfig, ShardId,
    Shutdown, Snowflake, StopReason, Token,
};

pub use background::{Events, Task};
pub use config::{BuildError, DriverConfig};
pub use gateway_bot::gateway_bot;
pub use runtime::Runtime;
pub use sender::Sender;
pub use shard::Shard;
pub use spawn::Spawn;
pub use transcript::TranscriptWriter;

/// Parts of tasks that drive shards or pass on their events.
pub mod task {
    pub use crate::background::{EventQueue, EventSink, Room};
    pub use crate::budget::Budget;
    pub use crate::timer::Timer;
}

/// Gates: which shard may identify at what time.
pub mod gate {
    pub use crate::identify::{AcquiringIdentify, GateError, IdentifyGate, LocalIdentifyGate};
}

/// Stores for sessions and session starts, for the next process.
pub mod store {
    pub use crate::atomic_file::{PrivateFiles, create_private_file};
    pub use crate::identify_store::{FileIdentifyStore, IdentifyStore};
    pub use crate::session_keeper::{Checkpointer, Checkpoints, SessionKeeper};
    pub use crate::session_store::{FileSessionStore, SessionStore};
}
