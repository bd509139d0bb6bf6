//! Which part of a bot's guilds a shard serves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Snowflake;

/// The id of a shard and the number of shards (Discord Docs, Gateway > Sharding). Written as `[id, count]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct ShardId {
    id: u32,
    count: u32,
}

impl ShardId {
    /// The only shard of a bot.
    pub const ONE: Self = Self { id: 0, count: 1 };

    /// Shard `id` of `count`.
    ///
    /// # Errors
    ///
    /// Where `id` is not below `count`.
    pub const fn new(id: u32, count: u32) -> Result<Self, ShardIdError> {
        if id < count { Ok(Self { id, count }) } else { Err(ShardIdError { id, count }) }
    }

    /// The shard of `count` that serves a guild: `(guild_id >> 22) % count`. A count of 0 is read as 1.
    pub const fn of_guild(guild: Snowflake, count: u32) -> Self {
        let count = if count == 0 { 1 } else { count };
        Self { id: ((guild.0 >> 22) % count as u64) as u32, count }
    }

    /// The id, from 0.
    pub const fn id(self) -> u32 {
        self.id
    }

    /// The number of shards.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The key by which Identifies are limited: `id % max_concurrency`
    /// (Discord Docs, Gateway > Sharding > Max Concurrency). A `max_concurrency` of 0 is read as 1.
    pub const fn rate_limit_key(self, max_concurrency: u32) -> u32 {
        self.id % if max_concurrency == 0 { 1 } else { max_concurrency }
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.id, self.count)
    }
}

impl FromStr for ShardId {
    type Err = ShardIdError;

    /// Reads `ID,COUNT`.
    fn from_str(text: &str) -> Result<Self, ShardIdError> {
        let malformed = ShardIdError { id: 0, count: 0 };
        let (id, count) = text.split_once(',').ok_or(malformed)?;
        let number = |text: &str| text.trim().parse().map_err(|_| malformed);
        Self::new(number(id)?, number(count)?)
    }
}

impl TryFrom<(u32, u32)> for ShardId {
    type Error = ShardIdError;

    fn try_from((id, count): (u32, u32)) -> Result<Self, ShardIdError> {
        Self::new(id, count)
    }
}

impl From<ShardId> for (u32, u32) {
    fn from(shard: ShardId) -> Self {
        (shard.id, shard.count)
    }
}

/// A shard id that is not below the count, or a text that is not `ID,COUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIdError {
    id: u32,
    count: u32,
}

impl fmt::Display for ShardIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("a shard is `ID,COUNT`: an id from 0 and a count from 1");
        }
        write!(f, "shard id {} must be below the count {}", self.id, self.count)
    }
}

impl std::error::Error for ShardIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table at the end of the documentation's arithmetic, `(guild_id >> 22) % num_shards`.
    #[test]
    fn guilds_are_routed() {
        let table = [
            (81384788765712384, [0, 1, 2, 2]),
            (41771983444115456, [1, 2, 11, 43]),
            (613425648685547541, [0, 2, 8, 56]),
            (308994132968210433, [1, 2, 5, 53]),
        ];
        for (guild, ids) in table {
            for (count, id) in [2, 3, 16, 64].into_iter().zip(ids) {
                assert_eq!(ShardId::of_guild(Snowflake(guild), count).id(), id, "{guild} % {count}");
            }
        }
        assert_eq!(ShardId::of_guild(Snowflake(41771983444115456), 0), ShardId::ONE);
    }

    #[test]
    fn ids_are_checked() {
        assert_eq!("3,8".parse(), ShardId::new(3, 8));
        for bad in ["", "1", "1,1", "0,0", "-1,2", "1,2,3", "a,b"] {
            assert!(bad.parse::<ShardId>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ShardId>("[2,2]").is_err());
        assert_eq!(serde_json::to_string(&ShardId::new(70_000, 70_001).unwrap()).unwrap(), "[70000,70001]");
    }

    #[test]
    fn max_concurrency_zero_is_one() {
        let shard = ShardId::new(17, 32).unwrap();
        assert_eq!([0, 1, 16].map(|max| shard.rate_limit_key(max)), [0, 0, 1]);
    }
}
