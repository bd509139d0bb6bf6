#![doc = include_str!("../README.md")]

mod atomic_file;
mod background;
mod background_writer;
mod budget;
mod config;
mod dial;
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
mod stream;
mod timer;
mod tls;
mod transcript;

pub use gateway_proto as proto;
pub use rustls;

pub use atomic_file::create_private_file;
pub use background::{Events, Task};
pub use config::{BuildError, DriverConfig};
pub use identify::{AcquiringIdentify, GateError, IdentifyGate, LocalIdentifyGate};
pub use identify_store::{FileIdentifyStore, IdentifyStore};
pub use runtime::Runtime;
pub use sender::Sender;
pub use session_keeper::{Checkpointer, Checkpoints, SessionKeeper};
pub use session_store::{FileSessionStore, SessionStore};
pub use shard::Shard;
pub use stream::{BoxedStream, ByteStream, Connecting, Connector};
pub use tls::{Roots, TlsError, TlsSettings};
pub use transcript::TranscriptWriter;
