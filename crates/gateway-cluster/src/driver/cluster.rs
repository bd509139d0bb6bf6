//! All shards of a bot in one value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use gateway_driver::proto::ShardConfig;
use gateway_driver::{Runtime, Spawn};

use super::builder::ClusterBuilder;
use super::handle::ClusterHandle;
use super::item::ClusterItem;
use super::lane::Lane;

/// All shards of a bot that are this process's, and their events.
///
/// Each shard is a task of its own, so heartbeats are sent on time however busy the application is. What can be asked of it is in
/// [`ClusterHandle`], which it dereferences to.
///
/// Dropping it ends all tasks and closes the sockets; the sessions can then be resumed for some minutes.
pub struct Cluster<R> {
    handle: ClusterHandle,
    lane: Lane,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime + Spawn + Default> Cluster<R> {
    /// A cluster with this configuration, to which each shard's own id is added.
    pub fn builder(config: ShardConfig) -> ClusterBuilder<R> {
        ClusterBuilder::new(R::default(), R::default(), config)
    }
}

impl<R> Cluster<R> {
    pub(crate) fn new(lane: Lane) -> Self {
        Self { handle: ClusterHandle { hub: lane.hub.clone() }, lane, runtime: PhantomData }
    }

    /// The next event of any shard, or of the cluster. `None` once it has ended, and everything is taken.
    ///
    /// Cancel-safe and fair: see [`Lane::next_event`].
    pub async fn next_event(&mut self) -> Option<ClusterItem> {
        self.lane.next_event().await
    }

    /// Splits the events into so many streams, for as many workers or cores. 0 is read as 1.
    ///
    /// All events of a guild are in one lane, in their order. Events of a shard that are about no guild are in one lane too, and events
    /// of the cluster in the first.
    pub fn lanes(self, count: usize) -> Vec<Lane> {
        let Self { handle, lane, .. } = self;
        handle.hub.split(lane, count)
    }

    /// A handle for other tasks and threads.
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }
}

/// What can be asked of a cluster.
impl<R> Deref for Cluster<R> {
    type Target = ClusterHandle;

    fn deref(&self) -> &ClusterHandle {
        &self.handle
    }
}

impl<R> Unpin for Cluster<R> {}

impl<R> Stream for Cluster<R> {
    type Item = ClusterItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ClusterItem>> {
        self.lane.poll_event(context)
    }
}

impl<R> FusedStream for Cluster<R> {
    fn is_terminated(&self) -> bool {
        self.lane.is_terminated()
    }
}

impl<R> fmt::Debug for Cluster<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("handle", &self.handle).field("lane", &self.lane).finish()
    }
}
