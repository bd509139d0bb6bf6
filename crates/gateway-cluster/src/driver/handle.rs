//! What can be asked of a cluster from any task or thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_driver::BuildError;
use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::command::RequestGuildMembers;
use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::identify::TooFewStarts;
use gateway_driver::proto::{Dispatch, ShardId, Shutdown, Snowflake};

use super::health::{ClusterHealth, ShardHealth};
use super::hub::{Core, Hub};
use super::members::{MembersError, Ticket};
use super::senders::ClusterSender;
use super::shard_count::ShardCount;
use crate::time::later;
use crate::{ClusterError, ClusterPlan, Generation, Handover, ShardKey};

/// Asks a cluster for things, from any task or thread. Clones ask the same cluster.
///
/// It keeps no cluster alive: that is what a [`Cluster`](super::Cluster) or its lanes do.
#[derive(Clone)]
pub struct ClusterHandle {
    pub(crate) hub: Arc<Hub>,
}

/// Why a cluster does not do what it is asked to. Nothing has changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// It is not possible, or not now.
    Cluster(ClusterError),
    /// Fewer session starts are left today than shards are to start.
    TooFewStarts(TooFewStarts),
    /// So many shards, the old and the new ones together, could spend more in a day than the budget of session starts leaves them.
    Budget(ConfigError),
    /// A new shard cannot be built.
    Build(BuildError),
    /// `GET /gateway/bot` has no answer.
    GatewayBot(GatewayBotError),
}

impl ClusterHandle {
    /// Sends commands to whichever shard is in charge of a guild.
    pub fn sender_for(&self, guild: Snowflake) -> ClusterSender {
        ClusterSender::to_guild(self.hub.clone(), guild)
    }

    /// Sends commands to the shard with this id, of whichever generation is in charge.
    pub fn sender(&self, shard_id: u32) -> ClusterSender {
        ClusterSender::to_shard(self.hub.clone(), shard_id)
    }

    /// The shard count of the generation in charge.
    pub fn shards(&self) -> u32 {
        self.hub.lock().machine.shards()
    }

    /// The generation in charge.
    pub fn generation(&self) -> Generation {
        self.hub.lock().machine.generation()
    }

    /// Which generation and shard count the bot is at, and how far a reshard has come.
    pub fn plan(&self) -> ClusterPlan {
        self.hub.lock().machine.plan()
    }

    /// Which shard is in charge of a guild.
    pub fn shard_of(&self, guild: Snowflake) -> ShardKey {
        self.hub.lock().machine.shard_of(guild)
    }

    /// Waits until every shard was ready once, or has stopped for good. Returns false if the cluster has ended before.
    ///
    /// Take events meanwhile: a shard whose events are not taken is not read, so one that resumes with a long replay would not get ready.
    pub async fn ready(&self) -> bool {
        self.wait(|core| core.was_ready.then_some(())).await.is_some()
    }

    /// Whether every shard was ready once, or has stopped for good.
    pub fn is_ready(&self) -> bool {
        self.hub.lock().was_ready
    }

    /// How all shards are doing.
    pub fn health(&self) -> ClusterHealth {
        let core = self.hub.lock();
        let shards = core.machine.members().map(|key| {
            let slot = core.slots.get(&key);
            ShardHealth {
                key,
                health: slot.map(|slot| slot.sender.health()),
                items: slot.map_or(0, |slot| slot.items()),
                unacknowledged: slot.map_or(0, |slot| slot.unacknowledged()),
                oldest_unacknowledged: slot.and_then(|slot| slot.oldest()),
            }
        });
        ClusterHealth { shards: shards.collect(), at: self.hub.host.now() }
    }

    /// How many sessions may still be started today, the reserve included. `None`: the gate does not know.
    pub fn budget(&self) -> Option<u32> {
        self.hub.gate.remaining()
    }

    /// Requests members of a guild and waits for all chunks of the answer, in their order: all members with the guild's id alone, some with
    /// a [`RequestGuildMembers`], whose nonce is replaced by a unique one.
    ///
    /// The request goes to the shard of the guild, and is repeated where its answer was lost: after a new session, a reshard, or
    /// `RATE_LIMITED`. The chunks are delivered as events too. Dropping the future cancels the request.
    ///
    /// # Errors
    ///
    /// If the request can never be sent, was not answered within three minutes, or the cluster has ended.
    pub async fn members(
        &self,
        request: impl Into<RequestGuildMembers>,
    ) -> Result<Vec<Dispatch>, MembersError> {
        Ticket::new(request.into(), &self.hub).answer().await
    }

    /// Restarts a shard: one that runs resumes its session on a new connection, one that has stopped for good starts again.
    ///
    /// # Errors
    ///
    /// If there is no such shard, or the cluster is ending.
    pub fn restart(&self, shard: ShardId) -> Result<(), RequestError> {
        Ok(self.hub.tell(|core, _| core.machine.restart(shard))?)
    }

    /// Restarts all shards that run, one bucket after the other, each by Resume: no session is started.
    /// [`ClusterEvent::RollingRestartDone`](crate::ClusterEvent::RollingRestartDone) tells the end.
    ///
    /// # Errors
    ///
    /// If the bot is being resharded or restarted, or the cluster is ending.
    pub fn rolling_restart(&self) -> Result<(), RequestError> {
        Ok(self.hub.tell(|core, _| core.machine.rolling_restart())?)
    }

    /// Moves the bot to another number of shards, without an event lost: [`ReshardEvent`](crate::ReshardEvent)s tell how it goes on.
    ///
    /// With [`ShardCount::Recommended`] Discord is asked first. The new sessions are started under the same gate, and all of them
    /// have to fit into today's budget. It waits until the sessions of the reshard before have ended.
    ///
    /// # Errors
    ///
    /// If the bot cannot be resharded so, or not now; if too few session starts are left; or if Discord does not answer.
    pub async fn reshard(&self, count: ShardCount) -> Result<(), RequestError> {
        let count = match count {
            ShardCount::Exactly(count) => count,
            ShardCount::Range { .. } => return Err(ClusterError::NotWhole.into()),
            ShardCount::Recommended => {
                let bot = self.hub.host.ask().await.map_err(RequestError::GatewayBot)?;
                self.hub.host.update(&bot);
                bot.shards
            }
        };
        // If the cluster ends before, that is the answer.
        self.wait(|core| (!core.machine.ends_sessions()).then_some(())).await;
        let host = &self.hub.host;
        let unstarted = {
            let core = self.hub.lock();
            core.machine.check_reshard(count)?;
            u32::try_from(core.machine.unstarted()).unwrap_or(u32::MAX)
        };
        host.check(&mut (0..count).filter_map(|id| ShardId::new(id, count).ok()))
            .map_err(RequestError::Build)?;
        self.hub.gate.check(count.saturating_add(unstarted)).map_err(RequestError::TooFewStarts)?;
        self.hub.tell(|core, now| {
            core.machine.check_reshard(count)?;
            let together = core.machine.shards().saturating_add(count);
            host.check_shards(together).map_err(RequestError::Budget)?;
            Ok(core.machine.reshard(count, now)?)
        })
    }

    /// Aborts a reshard: the old generation stays in charge, and the new sessions are ended.
    ///
    /// # Errors
    ///
    /// If there is none, or guilds are being switched already.
    pub fn abort_reshard(&self) -> Result<(), RequestError> {
        Ok(self.hub.tell(|core, _| core.machine.abort_reshard())?)
    }

    /// Ends a shard here and returns its session, for [`adopt`](Self::adopt) in another process.
    ///
    /// If the future is dropped, the shard is released all the same: another call returns it. A later process with the same stores has
    /// to leave the shard out by itself ([`ShardCount::Range`]).
    ///
    /// # Errors
    ///
    /// If there is no such shard, the bot is being resharded, or the cluster is ending.
    pub async fn release(&self, shard: ShardId) -> Result<Handover, RequestError> {
        let key = self.hub.tell(|core, _| {
            let key = core.machine.key(shard)?;
            if !core.released.contains_key(&key) && !core.machine.is_leaving(key) {
                core.machine.release(shard)?;
            }
            Ok::<_, ClusterError>(key)
        })?;
        let gone = |core: &Core| !core.machine.has(key) && !core.machine.is_leaving(key);
        let released = self.wait(|core| {
            let handover = core.released.remove(&key);
            if handover.is_none() && gone(core) {
                return Some(Err(ClusterError::NoSuchShard(shard)));
            }
            handover.map(Ok)
        });
        let handover = released.await.unwrap_or(Err(ClusterError::Ending))?;
        if let Some(keeper) = &self.hub.keeper {
            // Another process resumes it from here on.
            keeper.keep(shard, None);
        }
        Ok(handover)
    }

    /// Goes on with a shard that another process has released.
    ///
    /// # Errors
    ///
    /// If the shard is here already, or is of another shard count or generation.
    pub fn adopt(&self, handover: Handover) -> Result<(), RequestError> {
        Ok(self.hub.tell(|core, _| core.machine.adopt(handover))?)
    }

    /// Ends the cluster without losing what was received: nothing more is read, and once the application has dropped and acknowledged
    /// every item, or after this time, the shards close resumably, and their sessions are kept. Take events until they end.
    pub fn drain(&self, patience: Duration) {
        self.hub.tell(|core, now| core.machine.drain(later(now, patience)));
    }

    /// Shuts all shards down. The events end once all have stopped, and their sessions are kept if they can be resumed.
    pub fn shutdown(&self, how: Shutdown) {
        self.hub.tell(|core, _| core.machine.shutdown(how));
    }

    /// Waits until all shards have stopped, and their sessions are kept.
    pub async fn ended(&self) {
        self.wait(|_| None::<()>).await;
    }

    /// Waits for something. `None`: the cluster has ended before.
    async fn wait<T>(&self, mut look: impl FnMut(&mut Core) -> Option<T>) -> Option<T> {
        loop {
            let changed = self.hub.changed.listen();
            {
                let mut core = self.hub.lock();
                if let Some(found) = look(&mut core) {
                    return Some(found);
                }
                if core.ended || self.hub.is_abandoned() {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl fmt::Debug for ClusterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.hub.lock();
        f.debug_struct("ClusterHandle")
            .field("shards", &core.machine.shards())
            .field("generation", &core.machine.generation())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(error) => error.fmt(f),
            Self::TooFewStarts(error) => error.fmt(f),
            Self::Budget(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::GatewayBot(error) => error.fmt(f),
        }
    }
}

/// Its text is that of the error within, so it has no `source`.
impl std::error::Error for RequestError {}

impl From<ClusterError> for RequestError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}
