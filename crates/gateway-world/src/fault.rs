//! Faults of the network and the gateway, and actions of the user: serializable values, so that a world can be replayed.

use std::time::Duration;

use gateway_sim::{Action, Point, Rule};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The time.
    pub at: Time,
    /// The affected shard. `None` for all.
    pub shard: Option<u32>,
    /// The fault.
    pub fault: Fault,
}

/// A fault of the network or of the gateway, or an action of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are said in the sentence of their fault")]
pub enum Fault {
    /// The connection is reset, and both ends notice.
    Reset,
    /// The connection is reset after this many more messages in one direction.
    ResetAfter { messages: u32, direction: Direction },
    /// From now on bytes in this direction of the connection are lost, and neither end notices.
    HalfOpen { direction: Direction },
    /// Nothing arrives for this time in either direction; then everything arrives at once.
    Stall { lasting: Duration },
    /// Every message is delayed for this time.
    Slow { by: Duration, lasting: Duration },
    /// No connection can be opened for this time.
    Unreachable { how: Unreachable, lasting: Duration },

    /// All connections are reset and the gateway is down for this time. It may lose its sessions.
    Restart { lasting: Duration, forgets: bool },
    /// The gateway requests a reconnect (opcode 7), followed immediately by events.
    Reconnect { then_emit: u32 },
    /// The gateway ends the session, or requests a Resume (opcode 9).
    Invalid { resumable: bool },
    /// The gateway closes the connection, with or without a code.
    Close { code: Option<u16> },
    /// The gateway drops the session silently.
    Expire,
    /// The gateway requests heartbeats (opcode 1).
    Beat { times: u32 },
    /// The gateway sends Hello again.
    Hello,
    /// The gateway sends another heartbeat interval in every later Hello.
    HeartbeatInterval { interval: Duration },
    /// The gateway acknowledges no heartbeats on this connection.
    Mute,
    /// The gateway delays its acknowledgements of heartbeats.
    AckDelay { by: Duration },
    /// The gateway performs another action at a point, this many times.
    Rule { at: Point, action: Action, times: u32 },
    /// The gateway performs the usual actions again, at every point.
    EndRules,
    /// The gateway sends something that no client can interpret.
    Nonsense { what: Nonsense },
    /// The gateway dispatches many events at once.
    Flood { events: u32 },

    /// The user sends commands.
    Commands { count: u32 },
    /// The user's handler blocks: nothing is read meanwhile.
    SlowHandler { lasting: Duration },
    /// The machine with all shards is suspended. On some machines the monotonic clock stops too.
    Suspend {
        lasting: Duration,
        #[serde(default)]
        clock_stops: bool,
    },
    /// The machine's wall clock is set to another time.
    WallClock { seconds: i32 },
    /// The process of the shard crashes and restarts with the last stored snapshot.
    Crash { lasting: Duration },
    /// The process is stopped in an orderly way and restarts.
    Redeploy { lasting: Duration, log_off: bool },
    /// The user requests a reconnect.
    UserReconnect { fresh: bool },

    /// The user of a cluster asks for another number of shards.
    Reshard { shards: u32 },
    /// The user of a cluster aborts the reshard that is going on.
    AbortReshard,
    /// The user of a cluster restarts all shards, bucket by bucket.
    RollingRestart,
    /// `GET /gateway/bot` recommends a number of shards.
    Recommend { shards: u32 },
    /// A shard of a cluster is released, and adopted again later.
    Handover { lasting: Duration },
    /// A cluster can store neither its plan nor its sessions for a while.
    StorageFails { lasting: Duration },
    /// The process of a cluster dies so long after a reshard has next come to a phase, and comes back.
    CrashIn { phase: Phase, after: Duration, lasting: Duration },
    /// The bot joins or leaves the voice channel of a guild.
    Voice { guild: u32, joins: bool },
}

/// A phase of a reshard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The new sessions are started.
    Preparing,
    /// All new sessions are up.
    Overlapping,
    /// Guilds are switched.
    CuttingOver,
    /// The old sessions are ended.
    Retiring,
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the shard to the gateway.
    Up,
    /// From the gateway to the shard.
    Down,
    /// Both.
    Both,
}

/// Why a connection cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// The name is not resolved.
    Dns,
    /// The port is closed.
    Tcp,
    /// The certificate is invalid.
    Tls,
    /// Nothing answers at all.
    Nothing,
    /// The response is not a handshake.
    Handshake,
    /// The server refuses the upgrade.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The seconds of its `Retry-After`.
        retry_after: Option<u32>,
    },
}

/// Messages that no client can interpret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonsense {
    /// Text that is not JSON.
    Text,
    /// Bytes that are neither ETF nor compressed.
    Bytes,
    /// An unknown opcode.
    Opcode,
    /// A dispatch without a number and with an unknown name.
    Dispatch,
    /// Hello with an interval of 0.
    Hello,
}

impl Fault {
    /// The duration, for a fault that ends by itself.
    pub fn lasting(&self) -> Option<Duration> {
        self.clone().lasting_mut().copied()
    }

    /// The same fault, which lasts at most `longest`.
    #[must_use]
    pub fn within(mut self, longest: Duration) -> Self {
        if let Some(lasting) = self.lasting_mut() {
            *lasting = (*lasting).min(longest);
        }
        self
    }

    fn lasting_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Self::Stall { lasting }
            | Self::Slow { lasting, .. }
            | Self::Unreachable { lasting, .. }
            | Self::Restart { lasting, .. }
            | Self::SlowHandler { lasting }
            | Self::Suspend { lasting, .. }
            | Self::Crash { lasting, .. }
            | Self::Redeploy { lasting, .. }
            | Self::Handover { lasting }
            | Self::StorageFails { lasting }
            | Self::CrashIn { lasting, .. } => Some(lasting),
            _ => None,
        }
    }
}

/// The gateway's rule for a fault.
pub(crate) fn rule(at: Point, action: Action, times: u32, shard: Option<u32>) -> Rule {
    // A connection's shard is known only after Identify or Resume.
    let shard = shard.filter(|_| !matches!(at, Point::Upgrade | Point::Connect | Point::Hello));
    Rule { shard, count: (times != u32::MAX).then_some(times), ..Rule::once(at, action) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_down_and_read_again() {
        let planned = Planned {
            at: Time::from_hours(1.5),
            shard: Some(3),
            fault: Fault::Rule {
                at: Point::Resume,
                action: Action::Delay(Duration::from_millis(70)),
                times: 2,
            },
        };
        let text = serde_json::to_string(&planned).unwrap();
        assert_eq!(serde_json::from_str::<Planned>(&text).unwrap(), planned, "{text}");
    }

    #[test]
    fn only_what_lasts_is_cut_short() {
        let minute = Duration::from_secs(60);
        let outage = Fault::Unreachable { how: Unreachable::Dns, lasting: minute * 60 };
        assert_eq!(outage.within(minute).lasting(), Some(minute));
        assert_eq!(Fault::Reset.within(minute), Fault::Reset);
    }
}
