//! What the applications of a scenario saw, against what the gateway dispatched.

use std::collections::BTreeMap;
use std::fmt;

use gateway_cluster::{ClusterItem, ShardKey};
use gateway_sim::{EventComparison, Gateway, Server};

/// Session and sequence of each dispatch that an application saw, in this order.
#[derive(Default)]
pub(crate) struct Audit {
    /// The number of each shard's session.
    sessions: BTreeMap<ShardKey, u64>,
    seen: Vec<(u64, u64)>,
}

impl Audit {
    /// The application has seen an item. Only a new session is asked for at the gateway, which knows its number as long as it lives.
    pub(crate) fn see(&mut self, item: &ClusterItem, server: &Server) {
        let (Some(key), Some(dispatch)) = (item.key(), item.dispatch()) else { return };
        if dispatch.name() == "READY"
            && let Some(session) = dispatch.data().get("session_id").and_then(|id| id.decode::<String>().ok())
            && let Some(number) = server.with(|gateway| gateway.session_number(&session))
        {
            self.sessions.insert(key, number);
        }
        if let (Some(session), Some(sequence)) = (self.sessions.get(&key), dispatch.sequence()) {
            self.seen.push((*session, sequence));
        }
    }

    /// The number of the session of a shard, which it had last.
    pub(crate) fn session(&self, key: ShardKey) -> Option<u64> {
        self.sessions.get(&key).copied()
    }

    pub(crate) fn judge(&self, gateway: &Gateway) -> Verdict {
        Verdict(gateway.ledger().compare_events(self.seen.iter().copied()))
    }
}

/// What became of the events of guilds.
pub(crate) struct Verdict(pub(crate) EventComparison);

impl Verdict {
    /// Nothing was lost, and the order within each guild was kept.
    pub(crate) fn check_order(&self) -> Result<(), String> {
        match self.0 {
            EventComparison { lost: 0, disordered: 0, .. } => Ok(()),
            _ => Err(format!("events: {self}")),
        }
    }

    /// Everything was seen once, in order.
    pub(crate) fn check_once(&self) -> Result<(), String> {
        match self.0 {
            EventComparison { lost: 0, disordered: 0, duplicated: 0, .. } => Ok(()),
            _ => Err(format!("events: {self}")),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventComparison { events, lost, duplicated, disordered, .. } = self.0;
        write!(f, "{events} happened, {lost} lost, {duplicated} duplicated, {disordered} disordered")
    }
}
