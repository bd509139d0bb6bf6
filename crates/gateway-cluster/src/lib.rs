#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")
)]

mod cutover;
mod error;
mod event;
mod generation;
mod handover;
mod machine;
mod plan;

pub use cutover::{CutoverTally, Switch};
pub use error::ClusterError;
pub use event::{AbortReason, ClusterEvent, ReshardCause, ReshardEvent};
pub use generation::{Generation, ShardKey};
pub use handover::Handover;
pub use machine::{ClusterConfig, ClusterMachine, ClusterOutput};
pub use plan::{ClusterPlan, ReshardPhase, ReshardPlan};
