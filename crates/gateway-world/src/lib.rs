#![doc = include_str!("../README.md")]

mod client;
mod cluster;
mod commands;
mod effect;
mod engine;
mod fault;
mod gate;
mod invariants;
mod observation;
mod over_bytes;
mod plan;
mod profile;
mod shrink;
mod time;
mod told;
mod transcript;
mod watch;
mod world;

pub use client::{Client, MakeClient, Stream, over_bytes, over_messages};
pub use cluster::{Between, ClusterCounts, ClusterObservation, ClusterOutcome, ClusterWorld, Standing};
pub use engine::{Chunking, ClientId, Dial, Engine, Happening, Line, Link, Observer};
pub use fault::{Direction, Fault, Nonsense, Phase, Planned, Unreachable};
pub use observation::{Observation, Violation};
pub use over_bytes::{every_third_over_bytes, messages_over_bytes};
pub use plan::{Cycle, RECOVERY, RECOVERY_BY_DEFAULT, Setting, User};
pub use profile::Profile;
pub use shrink::Case;
pub use time::Time;
pub use told::Told;
pub use transcript::{Replay, Transcript};
pub use world::{Counts, Outcome, World};
