//! How many shards a bot has, and which of them are this process's.

use std::ops::Range;

/// How many shards a bot has, and which of them are this process's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ShardCount {
    /// All of them. As many as Discord recommends (`GET /gateway/bot`), or, where a process before has kept another number,
    /// as many as it had: [`ReshardAdvised`](crate::ClusterEvent::ReshardAdvised) then tells what is recommended.
    #[default]
    Recommended,
    /// All of so many. Sessions that were kept for another number are left alone.
    Exactly(u32),
    /// These of so many. The other processes need the same gate (see [`ClusterBuilder::gate`](super::ClusterBuilder::gate)).
    Range {
        /// The shard ids of this process.
        shards: Range<u32>,
        /// The number of shards of the bot.
        total: u32,
    },
}
