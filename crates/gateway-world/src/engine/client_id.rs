//! The name of a client.

use std::fmt;

use gateway_proto::ShardId;

/// Names a client: no two of an engine have the same, also if they are the same shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    number: u64,
    shard: ShardId,
}

impl ClientId {
    pub(crate) fn new(number: u64, shard: ShardId) -> Self {
        Self { number, shard }
    }

    /// Which shard it is.
    pub fn shard(self) -> ShardId {
        self.shard
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "client {} (shard {})", self.number, self.shard)
    }
}
