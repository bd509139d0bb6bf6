//! What can go wrong in the world, and what its user may do: each a value that can be written down and played again.

use std::time::Duration;

use gateway_sim::{Action, Point, Rule};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Something that is to happen at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// When.
    pub at: Time,
    /// To which shard. None: to all.
    pub shard: Option<u32>,
    /// What.
    pub fault: Fault,
}

/// A fault of the network or of the server, or an act of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are said in the sentence of their fault")]
pub enum Fault {
    /// The connection is lost, and both ends notice.
    Reset,
    /// The connection is lost after so many more messages in one direction.
    ResetAfter { messages: u32, direction: Direction },
    /// Bytes in this direction of this connection are lost from now on, and neither end notices.
    HalfOpen { direction: Direction },
    /// Nothing arrives for a while, in either direction; then all of it at once.
    Stall { lasting: Duration },
    /// Every message takes longer for a while.
    Slow { by: Duration, lasting: Duration },
    /// No connection can be opened for a while.
    Unreachable { how: Unreachable, lasting: Duration },

    /// All connections are reset and the gateway is away for a while. It may forget its sessions.
    Restart { lasting: Duration, forgets: bool },
    /// The gateway asks for a reconnect (op 7), with events right behind.
    Reconnect { then_emit: u32 },
    /// The gateway ends the session, or asks for a Resume (op 9).
    Invalid { resumable: bool },
    /// The gateway closes the connection, with a code or without.
    Close { code: Option<u16> },
    /// The gateway forgets the session without a word.
    Expire,
    /// The gateway asks for heartbeats (op 1).
    Beat { times: u32 },
    /// The gateway says Hello again.
    Hello,
    /// The gateway asks for another heartbeat interval in every Hello from now on.
    HeartbeatInterval { interval: Duration },
    /// The gateway acknowledges no heartbeats on this connection.
    Mute,
    /// The gateway acknowledges heartbeats late.
    AckDelay { by: Duration },
    /// The gateway does something else instead of the usual, so many times.
    Rule { at: Point, action: Action, times: u32 },
    /// The gateway does the usual again, everywhere.
    EndRules,
    /// The gateway sends something that no client understands.
    Nonsense { what: Nonsense },
    /// The gateway dispatches many events at once.
    Flood { events: u32 },

    /// The user sends commands.
    Commands { count: u32 },
    /// The user's handler takes long: nothing is read meanwhile.
    SlowHandler { lasting: Duration },
    /// The machine with all shards is suspended while time passes. On some machines the monotonic clock stops too.
    Suspend {
        lasting: Duration,
        #[serde(default)]
        clock_stops: bool,
    },
    /// The wall clock of that machine is set to another time.
    WallClock { seconds: i32 },
    /// The process of the shard dies and comes back with the last snapshot it stored.
    Crash { lasting: Duration },
    /// The process is stopped in an orderly way and comes back.
    Redeploy { lasting: Duration, log_off: bool },
    /// The user asks for a reconnect.
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
    /// The certificate is no good.
    Tls,
    /// Nothing answers at all.
    Nothing,
    /// The answer is no handshake.
    Handshake,
    /// The edge refuses the upgrade.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The seconds of its `Retry-After`.
        retry_after: Option<u32>,
    },
}

/// Messages that no client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonsense {
    /// Text that is not JSON.
    Text,
    /// Bytes that are neither ETF nor compressed.
    Bytes,
    /// An opcode that there is not.
    Opcode,
    /// A dispatch without a number and with an unknown name.
    Dispatch,
    /// Hello with an interval of nothing.
    Hello,
}

impl Fault {
    /// How long it lasts, if it ends by itself.
    pub fn lasting(&self) -> Option<Duration> {
        self.clone().lasting_mut().copied()
    }

    /// The same, ending after `longest` at the latest.
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

/// The rule of the gateway that a fault stands for.
pub(crate) fn rule(at: Point, action: Action, times: u32, shard: Option<u32>) -> Rule {
    // Which shard it is shows only in Identify or Resume.
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
