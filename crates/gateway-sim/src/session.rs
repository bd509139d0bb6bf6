//! One session: its sequence, its replay buffer, and its connection.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::io::ConnectionId;

/// A dispatch that may be replayed. `data` is JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) name: Cow<'static, str>,
    pub(crate) data: Arc<str>,
}

pub(crate) struct Session {
    /// 1 for the first session of the gateway. The ledger and traces use this number.
    pub(crate) number: u64,
    /// The `session_id` of READY.
    pub(crate) id: String,
    /// `[id, count]`; `[0, 1]` if the Identify has none.
    pub(crate) shard: (u32, u32),
    pub(crate) intents: u64,
    /// The newest sequence number.
    pub(crate) sequence: u64,
    pub(crate) connection: Option<ConnectionId>,
    /// The time at which it last lost its connection.
    detached_at: Instant,
    /// Whether a timer is set that checks for expiry.
    expiry_is_set: bool,
    buffer: VecDeque<Event>,
    limit: usize,
}

/// Whether a session has expired.
pub(crate) enum Expiry {
    /// It is on a connection.
    Attached,
    /// Not yet; it expires at this time.
    Due(Instant),
    Expired,
}

impl Session {
    pub(crate) fn new(
        number: u64,
        id: String,
        shard: (u32, u32),
        intents: u64,
        limit: usize,
        now: Instant,
    ) -> Self {
        Self {
            number,
            id,
            shard,
            intents,
            sequence: 0,
            connection: None,
            detached_at: now,
            expiry_is_set: false,
            buffer: VecDeque::new(),
            limit,
        }
    }

    /// Numbers a dispatch and keeps it for a replay.
    pub(crate) fn push(&mut self, name: Cow<'static, str>, data: Arc<str>) -> Event {
        self.sequence += 1;
        let event = Event { sequence: self.sequence, name, data };
        if event.name != "RESUMED" {
            if self.buffer.len() >= self.limit {
                self.buffer.pop_front();
            }
            self.buffer.push_back(event.clone());
        }
        event
    }

    /// The events after `sequence`. `None` if some of them are no longer kept.
    pub(crate) fn replay(&self, sequence: u64) -> Option<Vec<Event>> {
        let first = self.buffer.partition_point(|event| event.sequence <= sequence);
        let oldest = self.buffer.front().map_or(self.sequence + 1, |event| event.sequence);
        // A gap that a RESUMED just before the oldest event leaves hides no event.
        let complete = sequence + 1 >= oldest || first > 0 || self.never_dropped();
        complete.then(|| self.buffer.iter().skip(first).cloned().collect())
    }

    /// Detaches the session from its connection. Returns the time for an expiry timer, unless one is set: each session
    /// has one timer, however often it loses its connection.
    pub(crate) fn detach(&mut self, now: Instant, lifetime: Duration) -> Option<Instant> {
        self.connection = None;
        self.detached_at = now;
        let first = !self.expiry_is_set;
        self.expiry_is_set = true;
        first.then_some(now + lifetime)
    }

    /// Handles the expiry timer.
    pub(crate) fn expiry(&mut self, now: Instant, lifetime: Duration) -> Expiry {
        let due = self.detached_at + lifetime;
        let expiry = match self.connection {
            Some(_) => Expiry::Attached,
            None if due <= now => Expiry::Expired,
            None => Expiry::Due(due),
        };
        self.expiry_is_set = matches!(expiry, Expiry::Due(_));
        expiry
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn never_dropped(&self) -> bool {
        self.buffer.len() < self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    fn now() -> Instant {
        Instant::now()
    }

    fn session(limit: usize, events: u64) -> Session {
        let mut session = Session::new(1, "id".to_owned(), (0, 1), 0, limit, now());
        for _ in 0..events {
            session.push("TYPING_START".into(), "{}".into());
        }
        session
    }

    #[test]
    fn replays_what_came_after() {
        let replay = session(10, 5).replay(3).unwrap();
        assert_eq!(replay.iter().map(|event| event.sequence).collect::<Vec<_>>(), [4, 5]);
        assert!(session(10, 5).replay(5).unwrap().is_empty());
        assert_eq!(session(10, 5).replay(0).unwrap().len(), 5);
    }

    #[test]
    fn a_hole_is_no_replay() {
        let session = session(3, 10);
        assert!(session.replay(6).is_none());
        assert_eq!(session.replay(7).unwrap().len(), 3);
        assert_eq!(session.buffered(), 3);
    }

    #[test]
    fn resumed_is_numbered_but_not_replayed() {
        let mut session = session(10, 2);
        assert_eq!(session.push("RESUMED".into(), "{}".into()).sequence, 3);
        session.push("TYPING_START".into(), "{}".into());
        let replay = session.replay(2).unwrap();
        assert_eq!(replay.iter().map(|event| event.sequence).collect::<Vec<_>>(), [4]);
    }
}
