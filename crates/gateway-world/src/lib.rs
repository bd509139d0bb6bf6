#![doc = include_str!("../README.md")]

mod byte_machine;
mod client;
mod fault;
mod invariants;
mod link;
mod machine;
mod observation;
mod over_bytes;
mod pair;
mod plan;
mod profile;
mod queue;
mod shrink;
mod time;
mod told;
mod transcript;
mod watch;
mod world;

pub use byte_machine::{ByteMachine, MixedMachine};
pub use fault::{Direction, Fault, Nonsense, Planned, Unreachable};
pub use machine::Machine;
pub use observation::{Observation, Violation};
pub use over_bytes::{ByteClient, MessageClient};
pub use pair::{Chunking, Dial, Moved, Pair};
pub use plan::{Cycle, Setting, User};
pub use profile::Profile;
pub use shrink::Case;
pub use time::Time;
pub use told::Told;
pub use transcript::{Replay, Transcript};
pub use world::{Counts, Outcome, RECOVERY, RECOVERY_BY_DEFAULT, World};
