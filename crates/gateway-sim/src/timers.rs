//! What is due when, in order of time and, at the same time, in order of being set.

use std::collections::BTreeMap;
use std::time::Instant;

/// Things that are to happen later. Nothing is ever taken out early: who receives a timer checks whether it still matters.
pub(crate) struct Timers<T> {
    queue: BTreeMap<(Instant, u64), T>,
    count: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeMap::new(), count: 0 }
    }

    pub(crate) fn set(&mut self, at: Instant, timer: T) {
        self.count += 1;
        self.queue.insert((at, self.count), timer);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first thing that is due at `now`, with the time it was due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, T)> {
        let entry = self.queue.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}
