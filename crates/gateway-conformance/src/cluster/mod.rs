//! Scenarios of clusters: all shards of a bot in one value, on any runtime, against a simulated gateway.
//!
//! A scenario is an async function that is given a [`Stage`], so it is compiled once for all runtimes.

mod any_runtime;
mod audit;
mod bot;
mod folder;
mod gate;
mod stage;
mod stores;
mod table;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_driver::proto::config::Timeouts;
use gateway_driver::{Runtime, Spawn};
use gateway_sim::Config;

pub use table::cluster_table;

use crate::live::BlockOn;
use crate::observation::TraceLine;
use crate::runner::{Failure, Progress};
use crate::scenario::{JSON, Variant};
use stage::{Setup, Stage};

/// A scenario that runs. It borrows nothing.
type Playing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A scenario of clusters: its name, the rule that it comes from, and what is done and must be seen.
///
/// [`cluster_table`] has all of them.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClusterScenario {
    /// The name: lower-case words joined by hyphens.
    pub name: &'static str,
    /// The sentence of the documentation, or the issue, that it comes from.
    pub rule: &'static str,
    variant: Variant,
    tls: bool,
    gateway: fn(&mut Config),
    play: fn(Stage) -> Playing,
}

impl ClusterScenario {
    fn new(name: &'static str, rule: &'static str, play: fn(Stage) -> Playing) -> Self {
        Self { name, rule, variant: JSON[0], tls: false, gateway: |_| {}, play }
    }

    /// Changes the gateway.
    fn gateway(self, gateway: fn(&mut Config)) -> Self {
        Self { gateway, ..self }
    }

    /// In this encoding and compression, in place of JSON alone.
    fn variant(self, variant: Variant) -> Self {
        Self { variant, ..self }
    }

    /// Over TLS.
    fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// The encoding and compression.
    pub(crate) fn in_variant(&self) -> Variant {
        self.variant
    }
}

impl fmt::Debug for ClusterScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterScenario").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where scenarios of clusters run.
pub(crate) struct Ground<R> {
    pub(crate) runtime: R,
    pub(crate) spawner: Arc<dyn Spawn>,
    pub(crate) block_on: BlockOn,
    pub(crate) timeouts: Timeouts,
    pub(crate) patience: Duration,
}

impl<R: Runtime> Ground<R> {
    /// Runs a scenario to its end.
    pub(crate) fn play(
        &self,
        scenario: &ClusterScenario,
        progress: &Progress,
    ) -> (Result<(), Failure>, Vec<TraceLine>) {
        let setup = Setup {
            runtime: self.runtime.clone(),
            spawner: self.spawner.clone(),
            timeouts: self.timeouts.clone(),
            variant: scenario.variant,
            patience: self.patience,
            tls: scenario.tls,
            gateway: scenario.gateway,
        };
        let failed = |sentence| Failure { sentence, step: progress.step() };
        let stage = match Stage::new(setup, progress.clone()) {
            Ok(stage) => stage,
            Err(sentence) => return (Err(failed(sentence)), Vec::new()),
        };
        let trace = stage.trace();
        let result = Arc::new(Mutex::new(Err("it panicked, or its runtime gave it up".to_owned())));
        let (playing, ended) = ((scenario.play)(stage), result.clone());
        (self.block_on)(Box::pin(async move { *stage::lock(&ended) = playing.await }));
        let result = stage::lock(&result).clone().map_err(failed);
        (result, trace.lines())
    }
}
