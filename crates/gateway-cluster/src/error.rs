//! Why a cluster does not do what it is asked to.

use std::fmt;

use gateway_proto::ShardId;

/// "Each shard can only support a maximum of 2500 guilds" (Discord Docs, Gateway > Sharding).
pub(crate) const GUILDS_PER_SHARD: u64 = 2500;

/// Why a cluster does not do what it is asked to. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterError {
    /// A bot has at least one shard.
    NoShards,
    /// A range of shards is empty or goes beyond the shard count.
    Range {
        /// The first shard asked for.
        from: u32,
        /// The shard after the last.
        to: u32,
        /// The shard count.
        total: u32,
    },
    /// So few shards would have too many guilds each.
    TooFewShards {
        /// How many shards were asked for.
        shards: u32,
        /// How many guilds the bot is in.
        guilds: u64,
    },
    /// The bot has as many shards already.
    SameCount,
    /// The bot is being resharded.
    Resharding,
    /// The bot is not being resharded.
    NotResharding,
    /// Guilds are being switched: the reshard can only go on.
    CutoverBegun,
    /// This process has only some of the bot's shards, so it cannot reshard the bot by itself.
    NotWhole,
    /// A rolling restart is going on.
    Rolling,
    /// The cluster is ending, or has ended.
    Ending,
    /// There is no such shard here.
    NoSuchShard(ShardId),
    /// The shard is here already.
    AlreadyHere(ShardId),
    /// A session of another shard count or generation than the cluster's.
    OtherGeneration(ShardId),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShards => f.write_str("a bot has at least one shard"),
            Self::Range { from, to, total } => {
                write!(
                    f,
                    "shards {from}..{to} of {total}: give a range that is not empty and ends at {total} at most"
                )
            }
            Self::TooFewShards { shards, guilds } => write!(
                f,
                "{guilds} guilds need at least {} shards, not {shards}: a shard has at most {GUILDS_PER_SHARD}",
                guilds.div_ceil(GUILDS_PER_SHARD)
            ),
            Self::SameCount => f.write_str("the bot has as many shards already"),
            Self::Resharding => f.write_str("the bot is being resharded: wait for its end, or abort it"),
            Self::NotResharding => f.write_str("the bot is not being resharded"),
            Self::CutoverBegun => {
                f.write_str("guilds are being switched: the reshard can no longer be aborted")
            }
            Self::NotWhole => f.write_str(
                "this process has only some of the bot's shards; reshard from one that has all of them",
            ),
            Self::Rolling => f.write_str("a rolling restart is going on: wait for its end"),
            Self::Ending => f.write_str("the cluster is ending"),
            Self::NoSuchShard(shard) => write!(f, "there is no shard {shard} here"),
            Self::AlreadyHere(shard) => {
                write!(f, "shard {shard} is here already: release it where it was, once")
            }
            Self::OtherGeneration(shard) => {
                write!(
                    f,
                    "the session of shard {shard} is of another shard count or generation than this cluster"
                )
            }
        }
    }
}

impl std::error::Error for ClusterError {}
