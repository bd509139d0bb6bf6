//! How far a shard has come.

use std::collections::BTreeSet;
use std::time::Instant;

use gateway_proto::Snowflake;

/// What is known of a shard of either generation.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Its session has begun, or is about to: what it receives from here on can be compared.
    pub(crate) began: bool,
    /// Everything that the server sent before this moment was received.
    pub(crate) proven: Option<Instant>,
    /// READY has come, so it is known which guilds it serves.
    pub(crate) ready: bool,
    /// When a heartbeat was last asked for.
    pub(crate) asked_at: Option<Instant>,
    /// When it stopped for good. None: it has not, or has started again.
    pub(crate) gone_at: Option<Instant>,
    /// Guilds that READY named and whose GUILD_CREATE has not come.
    pub(crate) awaited: BTreeSet<Snowflake>,
}

impl Progress {
    pub(crate) fn has_received_all_before(&self, moment: Instant) -> bool {
        self.gone_at.is_some() || self.proven.is_some_and(|proven| proven > moment)
    }
}
