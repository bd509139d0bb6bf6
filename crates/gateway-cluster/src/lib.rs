#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")
)]

mod cutover;
#[cfg(feature = "driver")]
mod driver;
mod error;
mod event;
mod generation;
mod handover;
mod machine;
mod plan;
mod time;

pub use cutover::{CutoverTally, Switch};
pub use error::ClusterError;
pub use event::{AbortReason, ClusterEvent, ReshardCause, ReshardEvent};
pub use generation::{Generation, ShardKey};
pub use handover::Handover;
pub use machine::{ClusterConfig, ClusterMachine, ClusterOutput};
pub use plan::{ClusterPlan, ReshardPhase, ReshardPlan};

#[cfg(feature = "driver")]
pub use driver::{
    Cluster, ClusterBuilder, ClusterHandle, ClusterHealth, ClusterItem, ClusterLimits, ClusterSender,
    FilePlanStore, Lane, MembersError, PlanStore, RequestError, ShardCount, ShardHealth, StartError,
};
