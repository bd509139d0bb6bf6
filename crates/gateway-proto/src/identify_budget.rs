//! How many sessions may be started in a day.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::config::ConfigError;

/// "1000 session starts in a 24-hour period": beyond it "all active sessions for the app will be terminated, the app's
/// token will be reset" (Discord Docs, Gateway > Rate Limiting).
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The limit of every bot for which Discord has set no other.
const USUAL_TOTAL: u32 = 1000;

/// `session_start_limit` of `GET /gateway/bot`. See [Discord Docs, Gateway > Session Start Limit Object][object].
///
/// [object]: https://discord.com/developers/docs/events/gateway#session-start-limit-object
///
/// Decodes from that JSON, in which `reset_after` is in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SessionStartLimit {
    /// Session starts in a period. Default 1000.
    pub total: u32,
    /// Session starts that are left. Default 1000.
    pub remaining: u32,
    /// Time until all of them are available again. Default 24 h.
    #[serde(deserialize_with = "milliseconds")]
    pub reset_after: Duration,
    /// Shards that may identify within 5 s. 0 is read as 1. Default 1.
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
    /// Shards that spend it. Default 1.
    pub shards: u32,
    /// Shards that have no session to resume, and start one first of all. None: all.
    pub starting: Option<u32>,
    /// Session starts that are never spent: for the operator, and for other programs that use the token. None: a tenth of
    /// the total.
    pub reserve: Option<u32>,
    /// Session starts of a single shard in any 24 hours, so that one that fails again and again leaves some to the others.
    /// None: no limit of its own.
    pub per_shard: Option<u32>,
    /// What happens to a request when no session may be started. Default: it is refused.
    pub when_spent: WhenSpent,
}

impl Default for IdentifyBudget {
    fn default() -> Self {
        Self { shards: 1, starting: None, reserve: None, per_shard: None, when_spent: WhenSpent::Refuse }
    }
}

/// What happens to a request for a permit when the budget is spent, and when its session start cannot be persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenSpent {
    /// It is refused, and the shard stops with the reason: the operator should look into it.
    Refuse,
    /// It waits: for a spent budget up to a day, for a failed write until a later one succeeds. The shard sends heartbeats
    /// meanwhile.
    Hold,
}

/// Fewer session starts are left than sessions are to be started, so not all of them could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TooFewStarts {
    /// Sessions that are to be started, those of requests that wait at the gate included.
    pub starting: u32,
    /// Session starts that are left, including the reserve.
    pub remaining: u32,
    /// Session starts that are never spent.
    pub reserve: u32,
    /// Time until there are enough, unless the limit is updated before. [`Duration::MAX`] if a day has too few.
    pub reset_after: Duration,
}

impl TooFewStarts {
    /// Fewer session starts are left than are needed, for custom gates. `remaining` includes the `reserve`.
    pub fn new(starting: u32, remaining: u32, reserve: u32, reset_after: Duration) -> Self {
        Self { starting, remaining, reserve, reset_after }
    }
}

impl fmt::Display for TooFewStarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { starting, remaining, reserve, reset_after } = self;
        write!(
            f,
            "{starting} sessions cannot be started: {remaining} starts are left, of which {reserve} are in reserve; "
        )?;
        match *reset_after {
            Duration::MAX => f.write_str("a day has too few"),
            reset_after => write!(f, "there will be enough in {} s", reset_after.as_secs()),
        }
    }
}

impl std::error::Error for TooFewStarts {}

/// Why an [`IdentifyQueue`](crate::identify::IdentifyQueue) cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// A field of the [`IdentifyBudget`] is wrong, regardless of how many session starts are left.
    Config(ConfigError),
    /// Too few session starts are left at present.
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

/// Its text is that of the error within, so it has no `source`.
impl std::error::Error for BudgetError {}

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

impl IdentifyBudget {
    pub(crate) fn reserve(&self, total: u32) -> u32 {
        self.reserve.unwrap_or(total / 10)
    }

    pub(crate) fn starting_shards(&self) -> u32 {
        self.starting.unwrap_or(self.shards)
    }

    /// Refuses a budget that could spend more in a day than the total.
    pub(crate) fn validate(&self, total: u32) -> Result<(), ConfigError> {
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
