//! Stores in memory, of which a copy is what a crash leaves behind.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;
use gateway_cluster::{ClusterPlan, PlanStore};
use gateway_driver::proto::ShardId;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::store::SessionStore;

/// Sessions and plan. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Stores(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: Mutex<Kept>,
    saved: Event,
    refuses_plans: AtomicBool,
}

#[derive(Clone, Default)]
struct Kept {
    sessions: BTreeMap<ShardId, SessionSnapshot>,
    plan: Option<ClusterPlan>,
}

impl Stores {
    /// What a process finds that starts after a crash at this moment. What is written here since is not in it.
    pub(crate) fn after_a_crash(&self) -> Self {
        let kept = self.lock().clone();
        Self(Arc::new(Inner { kept: Mutex::new(kept), ..Inner::default() }))
    }

    /// Waits until what is kept is so. It is asked again after each write.
    pub(crate) async fn until(&self, mut look: impl FnMut(&Self) -> bool) {
        loop {
            let saved = self.0.saved.listen();
            if look(self) {
                return;
            }
            saved.await;
        }
    }

    /// Loses the session of a shard.
    pub(crate) fn forget(&self, shard: ShardId) {
        self.lock().sessions.remove(&shard);
    }

    /// The shards with a session.
    pub(crate) fn sessions(&self) -> Vec<ShardId> {
        self.lock().sessions.keys().copied().collect()
    }

    pub(crate) fn session(&self, shard: ShardId) -> Option<SessionSnapshot> {
        self.lock().sessions.get(&shard).cloned()
    }

    pub(crate) fn plan(&self) -> Option<ClusterPlan> {
        self.lock().plan.clone()
    }

    /// Whether plans cannot be written from now on.
    pub(crate) fn refuse_plans(&self, refuses: bool) {
        self.0.refuses_plans.store(refuses, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for Stores {
    fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>> {
        Ok(self.session(shard))
    }

    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()> {
        let mut kept = self.lock();
        match session {
            Some(session) => kept.sessions.insert(shard, session.clone()),
            None => kept.sessions.remove(&shard),
        };
        drop(kept);
        self.0.saved.notify(usize::MAX);
        Ok(())
    }
}

impl PlanStore for Stores {
    fn load(&self) -> io::Result<Option<ClusterPlan>> {
        Ok(self.plan())
    }

    fn save(&self, plan: &ClusterPlan) -> io::Result<()> {
        if self.0.refuses_plans.load(Ordering::SeqCst) {
            return Err(io::Error::other("no space left, as the scenario wants it"));
        }
        self.lock().plan = Some(plan.clone());
        self.0.saved.notify(usize::MAX);
        Ok(())
    }
}
