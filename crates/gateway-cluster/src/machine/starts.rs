//! Which shard starts when.

use super::{ClusterMachine, ClusterOutput, MemberState};
use crate::ShardKey;

/// At least so many shards may be on their way at once.
const FEWEST: usize = 16;

impl ClusterMachine {
    /// Starts shards in the order of their buckets ("shards must be started by rate limit bucket in order": Discord Docs, Gateway >
    /// Max Concurrency), those with a session first: they need no permit.
    ///
    /// A bucket is started once every shard of those before has sent Identify, or was cut off before it could: whichever asks the gate
    /// first is served first. Its connections open while the gate spaces the buckets, so no time is lost. Nor are more shards started
    /// than can come up soon.
    pub(super) fn start_more(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let most = FEWEST.max(2 * self.config.max_concurrency as usize);
        let starting = self.members.values().filter(|member| member.state == MemberState::Starting).count();
        let room = most.saturating_sub(starting);
        if room == 0 {
            return;
        }
        let waiting = || self.members.iter().filter(|(_, member)| member.state == MemberState::Waiting);
        let resuming = waiting().filter(|(_, member)| member.session.is_some());
        let most_concurrent = self.config.max_concurrency.max(1);
        let bucket = |key: &ShardKey| (key.generation, key.shard.id() / most_concurrent);
        let to_identify = self.members.iter().filter(|(_, member)| member.is_to_identify());
        let turn = to_identify.map(|(key, _)| bucket(key)).min();
        let starting =
            waiting().filter(|(key, member)| member.session.is_none() && Some(bucket(key)) == turn);
        let next: Vec<ShardKey> = resuming.chain(starting).map(|(key, _)| *key).take(room).collect();
        for key in next {
            let Some(member) = self.members.get_mut(&key) else { continue };
            member.state = MemberState::Starting;
            let session = member.session.take();
            member.awaits_permit = session.is_none();
            self.out.push_back(ClusterOutput::Start { key, session });
        }
    }
}
