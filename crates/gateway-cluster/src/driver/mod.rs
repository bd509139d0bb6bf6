//! A cluster on a runtime.

mod builder;
mod cluster;
mod handle;
mod health;
mod host;
mod housekeeping;
mod hub;
mod identity;
mod item;
mod lane;
mod limits;
mod members;
mod off_thread;
mod plan_store;
mod senders;
mod shard_count;
mod sink;
mod slot;
mod start_error;

pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use handle::{ClusterHandle, RequestError};
pub use health::{ClusterHealth, ShardHealth};
pub use item::ClusterItem;
pub use lane::Lane;
pub use limits::ClusterLimits;
pub use members::MembersError;
pub use plan_store::{FilePlanStore, PlanStore};
pub use senders::ClusterSender;
pub use shard_count::ShardCount;
pub use start_error::StartError;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Waits for the first of two.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ready => ready,
    })
    .await;
}
