//! Which shard starts when.

use super::{ClusterMachine, ClusterOutput, MemberState};
use crate::ShardKey;

/// At least so many shards may be on their way at once.
const FEWEST: usize = 16;

impl ClusterMachine {
    /// Starts shards in the order of their buckets ("shards must be started by rate limit bucket in order": Discord Docs, Gateway >
    /// Max Concurrency), those with a session first: they need no permit.
    ///
    /// No more are started than the gate can serve soon, so that a thousand shards do not open a thousand connections only to wait.
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
        let starting = waiting().filter(|(_, member)| member.session.is_none());
        let next: Vec<ShardKey> = resuming.chain(starting).map(|(key, _)| *key).take(room).collect();
        for key in next {
            let Some(member) = self.members.get_mut(&key) else { continue };
            member.state = MemberState::Starting;
            let session = member.session.take();
            self.out.push_back(ClusterOutput::Start { key, session });
        }
    }
}
