//! Four profiles, each a table of faults and their rates.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A profile: the kinds and rates of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Few faults: the gateway moves connections from time to time.
    Calm,
    /// A bad network: losses, stalls and half-open connections, several per hour.
    Flaky,
    /// A bad gateway: down for hours, refuses connections, loses sessions.
    Outage,
    /// Everything at once, and a user who crashes, blocks and floods.
    Hostile,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Flaky, Self::Outage, Self::Hostile];

    /// The rate of each kind of fault: for each shard in 1000 hours, or for the whole world if it affects all shards.
    pub(crate) fn rates(self) -> &'static [(Kind, u32)] {
        match self {
            Self::Calm => CALM,
            Self::Flaky => FLAKY,
            Self::Outage => OUTAGE,
            Self::Hostile => HOSTILE,
        }
    }

    /// Events per hour that the gateway dispatches to each session.
    pub(crate) fn events_an_hour(self) -> f64 {
        match self {
            Self::Calm => 20.0,
            Self::Flaky | Self::Outage | Self::Hostile => 30.0,
        }
    }

    /// The minimum latency of a message, and the maximum of what is added to it.
    pub(crate) fn latency(self) -> (Duration, Duration) {
        let milliseconds = match self {
            Self::Calm => (20, 30),
            Self::Flaky => (40, 200),
            Self::Outage => (30, 60),
            Self::Hostile => (10, 200),
        };
        (Duration::from_millis(milliseconds.0), Duration::from_millis(milliseconds.1))
    }
}

/// A kind of fault without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reset,
    ResetAfter,
    HalfOpen,
    Stall,
    Slow,
    /// One shard cannot connect for minutes.
    Unreachable,
    Reconnect,
    Invalid,
    Close,
    /// A close code after which no client may reconnect.
    FatalClose,
    Expire,
    Beat,
    Hello,
    Mute,
    Rule,
    Nonsense,
    Flood,
    Commands,
    SlowHandler,
    Crash,
    Redeploy,
    UserReconnect,
    /// For the whole world: no connection can be opened for hours.
    Blackout,
    /// For the whole world: the gateway restarts.
    Restart,
    /// For the whole world: every connection fails at one point for hours.
    Brownout,
    /// For the whole world.
    HeartbeatInterval,
    /// For the whole world.
    AckDelay,
    /// For the whole world.
    Suspend,
    /// For the whole world.
    WallClock,
    /// Of a cluster, as all that follow: another number of shards, which may be aborted, or crash in any phase.
    Reshard,
    RollingRestart,
    Recommend,
    Handover,
    StorageFails,
    Voice,
    /// Too many guilds for a shard.
    ShardingRequired,
    /// The whole process.
    CrashOfAll,
    /// The whole process.
    RedeployOfAll,
}

impl Kind {
    /// Whether it affects all shards at once.
    pub(crate) fn is_of_the_world(self) -> bool {
        matches!(
            self,
            Self::Blackout
                | Self::Restart
                | Self::Brownout
                | Self::HeartbeatInterval
                | Self::AckDelay
                | Self::Suspend
                | Self::WallClock
                | Self::Reshard
                | Self::RollingRestart
                | Self::Recommend
                | Self::Handover
                | Self::StorageFails
                | Self::Voice
                | Self::ShardingRequired
                | Self::CrashOfAll
                | Self::RedeployOfAll
        )
    }

    /// Whether it happens to a shard that has a process of its own.
    pub(crate) fn is_of_a_process(self) -> bool {
        matches!(self, Self::Crash | Self::Redeploy)
    }
}

/// What the user of a cluster does and what befalls its process, in every profile.
pub(crate) const CLUSTER: &[(Kind, u32)] = &[
    (Kind::Reshard, 500),
    (Kind::RollingRestart, 60),
    (Kind::Recommend, 60),
    (Kind::Handover, 60),
    (Kind::StorageFails, 40),
    (Kind::Voice, 300),
    (Kind::ShardingRequired, 15),
    (Kind::CrashOfAll, 30),
    (Kind::RedeployOfAll, 30),
];

const CALM: &[(Kind, u32)] = &[
    (Kind::Reconnect, 60),
    (Kind::Reset, 20),
    (Kind::Close, 5),
    (Kind::Beat, 20),
    (Kind::Commands, 300),
    (Kind::Redeploy, 3),
];

const FLAKY: &[(Kind, u32)] = &[
    (Kind::Reset, 800),
    (Kind::ResetAfter, 800),
    (Kind::HalfOpen, 300),
    (Kind::Stall, 600),
    (Kind::Slow, 400),
    (Kind::Unreachable, 200),
    (Kind::Reconnect, 200),
    (Kind::Close, 50),
    (Kind::Beat, 50),
    (Kind::Commands, 1000),
    (Kind::SlowHandler, 100),
    (Kind::Crash, 20),
    (Kind::Suspend, 20),
    (Kind::WallClock, 20),
];

const OUTAGE: &[(Kind, u32)] = &[
    (Kind::Reset, 100),
    (Kind::ResetAfter, 50),
    (Kind::Unreachable, 20),
    (Kind::Reconnect, 200),
    (Kind::Invalid, 20),
    (Kind::Close, 50),
    (Kind::Expire, 5),
    (Kind::Commands, 300),
    (Kind::Rule, 100),
    (Kind::Mute, 50),
    (Kind::Blackout, 60),
    (Kind::Restart, 60),
    (Kind::Brownout, 60),
    (Kind::AckDelay, 20),
];

const HOSTILE: &[(Kind, u32)] = &[
    (Kind::Reset, 400),
    (Kind::ResetAfter, 500),
    (Kind::HalfOpen, 200),
    (Kind::Stall, 200),
    (Kind::Slow, 100),
    (Kind::Unreachable, 100),
    (Kind::Reconnect, 200),
    (Kind::Invalid, 40),
    (Kind::Close, 200),
    (Kind::FatalClose, 2),
    (Kind::Expire, 10),
    (Kind::Beat, 100),
    (Kind::Hello, 50),
    (Kind::Mute, 100),
    (Kind::Rule, 400),
    (Kind::Nonsense, 50),
    (Kind::Flood, 100),
    (Kind::Commands, 1000),
    (Kind::SlowHandler, 100),
    (Kind::Crash, 60),
    (Kind::Redeploy, 30),
    (Kind::UserReconnect, 40),
    (Kind::Blackout, 40),
    (Kind::Restart, 60),
    (Kind::Brownout, 60),
    (Kind::HeartbeatInterval, 60),
    (Kind::AckDelay, 60),
    (Kind::Suspend, 60),
    (Kind::WallClock, 60),
];

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Calm => "calm",
            Self::Flaky => "flaky",
            Self::Outage => "outage",
            Self::Hostile => "hostile",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|profile| profile.to_string() == text);
        named.ok_or_else(|| format!("there is no profile {text}: calm, flaky, outage, hostile"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_their_names() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("mild".parse::<Profile>().is_err());
    }
}
