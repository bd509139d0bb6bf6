//! The session starts of a day: by the server's count, and by our own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ShardId;
use crate::config::ConfigError;
use crate::identify::{IdentifyRefused, IdentifySnapshot};
use crate::identify_budget::{DAY, IdentifyBudget, SessionStartLimit, TooFewStarts, WhenSpent};
use crate::identify_output::Ticket;

/// Counts session starts against an [`IdentifyBudget`].
#[derive(Debug)]
pub(crate) struct Ledger {
    config: IdentifyBudget,
    total: u32,
    /// `remaining` of the server's newest limit, less what was spent since.
    remaining: u32,
    /// When the server's count begins anew.
    resets_at: Instant,
    /// The starts of the last 24 hours, oldest first.
    starts: VecDeque<Start>,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    shard: ShardId,
    /// The permit that the start was spent for. None: the permit was used, or an earlier process gave it.
    permit: Option<Ticket>,
    /// 24 hours after the start. The start itself may lie before the earliest `Instant`.
    forgotten_at: Instant,
}

/// A start of the last moments.
pub(crate) struct Recent {
    pub(crate) shard: ShardId,
    pub(crate) permit: Option<Ticket>,
    pub(crate) age: Duration,
}

impl Ledger {
    pub(crate) fn new(
        config: IdentifyBudget,
        limit: &SessionStartLimit,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let mut this = Self { config, total: 0, remaining: 0, resets_at: now, starts: VecDeque::new() };
        this.update(limit, now)?;
        Ok(this)
    }

    /// The default budget and the default limit.
    pub(crate) fn usual(now: Instant) -> Self {
        let limit = SessionStartLimit::default();
        Self {
            config: IdentifyBudget::default(),
            total: limit.total,
            remaining: limit.remaining,
            resets_at: now + limit.reset_after,
            starts: VecDeque::new(),
        }
    }

    /// Takes the server's newest limit.
    pub(crate) fn update(&mut self, limit: &SessionStartLimit, now: Instant) -> Result<(), ConfigError> {
        self.config.validate(limit.total)?;
        self.total = limit.total;
        self.remaining = limit.remaining.min(limit.total);
        // A longer period than a day does not exist.
        self.resets_at = now + limit.reset_after.min(DAY);
        Ok(())
    }

    /// How many starts are left, including the reserve: the smaller of the server's count and our own of any 24 hours.
    pub(crate) fn remaining(&self, now: Instant) -> u32 {
        let by_server = if now >= self.resets_at { self.total } else { self.remaining };
        by_server.min(self.total.saturating_sub(count(self.recent(now))))
    }

    pub(crate) fn when_spent(&self) -> WhenSpent {
        self.config.when_spent
    }

    fn reserve(&self) -> u32 {
        self.config.reserve(self.total)
    }

    /// When a session may be started. None: now.
    pub(crate) fn available_at(&self, now: Instant) -> Option<Instant> {
        self.enough_at(1, now)
    }

    /// When a shard may start a session by its own share. None: now.
    pub(crate) fn share_available_at(&self, shard: ShardId, now: Instant) -> Option<Instant> {
        let limit = self.config.per_shard?;
        let own = self.recent(now).filter(|start| start.shard == shard);
        room_at(own.map(|start| start.forgotten_at), limit)
    }

    /// When this many sessions may be started, at least one and at most those of a day. None: now.
    fn enough_at(&self, starts: u32, now: Instant) -> Option<Instant> {
        let spendable = self.remaining.saturating_sub(self.reserve());
        let by_server = (spendable < starts && now < self.resets_at).then_some(self.resets_at);
        let all = self.recent(now).map(|start| start.forgotten_at);
        by_server.max(room_at(all, (self.total - self.reserve()).saturating_sub(starts - 1)))
    }

    /// Whether all shards that are to start a session can do so.
    pub(crate) fn check_start(&self, now: Instant) -> Result<(), TooFewStarts> {
        match self.config.when_spent {
            WhenSpent::Hold => Ok(()),
            WhenSpent::Refuse => self.check(self.config.starting_shards(), now),
        }
    }

    /// Whether this many sessions can be started now.
    pub(crate) fn check(&self, starting: u32, now: Instant) -> Result<(), TooFewStarts> {
        let reset_after = match starting {
            0 => return Ok(()),
            _ if starting > self.total - self.reserve() => Duration::MAX,
            _ => match self.enough_at(starting, now) {
                None => return Ok(()),
                Some(at) => at.saturating_duration_since(now),
            },
        };
        Err(TooFewStarts::new(starting, self.remaining(now), self.reserve(), reset_after))
    }

    /// Another number of shards spends the budget from now on.
    pub(crate) fn set_shards(&mut self, shards: u32) -> Result<(), ConfigError> {
        // Those that start first of all are a matter of the beginning.
        let starting = self.config.starting.map(|starting| starting.min(shards));
        let config = IdentifyBudget { shards, starting, ..self.config.clone() };
        config.validate(self.total)?;
        self.config = config;
        Ok(())
    }

    pub(crate) fn refuse_spent(&self, available_at: Instant, now: Instant) -> IdentifyRefused {
        let available_in = available_at.saturating_duration_since(now);
        IdentifyRefused::new(self.remaining(now), self.reserve(), available_in)
    }

    pub(crate) fn refuse_not_persisted(&self, now: Instant) -> IdentifyRefused {
        IdentifyRefused::not_persisted(self.remaining(now), self.reserve())
    }

    /// Spends a session start for a permit.
    pub(crate) fn spend(&mut self, ticket: Ticket, now: Instant) {
        self.count_start(ticket.shard(), Some(ticket), now);
    }

    /// Whether this permit's session start is still counted, and the permit unused.
    pub(crate) fn has(&self, ticket: Ticket, now: Instant) -> bool {
        self.recent(now).any(|start| start.permit == Some(ticket))
    }

    /// Counts the session start of a permit from now on. Returns false if it is no longer counted.
    pub(crate) fn renew(&mut self, ticket: Ticket, now: Instant) -> bool {
        let is_its = |start: &Start| start.permit == Some(ticket) && start.forgotten_at > now;
        let Some(start) = self.starts.iter().rposition(is_its).and_then(|index| self.starts.remove(index))
        else {
            return false;
        };
        self.insert(Start { forgotten_at: start.forgotten_at.max(now + DAY), ..start });
        true
    }

    /// Counts the start of this shard's session from now on: its Identify is sent. That is the start of its newest unused
    /// permit. If there is none, an earlier process gave it; if there is no start at all, it is a new one.
    pub(crate) fn used(&mut self, shard: ShardId, now: Instant) {
        self.forget(now);
        let newest = |unused: bool| {
            let is_its = |start: &Start| start.shard == shard && (start.permit.is_some() || !unused);
            self.starts.iter().rposition(is_its)
        };
        match newest(true).or_else(|| newest(false)).and_then(|index| self.starts.remove(index)) {
            Some(start) => {
                let forgotten_at = start.forgotten_at.max(now + DAY);
                self.insert(Start { shard, permit: None, forgotten_at });
            }
            None => self.count_start(shard, None, now),
        }
    }

    fn count_start(&mut self, shard: ShardId, permit: Option<Ticket>, now: Instant) {
        if now >= self.resets_at {
            // The server begins its next period with the first start in it.
            (self.remaining, self.resets_at) = (self.total, now + DAY);
        }
        self.remaining = self.remaining.saturating_sub(1);
        self.forget(now);
        self.insert(Start { shard, permit, forgotten_at: now + DAY });
    }

    pub(crate) fn snapshot(&self, now: Instant) -> IdentifySnapshot {
        let starts = self.recent(now).map(|start| {
            // Rounded up, so that a start that is persisted many times is not forgotten too early.
            let left = start.forgotten_at.saturating_duration_since(now).as_nanos().div_ceil(1_000_000);
            (start.shard, u64::try_from(left).unwrap_or(u64::MAX))
        });
        IdentifySnapshot::new(starts.collect())
    }

    /// Adds the starts of an earlier process.
    pub(crate) fn restore(&mut self, snapshot: &IdentifySnapshot, elapsed: Duration, now: Instant) {
        for (shard, left) in &snapshot.starts {
            let left = Duration::from_millis(*left).min(DAY).saturating_sub(elapsed);
            self.starts.push_back(Start { shard: *shard, permit: None, forgotten_at: now + left });
        }
        self.starts.make_contiguous().sort_by_key(|start| start.forgotten_at);
        self.forget(now);
    }

    /// The starts that are younger than this, oldest first.
    pub(crate) fn newest(&self, within: Duration, now: Instant) -> impl Iterator<Item = Recent> {
        let recent = move |start: &Start| {
            let age = DAY.saturating_sub(start.forgotten_at.saturating_duration_since(now));
            Recent { shard: start.shard, permit: start.permit, age }
        };
        self.recent(now).map(recent).filter(move |start| start.age < within)
    }

    fn recent(&self, now: Instant) -> impl DoubleEndedIterator<Item = &Start> + Clone {
        let forgotten = self.starts.partition_point(|start| start.forgotten_at <= now);
        self.starts.range(forgotten..)
    }

    fn insert(&mut self, start: Start) {
        let index = self.starts.partition_point(|other| other.forgotten_at <= start.forgotten_at);
        self.starts.insert(index, start);
    }

    fn forget(&mut self, now: Instant) {
        let forgotten = self.starts.partition_point(|start| start.forgotten_at <= now);
        self.starts.drain(..forgotten);
    }
}

/// When fewer than `limit` of these are left, which are in order. None: they are fewer already.
fn room_at(forgotten_at: impl DoubleEndedIterator<Item = Instant>, limit: u32) -> Option<Instant> {
    match limit.checked_sub(1) {
        Some(others) => forgotten_at.rev().nth(usize::try_from(others).unwrap_or(usize::MAX)),
        None => forgotten_at.last(),
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
