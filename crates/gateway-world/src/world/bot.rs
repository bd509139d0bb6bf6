//! One shard of the world: what its process is to be like, what its application knows, and what was stored.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Compression, Encoding, ShardId};

use crate::engine::ClientId;
use crate::fault::Unreachable;
use crate::plan::{Setting, User, format_of};
use crate::time::Time;

/// A shard and its application, over all its processes.
pub(crate) struct Bot {
    pub(crate) id: ShardId,
    pub(crate) encoding: Encoding,
    pub(crate) compression: Compression,
    /// The newest process, whether it runs or not.
    pub(crate) process: Option<ClientId>,
    /// The gateway has refused the bot for good; an operator has to look after it.
    pub(crate) refused: bool,
    /// The handler is busy until then, and the socket is not read.
    pub(crate) busy_until: Option<Time>,
    pub(crate) unreachable: Option<(Unreachable, Time)>,
    pub(crate) shutting_down: Option<Restart>,
    /// READY or RESUMED has come, and the application has not noted its session yet.
    pub(crate) standing: bool,
    /// The `session_id` that the application is on.
    pub(crate) session_id: Option<String>,
    /// The sequence number of the newest dispatch that the application has dealt with.
    pub(crate) handled: u64,
    /// With [`Delivery::Acknowledged`](gateway_proto::config::Delivery): what the application is still busy with.
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

impl Bot {
    pub(crate) fn new(setting: &Setting, shard: u32) -> Self {
        let (encoding, compression) = format_of(shard);
        let seed = setting.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ u64::from(shard);
        let acknowledges = setting.user == User::Thorough && shard % 2 == 1;
        Self {
            id: ShardId::new(shard, setting.shards)
                .expect("the shards are counted from 0 up to their number"),
            encoding,
            compression,
            process: None,
            refused: false,
            busy_until: None,
            unreachable: None,
            shutting_down: None,
            standing: false,
            session_id: None,
            handled: 0,
            backlog: acknowledges.then(|| Backlog::new(seed)),
            stored: None,
            rng: Rng::with_seed(seed),
        }
    }

    /// Why no connection can be opened at this time, if none can.
    pub(crate) fn unreachable(&self, now: Time) -> Option<Unreachable> {
        self.unreachable.filter(|(_, until)| now < *until).map(|(how, _)| how)
    }
}
