//! Sets of sessions that serve the same bot.

use std::fmt;

use gateway_proto::ShardId;
use serde::{Deserialize, Serialize};

/// A set of sessions with one shard count. The first is 1; each reshard makes the next.
///
/// While a bot is resharded, two generations are connected at once, and one of them is in charge of each guild. Exhaustive: a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of a bot that was never resharded.
    pub const FIRST: Self = Self(1);

    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard of a generation. Exhaustive: nothing more is needed to name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardKey {
    /// The generation.
    pub generation: Generation,
    /// The shard.
    pub shard: ShardId,
}

/// `3,16` of the first generation, `3,16 (generation 2)` of a later one.
impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shard.fmt(f)?;
        if self.generation != Generation::FIRST {
            write!(f, " (generation {})", self.generation)?;
        }
        Ok(())
    }
}
