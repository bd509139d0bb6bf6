//! Finds the sessions of a guild without a scan of all sessions.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::shard_of;

/// Sessions by shard count, then by shard id.
#[derive(Debug, Default)]
pub(crate) struct Routes(BTreeMap<u32, BTreeMap<u32, BTreeSet<u64>>>);

impl Routes {
    pub(crate) fn add(&mut self, shard: (u32, u32), session: u64) {
        self.0.entry(shard.1).or_default().entry(shard.0).or_default().insert(session);
    }

    pub(crate) fn remove(&mut self, shard: (u32, u32), session: u64) {
        let Some(shards) = self.0.get_mut(&shard.1) else {
            return;
        };
        if let Some(sessions) = shards.get_mut(&shard.0) {
            sessions.remove(&session);
            if sessions.is_empty() {
                shards.remove(&shard.0);
            }
        }
        if shards.is_empty() {
            self.0.remove(&shard.1);
        }
    }

    /// The sessions of a guild for each shard count in use. During a reshard there are two counts.
    pub(crate) fn of_guild(&self, guild_id: u64) -> Vec<u64> {
        self.0
            .iter()
            .filter_map(|(count, shards)| shards.get(&shard_of(guild_id, *count)))
            .flatten()
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::guild_id;

    #[test]
    fn each_count_gets_the_event_once() {
        let mut routes = Routes::default();
        for id in 0..2 {
            routes.add((id, 2), u64::from(id));
        }
        for id in 0..3 {
            routes.add((id, 3), u64::from(id) + 10);
        }
        for guild in 0..6 {
            let sessions = routes.of_guild(guild_id(guild));
            assert_eq!(sessions.len(), 2, "{sessions:?}");
        }
        routes.remove((0, 2), 0);
        routes.remove((1, 2), 1);
        assert_eq!(routes.of_guild(guild_id(0)).len(), 1);
    }
}
