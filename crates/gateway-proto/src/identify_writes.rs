//! Which permits wait for a snapshot to be persisted.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::identify_output::Ticket;

/// The wait after a failed write, with [`WhenSpent::Hold`](crate::identify::WhenSpent::Hold).
const RETRY: Duration = Duration::from_secs(5);

/// Permits that are withheld until a snapshot that contains them is persisted. One snapshot at a time is being written.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Permits that no snapshot contains yet.
    unwritten: BTreeSet<Ticket>,
    /// Permits of the snapshot that is being written. None: no snapshot is.
    being_written: Option<BTreeSet<Ticket>>,
    /// The number of the newest snapshot.
    number: u64,
    /// When to write again after a failure.
    retry_at: Option<Instant>,
    /// Permits whose write has ended, and how.
    written: VecDeque<(Ticket, Written)>,
}

/// How a write has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Persisted,
    Failed,
}

impl Writes {
    /// Withholds a permit.
    pub(crate) fn add(&mut self, ticket: Ticket) {
        self.unwritten.insert(ticket);
    }

    /// Drops a permit that is no longer wanted. A snapshot that is being written keeps its session start.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.unwritten.remove(&ticket);
        if let Some(tickets) = &mut self.being_written {
            tickets.remove(&ticket);
        }
        self.written.retain(|(other, _)| *other != ticket);
    }

    /// Begins to write a snapshot, if there are permits for one and the last one is answered. Gives its number.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<u64> {
        if self.next_write(now)? > now {
            return None;
        }
        self.number += 1;
        self.being_written = Some(std::mem::take(&mut self.unwritten));
        self.retry_at = None;
        Some(self.number)
    }

    /// The write of a snapshot has ended. `retries`: after a failure its permits are written once more.
    ///
    /// A number that is not being written changes nothing.
    pub(crate) fn end(&mut self, number: u64, result: Written, retries: bool, now: Instant) {
        if number != self.number {
            return;
        }
        let Some(mut tickets) = self.being_written.take() else { return };
        if result == Written::Failed && retries {
            self.unwritten.append(&mut tickets);
            self.retry_at = Some(now + RETRY);
        }
        self.written.extend(tickets.into_iter().map(|ticket| (ticket, result)));
    }

    /// The next permit whose write has ended.
    pub(crate) fn pop_written(&mut self) -> Option<(Ticket, Written)> {
        self.written.pop_front()
    }

    /// When there is something to do: `now` or later.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.written.is_empty() { self.next_write(now) } else { Some(now) }
    }

    pub(crate) fn contains(&self, ticket: Ticket) -> bool {
        self.unwritten.contains(&ticket)
            || self.being_written.as_ref().is_some_and(|tickets| tickets.contains(&ticket))
            || self.written.iter().any(|(other, _)| *other == ticket)
    }

    /// How many permits are withheld.
    pub(crate) fn len(&self) -> usize {
        let being_written = self.being_written.as_ref().map_or(0, BTreeSet::len);
        self.unwritten.len() + being_written + self.written.len()
    }

    fn next_write(&self, now: Instant) -> Option<Instant> {
        if self.unwritten.is_empty() || self.being_written.is_some() {
            return None;
        }
        Some(self.retry_at.map_or(now, |at| at.max(now)))
    }
}
