//! What an application can ask its shard.

use gateway_driver::proto::health::{Health, Stats};
use gateway_driver::proto::session::SessionSnapshot;

/// The answers of a shard at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// How it is doing.
    pub health: Health,
    /// What it has done.
    pub stats: Stats,
    /// Its session.
    pub session: Option<SessionSnapshot>,
}
