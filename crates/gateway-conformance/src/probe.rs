//! The queries of an application to its shard.

use gateway_driver::proto::health::{Health, Stats};
use gateway_driver::proto::session::SessionSnapshot;

/// The answers of a shard at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// Its health.
    pub health: Health,
    /// Its counters.
    pub stats: Stats,
    /// Its session.
    pub session: Option<SessionSnapshot>,
}
