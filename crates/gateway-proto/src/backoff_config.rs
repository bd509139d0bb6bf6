//! How long to wait between connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait between connections.
///
/// The first attempt after a lost connection is immediate, once. Each further wait is a uniform share of the outage so far,
/// 0.4 to 0.6 of it. It is at least [`minimum`](Self::minimum) and at most [`cap`](Self::cap), both jittered too. An outage is
/// the time since a connection last held for [`stable_after`](Self::stable_after), or since the first connection ended.
///
/// With the defaults an outage makes the shard wait on for 0.6 of its length at most, or 0.7 s, or 60 s. Where every attempt
/// fails at once, there are 14 attempts at most in the first 30 s, and 28 in the first ten minutes.
///
/// A `Retry-After` of the server may make a wait longer; so do close code 4008, opcode 9, and Identifies that fail:
/// see [`base`](Self::base).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The ceiling of the wait before an Identify, where the last one failed; the wait is uniform below it. It doubles
    /// with each Identify sent of late, up to 10 min; one is forgotten in five minutes. Default 1 s, at most 10 min. Below a
    /// third of a millisecond, 20 doublings would not spread Identifies over the day; that is refused.
    pub base: Duration,
    /// The longest wait, jittered: a wait that it cuts is uniform between 0.8 of it and all of it. Default 60 s.
    pub cap: Duration,
    /// The least wait, jittered: the first waits of an outage are uniform between it and 7/3 of it. Default 300 ms.
    pub minimum: Duration,
    /// How long a connection must have been up after READY or RESUMED to end an outage. Default 60 s.
    pub stable_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            minimum: Duration::from_millis(300),
            stable_after: Duration::from_secs(60),
        }
    }
}
