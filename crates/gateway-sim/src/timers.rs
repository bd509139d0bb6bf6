//! What is due when, in order of time and, at the same time, in order of being set.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::io::ConnectionId;

/// What can become due.
pub(crate) enum Timer {
    Accept(ConnectionId),
    Hello(ConnectionId),
    Ack(ConnectionId),
    Identify(ConnectionId, Value),
    Resume(ConnectionId, Value),
    /// The guilds of a session, some time after READY.
    Guilds(u64),
    /// The rest of a replay to a session, after this sequence.
    Replay(ConnectionId, u64, u64),
    Echo(ConnectionId, Option<u16>),
    /// The last moment for a heartbeat.
    Heartbeat(ConnectionId),
    /// The last moment for the echo of a close frame.
    Closed(ConnectionId),
    /// A session that has been without a connection for long enough ends.
    Expire(u64),
    Traffic(u64),
    /// A step of the script, and the connection that reached its point.
    Step(usize, Option<ConnectionId>),
    Up,
}

/// Things that are to happen later. Nothing is ever taken out early: the receiver of a timer checks whether it still matters.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    count: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.count += 1;
        self.queue.insert((at, self.count), timer);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first thing that is due at `now`, with the time it was due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let entry = self.queue.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}
