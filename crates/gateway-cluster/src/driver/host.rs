//! What a cluster takes from its runtime: the time, shards on tasks of their own, and `GET /gateway/bot`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::config::{ConfigError, Delivery};
use gateway_driver::proto::identify::GatewayBot;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ShardConfig, ShardId};
use gateway_driver::{BuildError, DriverConfig, Runtime, Shard, Spawn};

use super::hub::Hub;
use super::limits::ClusterLimits;
use super::sink::Sink;
use super::slot::Slot;
use crate::ShardKey;

/// An answer that is waited for.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<GatewayBot, GatewayBotError>> + Send>>;
/// Drives a shard.
pub(crate) type ShardTask = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Asks for the recommendation.
pub(crate) type Ask = Arc<dyn Fn() -> Asking + Send + Sync>;
/// Changes the configuration of a shard.
pub(crate) type Configure = Arc<dyn Fn(ShardId, &mut ShardConfig) + Send + Sync>;

/// The runtime, without its type.
pub(crate) trait Host: Send + Sync {
    fn now(&self) -> Instant;

    /// Builds a shard and the task that drives it.
    fn build(
        &self,
        hub: &Arc<Hub>,
        key: ShardKey,
        session: Option<SessionSnapshot>,
    ) -> Result<(Arc<Slot>, ShardTask), BuildError>;

    /// Runs a task in the background.
    fn spawn(&self, task: ShardTask);

    /// Whether the shards of so many could be started, as far as their configuration tells.
    fn check(&self, shards: &mut dyn Iterator<Item = ShardId>) -> Result<(), BuildError>;

    /// Asks for the recommended number of shards.
    fn ask(&self) -> Asking;

    /// The budget of session starts is for so many shards from now on.
    fn set_shards(&self, shards: u32);

    /// As [`set_shards`](Self::set_shards), for a reshard.
    fn check_shards(&self, shards: u32) -> Result<(), ConfigError>;

    /// The limits of session starts, as they were just answered.
    fn update(&self, bot: &GatewayBot);
}

pub(crate) struct RuntimeHost<R> {
    pub(crate) runtime: R,
    pub(crate) spawner: Arc<dyn Spawn>,
    pub(crate) config: ShardConfig,
    pub(crate) driver: DriverConfig,
    pub(crate) configure: Option<Configure>,
    pub(crate) limits: ClusterLimits,
    pub(crate) ask: Ask,
    /// The cluster's own gate. None: the application has its own.
    pub(crate) gate: Option<Arc<LocalIdentifyGate<R>>>,
}

impl<R: Runtime> RuntimeHost<R> {
    fn shard(
        &self,
        id: ShardId,
        session: Option<SessionSnapshot>,
    ) -> Result<(Shard<R>, Delivery), BuildError> {
        let mut config = self.config.clone();
        if let Some(configure) = &self.configure {
            configure(id, &mut config);
        }
        (config.shard, config.session) = (id, session);
        let delivery = config.delivery;
        Ok((Shard::with(self.runtime.clone(), config, self.driver.clone())?, delivery))
    }
}

impl<R: Runtime> Host for RuntimeHost<R> {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn build(
        &self,
        hub: &Arc<Hub>,
        key: ShardKey,
        session: Option<SessionSnapshot>,
    ) -> Result<(Arc<Slot>, ShardTask), BuildError> {
        let (shard, delivery) = self.shard(key.shard, session)?;
        let acknowledges = delivery == Delivery::Acknowledged;
        let slot = Slot::new(key, shard.sender(), self.limits, acknowledges, hub.signals.clone());
        let task = shard.background_into(Sink::new(hub.clone(), slot.clone()));
        let task = Box::pin(async move {
            task.await;
        });
        Ok((slot, task))
    }

    fn spawn(&self, task: ShardTask) {
        self.spawner.spawn(task);
    }

    fn check(&self, shards: &mut dyn Iterator<Item = ShardId>) -> Result<(), BuildError> {
        // Nothing is opened before a shard is polled.
        for id in shards {
            self.shard(id, None)?;
        }
        Ok(())
    }

    fn ask(&self) -> Asking {
        (self.ask)()
    }

    fn set_shards(&self, shards: u32) {
        if let Some(gate) = &self.gate {
            // Fewer shards than the budget allowed together.
            let _ = gate.set_shards(shards);
        }
    }

    fn check_shards(&self, shards: u32) -> Result<(), ConfigError> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate.set_shards(shards))
    }

    fn update(&self, bot: &GatewayBot) {
        if let Some(gate) = &self.gate {
            // A limit that the shards exceed: the gate keeps the one before, and refuses what is too much.
            let _ = gate.update(&bot.session_start_limit);
        }
    }
}
