//! How many sessions may still be started today.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{ConfigError, ShardId};

/// "1000 session starts in a 24-hour period": beyond it "all active sessions for the app will be terminated, the app's
/// token will be reset" (Discord Docs, Gateway > Rate Limiting).
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The limit of every bot that was not told otherwise.
const USUAL_TOTAL: u32 = 1000;

/// `session_start_limit` of `GET /gateway/bot` (Discord Docs, Gateway > Session Start Limit Object).
///
/// Decodes from that JSON, in which `reset_after` is in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SessionStartLimit {
    /// Session starts in a period. Default 1000.
    pub total: u32,
    /// How many of them are left. Default 1000.
    pub remaining: u32,
    /// When all of them are there again. Default a day.
    #[serde(deserialize_with = "milliseconds")]
    pub reset_after: Duration,
    /// How many shards may identify in 5 seconds. 0 is read as 1. Default 1.
    pub max_concurrency: u32,
}

impl Default for SessionStartLimit {
    fn default() -> Self {
        Self { total: USUAL_TOTAL, remaining: USUAL_TOTAL, reset_after: DAY, max_concurrency: 1 }
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// How the session starts of a day are spent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentifyBudget {
    /// How many shards spend it. Default 1.
    pub shards: u32,
    /// How many of them have no session to resume, so that they start one first of all. None: all.
    pub starting: Option<u32>,
    /// Session starts that are never given out: for the operator, and for whatever else uses the token. None: a tenth of
    /// the total.
    pub reserve: Option<u32>,
    /// How many a single shard may use in any 24 hours, so that one that fails for ever leaves something to the others.
    /// None: as many as there are.
    pub per_shard: Option<u32>,
    /// What happens to a request when nothing may be given out. Default: it is refused.
    pub when_spent: WhenSpent,
}

impl Default for IdentifyBudget {
    fn default() -> Self {
        Self { shards: 1, starting: None, reserve: None, per_shard: None, when_spent: WhenSpent::Refuse }
    }
}

/// What happens to a request for a permit when the budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenSpent {
    /// It is refused, and the shard stops with the reason: somebody should look.
    Refuse,
    /// It waits until there is something to give out, which may take a day. Heartbeats go on meanwhile.
    Hold,
}

/// A permit to identify was refused: the session starts that may be spent are used up, or could not be accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IdentifyRefused {
    /// Why.
    pub cause: RefusalCause,
    /// Session starts that are left, those of the reserve among them.
    pub remaining: u32,
    /// How many are never given out.
    pub reserve: u32,
    /// When the next one may be given out, if nothing else is learned until then.
    pub available_in: Duration,
}

/// Why a permit to identify was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCause {
    /// Nothing is left that may be given out.
    Spent,
    /// The session start could not be written down, so the next process would not know of it.
    NotKept,
}

impl IdentifyRefused {
    /// A refusal because nothing is left, for gates of your own.
    pub fn new(remaining: u32, reserve: u32, available_in: Duration) -> Self {
        Self { cause: RefusalCause::Spent, remaining, reserve, available_in }
    }

    /// A refusal because the start could not be written down, for gates of your own.
    pub fn not_kept(remaining: u32, reserve: u32) -> Self {
        Self { cause: RefusalCause::NotKept, remaining, reserve, available_in: Duration::ZERO }
    }
}

impl fmt::Display for IdentifyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, remaining, reserve, available_in } = self;
        match cause {
            RefusalCause::Spent => write!(
                f,
                "no session may be started: {remaining} starts are left of which {reserve} are kept back; the next may \
                 be given out in {} s",
                available_in.as_secs()
            ),
            RefusalCause::NotKept => f.write_str(
                "no session may be started: it could not be written down for the next process to know of it",
            ),
        }
    }
}

impl std::error::Error for IdentifyRefused {}

/// Fewer session starts are left than shards are to start a session: the bot could not come up whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TooFewStarts {
    /// How many shards are to start a session.
    pub starting: u32,
    /// Session starts that are left, those of the reserve among them.
    pub remaining: u32,
    /// How many are never given out.
    pub reserve: u32,
    /// When there are enough, if nothing else is learned until then.
    pub reset_after: Duration,
}

impl fmt::Display for TooFewStarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { starting, remaining, reserve, reset_after } = self;
        write!(
            f,
            "{starting} sessions cannot be started: {remaining} starts are left of which {reserve} are kept back; there \
             will be enough in {} s",
            reset_after.as_secs()
        )
    }
}

impl std::error::Error for TooFewStarts {}

/// Why a bot cannot start with a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// A field of the [`IdentifyBudget`] cannot be used, whatever is left.
    Config(ConfigError),
    /// Too little is left at present.
    TooFewStarts(TooFewStarts),
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TooFewStarts(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BudgetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::TooFewStarts(error) => Some(error),
        }
    }
}

impl From<ConfigError> for BudgetError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<TooFewStarts> for BudgetError {
    fn from(error: TooFewStarts) -> Self {
        Self::TooFewStarts(error)
    }
}

/// The session starts of the last 24 hours, as [`IdentifyQueue::snapshot`](crate::IdentifyQueue::snapshot) gives them,
/// to be kept from one process to the next. It holds durations only: no clock has to be right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifySnapshot {
    /// The shard, and in how many milliseconds its start counts no more.
    starts: Vec<(ShardId, u64)>,
}

/// The account of a day.
#[derive(Debug)]
pub(crate) struct Ledger {
    config: IdentifyBudget,
    total: u32,
    /// What the server has said is left, less what was spent since.
    remaining: u32,
    /// When the server's count begins anew.
    resets_at: Instant,
    /// The starts of the last 24 hours, oldest first.
    starts: VecDeque<Start>,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    shard: ShardId,
    /// 24 hours after it. A moment in the past could not always be told.
    forgotten_at: Instant,
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

    /// The account of somebody who knows nothing yet.
    pub(crate) fn usual(now: Instant) -> Self {
        Self {
            config: IdentifyBudget::default(),
            total: USUAL_TOTAL,
            remaining: USUAL_TOTAL,
            resets_at: now + DAY,
            starts: VecDeque::new(),
        }
    }

    /// The server's newest word.
    pub(crate) fn update(&mut self, limit: &SessionStartLimit, now: Instant) -> Result<(), ConfigError> {
        self.config.validate(limit.total)?;
        self.total = limit.total;
        self.remaining = limit.remaining.min(limit.total);
        // A longer period than a day does not exist.
        self.resets_at = now + limit.reset_after.min(DAY);
        Ok(())
    }

    /// How many starts are left, those of the reserve among them: by the server's count and by our own of any 24 hours.
    pub(crate) fn remaining(&self, now: Instant) -> u32 {
        let told = if now >= self.resets_at { self.total } else { self.remaining };
        told.min(self.total.saturating_sub(count(self.recent(now))))
    }

    pub(crate) fn reserve(&self) -> u32 {
        self.config.reserve(self.total)
    }

    pub(crate) fn when_spent(&self) -> WhenSpent {
        self.config.when_spent
    }

    /// When a shard may start a session. None: now.
    pub(crate) fn available_at(&self, shard: ShardId, now: Instant) -> Option<Instant> {
        let own = self.config.per_shard.and_then(|limit| {
            let own = self.recent(now).filter(|start| start.shard == shard);
            room_at(own.map(|start| start.forgotten_at), limit)
        });
        self.enough_at(1, now).max(own)
    }

    /// When so many sessions may be started, at least one and no more than a day has. None: now.
    fn enough_at(&self, starts: u32, now: Instant) -> Option<Instant> {
        let spendable = self.remaining.saturating_sub(self.reserve());
        let told = (spendable < starts && now < self.resets_at).then_some(self.resets_at);
        let all = self.recent(now).map(|start| start.forgotten_at);
        told.max(room_at(all, (self.total - self.reserve()).saturating_sub(starts - 1)))
    }

    /// Whether all shards that are to start a session can do so.
    pub(crate) fn check_start(&self, now: Instant) -> Result<(), TooFewStarts> {
        let starting = self.config.starting_shards();
        if starting == 0 || self.config.when_spent == WhenSpent::Hold {
            return Ok(());
        }
        match self.enough_at(starting, now) {
            None => Ok(()),
            Some(at) => Err(TooFewStarts {
                starting,
                remaining: self.remaining(now),
                reserve: self.reserve(),
                reset_after: at.saturating_duration_since(now),
            }),
        }
    }

    pub(crate) fn refusal(&self, available_at: Instant, now: Instant) -> IdentifyRefused {
        let available_in = available_at.saturating_duration_since(now);
        IdentifyRefused::new(self.remaining(now), self.reserve(), available_in)
    }

    /// A session is being started.
    pub(crate) fn spend(&mut self, shard: ShardId, now: Instant) {
        if now >= self.resets_at {
            // The server begins its next period with the first start in it.
            (self.remaining, self.resets_at) = (self.total, now + DAY);
        }
        self.remaining = self.remaining.saturating_sub(1);
        self.forget(now);
        self.starts.push_back(Start { shard, forgotten_at: now + DAY });
    }

    /// A session that was being started has sent its Identify only now.
    pub(crate) fn used(&mut self, shard: ShardId, now: Instant) {
        let newest = self.starts.iter().rposition(|start| start.shard == shard);
        if let Some(start) = newest.and_then(|index| self.starts.remove(index)) {
            let forgotten_at = start.forgotten_at.max(now + DAY);
            self.starts.push_back(Start { shard, forgotten_at });
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> IdentifySnapshot {
        let starts = self.recent(now).map(|start| {
            // Rounded up: what is kept again and again must not be forgotten too early.
            let left = start.forgotten_at.saturating_duration_since(now).as_nanos().div_ceil(1_000_000);
            (start.shard, u64::try_from(left).unwrap_or(u64::MAX))
        });
        IdentifySnapshot { starts: starts.collect() }
    }

    /// Adds the starts of an earlier process.
    pub(crate) fn restore(&mut self, snapshot: &IdentifySnapshot, elapsed: Duration, now: Instant) {
        for (shard, left) in &snapshot.starts {
            let left = Duration::from_millis(*left).min(DAY).saturating_sub(elapsed);
            self.starts.push_back(Start { shard: *shard, forgotten_at: now + left });
        }
        self.starts.make_contiguous().sort_by_key(|start| start.forgotten_at);
        self.forget(now);
    }

    /// The starts of the last moments, and how long ago they were. Oldest first.
    pub(crate) fn newest(&self, within: Duration, now: Instant) -> impl Iterator<Item = (ShardId, Duration)> {
        let ago = move |start: &Start| DAY.saturating_sub(start.forgotten_at.saturating_duration_since(now));
        self.recent(now).map(move |start| (start.shard, ago(start))).filter(move |(_, ago)| *ago < within)
    }

    fn recent(&self, now: Instant) -> impl DoubleEndedIterator<Item = &Start> + Clone {
        let forgotten = self.starts.partition_point(|start| start.forgotten_at <= now);
        self.starts.range(forgotten..)
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

impl IdentifyBudget {
    fn reserve(&self, total: u32) -> u32 {
        self.reserve.unwrap_or(total / 10)
    }

    fn starting_shards(&self) -> u32 {
        self.starting.unwrap_or(self.shards)
    }

    /// Refuses what could spend more in a day than there is.
    fn validate(&self, total: u32) -> Result<(), ConfigError> {
        let Some(spendable) = total.checked_sub(self.reserve(total)).filter(|spendable| *spendable > 0)
        else {
            let problem = format!("it leaves nothing of the {total} session starts of a day");
            return Err(ConfigError::new("reserve", problem));
        };
        if self.shards > spendable {
            let problem =
                format!("{} shards need more than the {spendable} session starts of a day", self.shards);
            return Err(ConfigError::new("shards", problem));
        }
        if self.starting_shards() > self.shards {
            return Err(ConfigError::new("starting", format!("there are only {} shards", self.shards)));
        }
        match self.per_shard {
            Some(0) => Err(ConfigError::new("per_shard", "it must be at least 1")),
            Some(each) if u64::from(each) * u64::from(self.shards) > u64::from(spendable) => {
                let problem = format!(
                    "{} shards with {each} session starts each could spend more than the {spendable} of a day",
                    self.shards
                );
                Err(ConfigError::new("per_shard", problem))
            }
            _ => Ok(()),
        }
    }
}
