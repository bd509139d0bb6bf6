//! Handles that lead to a shard wherever it is.

use std::fmt;
use std::sync::Arc;

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::{Command, Snowflake};

use super::hub::Hub;
use super::slot::Slot;
use crate::ShardKey;

/// Sends commands to the shard of a guild, or to the shard with an id. Valid through restarts and reshards: each command goes to the
/// shard that is in charge when it is sent.
#[derive(Clone)]
pub struct ClusterSender {
    hub: Arc<Hub>,
    to: To,
}

#[derive(Debug, Clone, Copy)]
enum To {
    Guild(Snowflake),
    Shard(u32),
}

impl ClusterSender {
    pub(crate) fn to_guild(hub: Arc<Hub>, guild: Snowflake) -> Self {
        Self { hub, to: To::Guild(guild) }
    }

    pub(crate) fn to_shard(hub: Arc<Hub>, id: u32) -> Self {
        Self { hub, to: To::Shard(id) }
    }

    /// Sends a command, as soon as the session of the shard and its rate limit allow it.
    ///
    /// # Errors
    ///
    /// If the command can never be sent, or too many wait already. [`SendError::Stopped`]: the shard is not started yet, has stopped for
    /// good, or is not in this process; [`shard`](Self::shard) names it. Nothing has changed then.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.slot().ok_or(SendError::Stopped)?.sender.send(command)
    }

    /// The shard that commands go to now. `None`: it does not run here.
    pub fn shard(&self) -> Option<ShardKey> {
        Some(self.slot()?.key)
    }

    fn slot(&self) -> Option<Arc<Slot>> {
        let core = self.hub.lock();
        let key = match self.to {
            To::Guild(guild) => core.machine.shard_of(guild),
            To::Shard(id) => core.machine.key_of(id)?,
        };
        core.slots.get(&key).filter(|_| core.machine.stop_reason(key).is_none()).cloned()
    }
}

impl fmt::Debug for ClusterSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSender").field("to", &self.to).finish_non_exhaustive()
    }
}
