//! One shard in its process: the machine, what its driver and its application know, and what was stored.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use gateway_proto::config::Delivery;
use gateway_proto::identify::Ticket;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Compression, Encoding, ShardId};

use crate::fault::Unreachable;
use crate::link::{Down, LinkId};
use crate::time::Time;

/// A shard, its driver and its application.
pub(crate) struct Client<M> {
    pub(crate) id: ShardId,
    pub(crate) encoding: Encoding,
    pub(crate) compression: Compression,
    /// None: the process is not running.
    pub(crate) machine: Option<M>,
    /// Counts the processes, so that what was meant for an earlier one is not given to this.
    pub(crate) process: u32,
    /// The gateway has refused the bot for good; somebody has to look after it.
    pub(crate) refused: bool,
    /// The connection it has or opens.
    pub(crate) link: Option<LinkId>,
    pub(crate) connections: u64,
    /// The deadline given out last.
    pub(crate) deadline: Time,
    /// When the machine was last told the wall clock.
    pub(crate) clock_told: Time,
    /// The earliest wake-up in the queue.
    pub(crate) wakes_at: Option<Time>,
    pub(crate) ticket: Option<Ticket>,
    /// The handler is busy until then, and the socket is not read.
    pub(crate) busy_until: Option<Time>,
    /// What has arrived and is not read yet.
    pub(crate) inbox: VecDeque<(LinkId, Down)>,
    pub(crate) unreachable: Option<(Unreachable, Time)>,
    pub(crate) shutting_down: Option<Restart>,
    /// The `session_id` that the application is on.
    pub(crate) session_id: Option<String>,
    /// The sequence number of the newest dispatch that the application has dealt with.
    pub(crate) handled: u64,
    /// With [`Delivery::Acknowledged`]: what the application is still busy with.
    pub(crate) backlog: Option<Backlog>,
    pub(crate) stored: Option<Stored>,
    pub(crate) rng: Rng,
}

/// Dispatches that were given out and are not acknowledged, in their order.
pub(crate) struct Backlog {
    pub(crate) waiting: VecDeque<Waiting>,
    /// How many sessions the application has had.
    pub(crate) sessions: u64,
    rng: Rng,
}

/// A dispatch that the application has not dealt with.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    /// The number of the session that it is of.
    pub(crate) session: u64,
    pub(crate) sequence: u64,
}

impl Backlog {
    fn new(seed: u64) -> Self {
        Self { waiting: VecDeque::new(), sessions: 0, rng: Rng::with_seed(!seed) }
    }

    /// How long the application is busy with what comes next.
    pub(crate) fn work(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(10..90_000))
    }

    /// What it has finished by then: one or more, the oldest first.
    pub(crate) fn finish(&mut self) -> Vec<Waiting> {
        let count = self.rng.usize(0..self.waiting.len().max(1)) + 1;
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// Whether something of an earlier session is still to be acknowledged.
    pub(crate) fn reaches_back(&self) -> bool {
        self.waiting.front().is_some_and(|first| first.session < self.sessions)
    }
}

/// What a process leaves for the next.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) snapshot: SessionSnapshot,
    pub(crate) session_id: Option<String>,
    pub(crate) handled: u64,
}

/// When a process that is shutting down is to come back.
#[derive(Clone, Copy)]
pub(crate) struct Restart {
    pub(crate) at: Time,
    pub(crate) log_off: bool,
}

impl<M> Client<M> {
    pub(crate) fn new(
        id: ShardId,
        encoding: Encoding,
        compression: Compression,
        delivery: Delivery,
        seed: u64,
    ) -> Self {
        Self {
            id,
            encoding,
            compression,
            machine: None,
            process: 0,
            refused: false,
            link: None,
            connections: 0,
            deadline: Time::NEVER,
            clock_told: Time::ZERO,
            wakes_at: None,
            ticket: None,
            busy_until: None,
            inbox: VecDeque::new(),
            unreachable: None,
            shutting_down: None,
            session_id: None,
            handled: 0,
            backlog: (delivery == Delivery::Acknowledged).then(|| Backlog::new(seed)),
            stored: None,
            rng: Rng::with_seed(seed),
        }
    }

    /// Why no connection can be opened at this time, if none can.
    pub(crate) fn unreachable(&self, now: Time) -> Option<Unreachable> {
        self.unreachable.filter(|(_, until)| now < *until).map(|(how, _)| how)
    }
}
