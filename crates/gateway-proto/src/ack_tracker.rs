//! The acknowledgement of dispatches that are handled in any order.

use std::collections::BTreeSet;
use std::fmt;

use crate::dispatch_key::SessionKey;
use crate::session::DispatchKey;

/// Converts dispatches that are done in any order to the cumulative acknowledgement that a shard takes.
///
/// For a pool of workers with [`Delivery::Acknowledged`](crate::config::Delivery::Acknowledged). Call [`received`](Self::received)
/// for each dispatch before a worker gets it, and [`done`](Self::done) when the worker is done; pass the key that `done` returns
/// to [`Shard::ack_up_to`](crate::Shard::ack_up_to). Each shard needs its own tracker. It has no clock and no lock: share it in
/// a mutex.
///
/// - It stores the numbers of the outstanding dispatches, up to its capacity, and nothing of those that are done.
/// - A dispatch that was not passed to `received` counts as done. A dispatch without a key needs no acknowledgement.
/// - A new session clears the outstanding dispatches of the session before, which cannot be resumed.
/// - `done` for a dispatch that is done already, was never received, or belongs to another session changes nothing.
/// - A dispatch that is never done holds back all that follow it. [`oldest`](Self::oldest) returns it.
///
/// ```
/// # use gateway_proto::session::{AckTracker, DispatchKey};
/// # let key = |sequence: u64| format!("91ab3c5f00d1e2a4-{sequence}").parse::<DispatchKey>().unwrap();
/// let mut tracker = AckTracker::new(100);
/// // In practice `dispatch.key()`.
/// let keys = [key(7), key(8), key(9)];
/// for key in keys {
///     tracker.received(key)?;
/// }
/// assert_eq!(tracker.done(keys[2]), None, "7 and 8 are outstanding");
/// assert_eq!(tracker.done(keys[0]), Some(keys[0]));
/// assert_eq!(tracker.done(keys[1]), Some(keys[2]), "all is done now");
/// # Ok::<(), gateway_proto::session::AckTrackerFull>(())
/// ```
#[derive(Debug, Clone)]
pub struct AckTracker {
    capacity: usize,
    session: Option<Tracked>,
}

/// The state of the newest session.
#[derive(Debug, Clone)]
struct Tracked {
    session: SessionKey,
    outstanding: BTreeSet<u64>,
    /// The newest number received.
    newest: u64,
    /// The watermark: everything up to it is done.
    done: u64,
}

impl AckTracker {
    /// A tracker for at most `capacity` outstanding dispatches. 0 is read as 1.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), session: None }
    }

    /// Records a received dispatch. Call it in the order of delivery.
    ///
    /// A dispatch that is outstanding already, or not above the watermark, changes nothing.
    ///
    /// # Errors
    ///
    /// If the tracker is full: see [`is_full`](Self::is_full). Nothing has changed then. Wait until a worker is done, and call
    /// this again before a worker gets the dispatch.
    pub fn received(&mut self, key: DispatchKey) -> Result<(), AckTrackerFull> {
        let (session, sequence) = (key.session(), key.sequence());
        let tracked = match &mut self.session {
            Some(tracked) if tracked.session == session => tracked,
            other => other.insert(Tracked {
                session,
                outstanding: BTreeSet::new(),
                newest: sequence,
                done: sequence.saturating_sub(1),
            }),
        };
        if sequence <= tracked.done || tracked.outstanding.contains(&sequence) {
            return Ok(());
        }
        if tracked.outstanding.len() >= self.capacity {
            return Err(AckTrackerFull { capacity: self.capacity });
        }
        tracked.outstanding.insert(sequence);
        tracked.newest = tracked.newest.max(sequence);
        Ok(())
    }

    /// Records that a dispatch is done. Returns the key to acknowledge, if it is newer than before: all dispatches up to and
    /// including it are done.
    #[must_use = "pass it to `Shard::ack_up_to`"]
    pub fn done(&mut self, key: DispatchKey) -> Option<DispatchKey> {
        let tracked = self.session.as_mut().filter(|tracked| tracked.session == key.session())?;
        if !tracked.outstanding.remove(&key.sequence()) {
            return None;
        }
        // All dispatches before the oldest outstanding one are done.
        let done = tracked.outstanding.first().map_or(tracked.newest, |oldest| oldest - 1);
        if done <= tracked.done {
            return None;
        }
        tracked.done = done;
        Some(DispatchKey::new(tracked.session, done))
    }

    /// The number of outstanding dispatches.
    pub fn outstanding(&self) -> usize {
        self.session.as_ref().map_or(0, |tracked| tracked.outstanding.len())
    }

    /// Whether there is no room for another dispatch of this session.
    pub fn is_full(&self) -> bool {
        self.outstanding() >= self.capacity
    }

    /// The oldest outstanding dispatch, which holds the others back.
    pub fn oldest(&self) -> Option<DispatchKey> {
        let tracked = self.session.as_ref()?;
        tracked.outstanding.first().map(|sequence| DispatchKey::new(tracked.session, *sequence))
    }
}

/// An [`AckTracker`] has no room for another dispatch. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckTrackerFull {
    capacity: usize,
}

impl fmt::Display for AckTrackerFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} dispatches are outstanding, as many as the tracker was made for: wait until one is done",
            self.capacity
        )
    }
}

impl std::error::Error for AckTrackerFull {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(session: &str, sequence: u64) -> DispatchKey {
        DispatchKey::new(SessionKey::of(session), sequence)
    }

    #[test]
    fn what_is_not_outstanding_changes_nothing() {
        let mut tracker = AckTracker::new(10);
        assert_eq!(tracker.done(key("a", 1)), None, "nothing was received");
        for sequence in [5, 6, 9] {
            tracker.received(key("a", sequence)).unwrap();
        }
        assert_eq!(tracker.done(key("a", 7)), None, "it was never received");
        assert_eq!(tracker.done(key("b", 5)), None, "it is of another session");
        assert_eq!(tracker.done(key("a", 6)), None);
        assert_eq!(tracker.done(key("a", 6)), None, "it is done already");
        assert_eq!(tracker.oldest(), Some(key("a", 5)));
        assert_eq!(
            tracker.done(key("a", 5)),
            Some(key("a", 8)),
            "7 and 8 were not received, so they are done"
        );
        tracker.received(key("a", 5)).unwrap();
        assert_eq!((tracker.outstanding(), tracker.oldest()), (1, Some(key("a", 9))), "5 is acknowledged");
        assert_eq!(tracker.done(key("a", 9)), Some(key("a", 9)));
        assert_eq!(tracker.oldest(), None);
    }

    #[test]
    fn a_new_session_begins_anew() {
        let mut tracker = AckTracker::new(2);
        tracker.received(key("a", 900)).unwrap();
        tracker.received(key("a", 901)).unwrap();
        assert!(tracker.is_full());
        tracker.received(key("b", 1)).unwrap();
        tracker.received(key("b", 2)).unwrap();
        assert_eq!(tracker.done(key("a", 901)), None, "nothing can be resumed there");
        assert_eq!(tracker.done(key("b", 1)), Some(key("b", 1)));
        assert_eq!(tracker.outstanding(), 1);
    }

    #[test]
    fn it_holds_no_more_than_it_was_made_for() {
        let mut tracker = AckTracker::new(0);
        tracker.received(key("a", 1)).unwrap();
        tracker.received(key("a", 1)).unwrap();
        let full = tracker.received(key("a", 2)).unwrap_err();
        assert_eq!(
            full.to_string(),
            "1 dispatches are outstanding, as many as the tracker was made for: wait until one is done"
        );
        assert_eq!(tracker.done(key("a", 2)), None, "it was refused");
        assert_eq!(tracker.done(key("a", 1)), Some(key("a", 1)));
        tracker.received(key("a", 2)).unwrap();
        assert_eq!(tracker.done(key("a", 2)), Some(key("a", 2)));
    }

    proptest! {
        /// At every step the acknowledged key is the newest before which nothing is outstanding.
        #[test]
        fn the_watermark_is_right_in_any_order(
            gaps in proptest::collection::vec(1_u64..4, 1..40),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..80),
        ) {
            let sequences: Vec<u64> = gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) }).collect();
            let mut tracker = AckTracker::new(sequences.len());
            for sequence in &sequences {
                tracker.received(key("a", *sequence)).unwrap();
            }
            let (mut open, mut acknowledged) = (sequences.clone(), sequences[0] - 1);
            for index in order {
                let sequence = *index.get(&sequences);
                let told = tracker.done(key("a", sequence));
                open.retain(|other| *other != sequence);
                if let Some(told) = told {
                    prop_assert!(told.sequence() > acknowledged);
                    acknowledged = told.sequence();
                }
                let reachable = open.first().map_or(*sequences.last().unwrap(), |oldest| oldest - 1);
                prop_assert_eq!(acknowledged, reachable);
                prop_assert_eq!(tracker.outstanding(), open.len());
            }
        }
    }
}
