//! What a cluster gives to the application.

use std::fmt;

use gateway_driver::proto::{Dispatch, Event, ShardId};

use super::slot::Place;
use crate::{ClusterEvent, Generation, ShardKey};

/// An event of a cluster, or of one of its shards.
///
/// As long as it is not dropped it counts against the limits of its shard ([`ClusterLimits`](super::ClusterLimits)), wherever it is:
/// in the queue, with a handler, or on its way to a worker. So a bot that takes too long stops reading, and does not grow.
pub struct ClusterItem {
    event: ClusterEvent,
    place: Option<Place>,
    key: Option<ShardKey>,
}

impl ClusterItem {
    pub(crate) fn new(key: Option<ShardKey>, event: ClusterEvent, place: Option<Place>) -> Self {
        Self { key: key.or_else(|| place.as_ref().map(Place::key)), event, place }
    }

    /// The event of an item that is not delivered yet.
    pub(crate) fn take_back(self) -> ClusterEvent {
        if let Some(place) = self.place {
            place.take_back();
        }
        self.event
    }

    /// The shard that it is about. `None`: the whole cluster.
    pub fn shard(&self) -> Option<ShardId> {
        self.key.map(|key| key.shard)
    }

    /// The generation of the shard. `None`: it is about the whole cluster.
    pub fn generation(&self) -> Option<Generation> {
        self.key.map(|key| key.generation)
    }

    /// The shard and its generation. `None`: it is about the whole cluster.
    pub fn key(&self) -> Option<ShardKey> {
        self.key
    }

    /// The event.
    pub fn event(&self) -> &ClusterEvent {
        &self.event
    }

    /// The dispatch, if it is one.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        match &self.event {
            ClusterEvent::Shard(Event::Dispatch(dispatch)) => Some(dispatch),
            _ => None,
        }
    }

    /// The application has handled it: a later process need not get it again.
    ///
    /// Items may be done in any order, on any thread. The cluster acknowledges the dispatches of a shard up to the first that is not
    /// done. An item that is dropped without this is not acknowledged, and once
    /// [`unacknowledged`](super::ClusterLimits::unacknowledged) of a shard are not, the shard is not read any more.
    ///
    /// Only with [`Delivery::Acknowledged`](gateway_driver::proto::config::Delivery::Acknowledged); otherwise it does the same as a drop.
    pub fn done(self) {
        if let Some(place) = &self.place {
            place.done();
        }
    }

    /// The event without its place: the item no longer counts against the limits of its shard, and cannot be acknowledged.
    pub fn into_event(self) -> ClusterEvent {
        self.event
    }
}

impl fmt::Debug for ClusterItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterItem").field("shard", &self.key).field("event", &self.event).finish()
    }
}

/// `shard 3,16: `, if it is about a shard, and the event.
impl fmt::Display for ClusterItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = self.key {
            write!(f, "shard {key}: ")?;
        }
        self.event.fmt(f)
    }
}
