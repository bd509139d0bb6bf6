//! What is to happen when: in the order of time and, at the same time, in the order of being planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::Time;

/// Things that are to happen later. Nothing is taken out early: the receiver checks whether it still matters.
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    count: u64,
    /// The time of what was taken out last.
    past: Time,
}

struct Entry<T> {
    at: Time,
    number: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), count: 0, past: Time::ZERO }
    }

    /// An event must not be queued for the past: a caller that does so would postpone it for ever.
    pub(crate) fn push(&mut self, at: Time, what: T) {
        debug_assert!(at >= self.past, "planned for {at}, which is before {}", self.past);
        self.count += 1;
        self.heap.push(Entry { at, number: self.count, what });
    }

    pub(crate) fn next(&self) -> Time {
        self.heap.peek().map_or(Time::NEVER, |entry| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        self.past = entry.at;
        Some(entry.what)
    }
}

/// The heap gives out the greatest first: the earliest is the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_then_in_the_order_of_planning() {
        let mut queue = Queue::new();
        let [early, late] = [1.0, 2.0].map(Time::from_hours);
        for (at, what) in [(late, "c"), (early, "a"), (late, "d"), (early, "b")] {
            queue.push(at, what);
        }
        assert_eq!(queue.next(), early);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(queue.next(), Time::NEVER);
    }
}
