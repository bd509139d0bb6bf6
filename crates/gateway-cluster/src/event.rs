//! What a cluster has to say to the application.

use std::fmt;

use gateway_proto::{Event, ShardId, Snowflake, StopReason};

use crate::{CutoverTally, Switch};

/// Something the application may want to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// An event of a shard. While the bot is resharded, a dispatch comes from the generation that is in charge of its guild.
    Shard(Event),
    /// A shard has stopped for good. The others go on; `restart` brings it back after the cause is mended.
    ShardStopped(StopReason),
    /// Every shard that was to be started is ready, or has stopped for good.
    AllReady,
    /// A reshard has gone on, or ended.
    Reshard(ReshardEvent),
    /// Another number of shards would be better; `reshard` answers this.
    ///
    /// A bot of which all shards have stopped, one of them with 4011, waits for a reshard before it ends, for a minute.
    ReshardAdvised {
        /// The recommended number. None: not known.
        shards: Option<u32>,
        /// Why.
        cause: ReshardCause,
    },
    /// A rolling restart has ended.
    RollingRestartDone,
    /// The plan of the cluster could not be written. A reshard waits until it can be, and tries again.
    PlanNotKept,
    /// The session of a shard could not be kept: a later process may not be able to resume it. Told once in a minute at most.
    SessionNotKept {
        /// The shard.
        shard: ShardId,
        /// Why.
        error: String,
    },
    /// A shard cannot be built, because its configuration is not what it was at the start. It counts as stopped.
    ShardNotBuilt {
        /// Why.
        error: String,
    },
}

/// Why another number of shards would be better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReshardCause {
    /// A shard was closed with 4011: it would have had too many guilds.
    ShardingRequired,
    /// `GET /gateway/bot` recommends another number than it did.
    Recommendation,
}

/// How a reshard goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReshardEvent {
    /// The sessions of the next generation are started. The old generation is in charge of everything.
    Preparing {
        /// The shard count of the old generation.
        from: u32,
        /// The shard count of the next generation.
        to: u32,
    },
    /// All sessions of the next generation are up, and guilds are compared. The reshard can still be aborted.
    Overlapping,
    /// The guilds are switched, one by one. The reshard can no longer be aborted.
    CuttingOver,
    /// A guild was switched in a way that an application may want to know of: the sessions did not meet, or the bot is in one of
    /// its voice channels.
    GuildSwitched {
        /// The guild. None: what has no guild.
        guild: Option<Snowflake>,
        /// How.
        how: Switch,
        /// The bot is in a voice channel of it. The end of the old session may end that connection.
        voice: bool,
    },
    /// The next generation is in charge of everything, and the old sessions are ended.
    Finished {
        /// How many guilds were switched in which way.
        tally: CutoverTally,
    },
    /// The old generation stays in charge, and the new sessions are ended.
    Aborted(AbortReason),
}

/// Why a reshard was aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortReason {
    /// The application has asked for it.
    Requested,
    /// The application ends the cluster.
    Ending,
    /// A shard of the next generation has stopped for good.
    ShardStopped {
        /// The shard.
        shard: ShardId,
        /// Why.
        reason: StopReason,
    },
    /// The process that began it has ended before the cutover.
    Restarted,
    /// The plan could not be written.
    PlanNotKept,
}

impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(event) => event.fmt(f),
            Self::ShardStopped(reason) => write!(f, "stopped: {reason}"),
            Self::AllReady => f.write_str("all shards are ready"),
            Self::Reshard(event) => event.fmt(f),
            Self::ReshardAdvised { shards, cause } => {
                match cause {
                    ReshardCause::ShardingRequired => f.write_str("a shard would have too many guilds"),
                    ReshardCause::Recommendation => f.write_str("another number of shards is recommended"),
                }?;
                shards.map_or(Ok(()), |shards| write!(f, ": {shards}"))
            }
            Self::RollingRestartDone => f.write_str("the rolling restart is done"),
            Self::PlanNotKept => f.write_str("the plan of the cluster cannot be written"),
            Self::SessionNotKept { shard, error } => {
                write!(f, "the session of shard {shard} cannot be kept: {error}")
            }
            Self::ShardNotBuilt { error } => write!(f, "the shard cannot be built: {error}"),
        }
    }
}

impl fmt::Display for ReshardEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparing { from, to } => {
                write!(f, "resharding from {from} to {to}: new sessions are started")
            }
            Self::Overlapping => f.write_str("resharding: all new sessions are up"),
            Self::CuttingOver => f.write_str("resharding: guilds are switched"),
            Self::GuildSwitched { guild, how, voice } => {
                match guild {
                    Some(guild) => write!(f, "resharding: guild {guild} was switched"),
                    None => f.write_str("resharding: what has no guild was switched"),
                }?;
                if let Switch::Unmatched { .. } = how {
                    f.write_str(" without a common event: some events may come twice")?;
                }
                if *voice { f.write_str("; the bot is in a voice channel") } else { Ok(()) }
            }
            Self::Finished { tally } => write!(f, "resharded: {tally}"),
            Self::Aborted(reason) => write!(f, "the reshard was aborted: {reason}"),
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("the application asked for it"),
            Self::Ending => f.write_str("the cluster is ending"),
            Self::ShardStopped { shard, reason } => write!(f, "shard {shard} has stopped: {reason}"),
            Self::Restarted => f.write_str("the process that began it has ended"),
            Self::PlanNotKept => f.write_str("the plan of the cluster cannot be written"),
        }
    }
}
