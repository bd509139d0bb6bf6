//! Timers in order of time and, at the same time, in order of being set.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::io::ConnectionId;

/// What a timer does.
pub(crate) enum Timer {
    Accept(ConnectionId),
    Hello(ConnectionId),
    Ack(ConnectionId),
    Identify(ConnectionId, Value),
    Resume(ConnectionId, Value),
    /// Sends the guilds of a session after READY.
    Guilds(u64),
    /// Sends the rest of a replay after this sequence.
    Replay(ConnectionId, u64, u64),
    Echo(ConnectionId, Option<u16>),
    /// The deadline for a heartbeat.
    Heartbeat(ConnectionId),
    /// The deadline for the echo of a close frame.
    Closed(ConnectionId),
    /// Ends a session that has been without a connection for too long.
    Expire(u64),
    Traffic(u64),
    /// A step of the script, and the connection that reached its point.
    Step(usize, Option<ConnectionId>),
    Up,
}

/// Timers. None is removed early: its receiver checks whether it still applies.
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

    /// The first timer that is due at `now`, with its time.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let entry = self.queue.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}
