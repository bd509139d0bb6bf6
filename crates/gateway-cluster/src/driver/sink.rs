//! The way of a shard's events to the lanes.

use std::sync::Arc;
use std::task::Context;

use gateway_driver::proto::{Event, StopReason};
use gateway_driver::task::{EventSink, Room};

use super::hub::Hub;
use super::item::ClusterItem;
use super::slot::Slot;
use crate::{ClusterEvent, ClusterMachine};

/// So many events go into a queue at once.
const BATCH: usize = 32;

/// Hands the events of a shard to its cluster.
pub(crate) struct Sink {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    /// Events that are not in a queue yet: those of one poll.
    batch: Vec<ClusterItem>,
    has_stopped: bool,
}

impl Sink {
    pub(crate) fn new(hub: Arc<Hub>, slot: Arc<Slot>) -> Self {
        Self { hub, slot, batch: Vec::new(), has_stopped: false }
    }
}

impl EventSink for Sink {
    fn poll_room(&mut self, context: &mut Context<'_>) -> Room {
        if self.hub.is_abandoned() {
            Room::Closed
        } else if self.slot.is_full_until_woken(context.waker()) {
            Room::Full
        } else {
            Room::Free
        }
    }

    fn push(&mut self, event: Event) {
        if let Event::Dispatch(dispatch) = &event {
            self.slot.received(dispatch.key());
            self.hub.members.handle_dispatch(dispatch, &self.hub);
        }
        if ClusterMachine::concerns(&event) || self.hub.is_resharding() {
            self.flush();
            self.hub.handle_event(&self.slot, event);
            return;
        }
        self.batch.push(Hub::item(Some(&self.slot), None, ClusterEvent::Shard(event)));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.hub.deliver(&self.slot, std::mem::take(&mut self.batch));
        }
    }

    fn stopped(&mut self, reason: StopReason) {
        self.has_stopped = true;
        self.hub.handle_stopped(&self.slot, reason);
    }
}

/// A task that was dropped, or has panicked, has stopped too.
impl Drop for Sink {
    fn drop(&mut self) {
        if !self.has_stopped {
            self.hub.report_lost(self.slot.clone());
        }
    }
}
