//! A shard on its way to another process.

use std::fmt;

use gateway_proto::ShardId;
use gateway_proto::session::SessionSnapshot;
use serde::{Deserialize, Serialize};

use crate::Generation;

/// A shard that was released, for the process that adopts it. Serializable; as secret as the token.
///
/// Its session lives for a few minutes only: the server gives it up if it is not resumed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Handover {
    /// The shard.
    pub shard: ShardId,
    /// Its generation.
    pub generation: Generation,
    /// Its session. None: it had none; the adopting process starts one.
    pub session: Option<SessionSnapshot>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("shard", &self.shard)
            .field("generation", &self.generation)
            .field("has_session", &self.session.is_some())
            .finish()
    }
}
