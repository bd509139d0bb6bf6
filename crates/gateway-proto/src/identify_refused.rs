//! Why a permit to identify was refused.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A permit to identify was refused.
///
/// A shard stops with it, unless the cause is [`RefusalCause::Unreachable`]: then the shard asks again after a wait. See
/// [`Input::IdentifyRefused`](crate::Input::IdentifyRefused).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IdentifyRefused {
    /// Why.
    pub cause: RefusalCause,
    /// Session starts that are left, including the reserve. 0 with [`RefusalCause::Unreachable`]: not known.
    pub remaining: u32,
    /// Session starts that are never spent. 0 with [`RefusalCause::Unreachable`]: not known.
    pub reserve: u32,
    /// Time until a session start is available, unless the limit is updated before. Zero unless the cause is
    /// [`RefusalCause::Spent`].
    pub available_in: Duration,
}

/// Why a permit to identify was refused. Serializes as `spent`, `not_persisted` or `unreachable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCause {
    /// The session starts that the budget allows are spent.
    Spent,
    /// The session start could not be persisted, so the next process would not count it.
    NotPersisted,
    /// The gate could not be reached, so nothing is known about the session starts that are left. For gates that several
    /// processes share.
    Unreachable,
}

impl IdentifyRefused {
    /// A refusal because the budget is spent, for custom gates. `remaining` includes the `reserve`.
    pub fn new(remaining: u32, reserve: u32, available_in: Duration) -> Self {
        Self { cause: RefusalCause::Spent, remaining, reserve, available_in }
    }

    /// A refusal because the session start could not be persisted, for custom gates. `remaining` includes the `reserve`.
    pub fn not_persisted(remaining: u32, reserve: u32) -> Self {
        Self { cause: RefusalCause::NotPersisted, remaining, reserve, available_in: Duration::ZERO }
    }

    /// A refusal because the gate could not be reached, for custom gates. The shard keeps no connection open for it: it
    /// closes, and asks again after the back-off of a failed connection.
    pub fn unreachable() -> Self {
        let available_in = Duration::ZERO;
        Self { cause: RefusalCause::Unreachable, remaining: 0, reserve: 0, available_in }
    }
}

impl fmt::Display for IdentifyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, remaining, reserve, available_in } = self;
        match cause {
            RefusalCause::Spent => write!(
                f,
                "no session may be started: {remaining} starts are left, of which {reserve} are in reserve; the next is \
                 available in {} s",
                available_in.as_secs()
            ),
            RefusalCause::NotPersisted => f.write_str(
                "no session may be started: the start could not be persisted, so the next process would not count it; \
                 make the store writable",
            ),
            RefusalCause::Unreachable => {
                f.write_str("no session may be started: the identify gate could not be reached")
            }
        }
    }
}

impl std::error::Error for IdentifyRefused {}
