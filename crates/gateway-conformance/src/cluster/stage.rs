//! What a scenario of clusters has: a simulated gateway, a runtime, and stores that outlive the clusters.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use event_listener::{Event as Signal, EventListener};
use gateway_cluster::{
    Cluster, ClusterBuilder, ClusterConfig, ClusterEvent, ClusterItem, ShardCount, StartError,
};
use gateway_driver::proto::config::{Delivery, Timeouts};
use gateway_driver::proto::{Event, Intents, ShardConfig};
use gateway_driver::store::Checkpoints;
use gateway_driver::tls::{Roots, TlsSettings};
use gateway_driver::{DriverConfig, Runtime, Spawn, gateway_bot};
use gateway_sim::{Config, Control, Gateway, Server, ServerConfig, Target, Tls};
use serde_json::{Value, json};

use super::any_runtime::AnyRuntime;
use super::audit::{Audit, Verdict};
use super::bot::Bot;
use super::stores::Stores;
use crate::live::{Clock, Faulty, Routes, SPEED};
use crate::observation::{ClientAct, TraceLine, Wire};
use crate::runner::Progress;
use crate::scenario::{TOKEN, Variant};

/// Clones are the same stage.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Inner>);

struct Inner {
    server: Server,
    clock: Clock,
    runtime: AnyRuntime,
    /// The same with the wall's clock.
    unhurried: AnyRuntime,
    spawner: Arc<dyn Spawn>,
    timeouts: Timeouts,
    variant: Variant,
    patience: Duration,
    notes: Arc<Mutex<Notes>>,
    audit: Mutex<Audit>,
    /// An application has seen something.
    heard: Signal,
    progress: Progress,
}

/// What was seen.
#[derive(Default)]
struct Notes {
    /// What clients did.
    acts: Vec<Act>,
    lines: Vec<TraceLine>,
}

/// Something that a client did.
#[derive(Clone)]
pub(crate) struct Act {
    /// The number of the session that it was done on.
    pub(crate) session: Option<u64>,
    pub(crate) what: ClientAct,
}

/// An Identify.
#[derive(Clone)]
pub(crate) struct Identify {
    /// Shard id and shard count.
    pub(crate) shard: (u64, u64),
    pub(crate) data: Value,
}

/// The trace of a scenario, which outlives its stage.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Notes>>);

impl Trace {
    pub(crate) fn lines(&self) -> Vec<TraceLine> {
        lock(&self.0).lines.clone()
    }
}

/// What a stage is made of.
pub(crate) struct Setup<R> {
    pub(crate) runtime: R,
    pub(crate) spawner: Arc<dyn Spawn>,
    pub(crate) timeouts: Timeouts,
    pub(crate) variant: Variant,
    pub(crate) patience: Duration,
    pub(crate) tls: bool,
    pub(crate) gateway: fn(&mut Config),
}

impl Stage {
    pub(crate) fn new<R: Runtime>(setup: Setup<R>, progress: Progress) -> Result<Self, String> {
        let clock = Clock::start(SPEED);
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let mut config = ServerConfig::default();
        config.speed = SPEED;
        config.tls = setup.tls.then(Tls::default);
        if setup.tls {
            config.host = Some("localhost".to_owned());
        }
        config.gateway = gateway(setup.gateway);
        let mut wire = Wire::new(clock.started(), setup.variant.encoding);
        let observed = notes.clone();
        config.observer = Some(Box::new(move |record| {
            let (act, line) = wire.read(record);
            let mut notes = lock(&observed);
            notes.acts.extend(act.map(|act| Act { session: record.session, what: act.what }));
            notes.lines.push(line);
        }));
        let server = Server::start(config).map_err(|error| format!("no simulated gateway: {error}"))?;
        let unhurried = AnyRuntime::new(setup.runtime.clone());
        let runtime = Faulty::new(setup.runtime, clock, Arc::new(Routes::new(true)));
        Ok(Self(Arc::new(Inner {
            server,
            clock,
            runtime: AnyRuntime::new(runtime),
            unhurried,
            spawner: setup.spawner,
            timeouts: setup.timeouts,
            variant: setup.variant,
            patience: setup.patience,
            notes,
            audit: Mutex::default(),
            heard: Signal::new(),
            progress,
        })))
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace(self.0.notes.clone())
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, text: impl Display) {
        let at = self.0.clock.at_wall(Instant::now()).saturating_duration_since(self.0.clock.started());
        lock(&self.0.notes).lines.push(TraceLine { at, text: format!("   = {text}") });
    }

    // ---- Clusters --------------------------------------------------------------------------------------------------------

    pub(crate) fn runtime(&self) -> AnyRuntime {
        self.0.runtime.clone()
    }

    /// The configuration of every shard.
    pub(crate) fn config(&self) -> ShardConfig {
        let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
        config.encoding = self.0.variant.encoding;
        config.compression = self.0.variant.compression;
        config.timeouts = self.0.timeouts.clone();
        config.delivery = Delivery::Acknowledged;
        config
    }

    /// Trust in the certificate of the gateway, if it has one.
    fn driver(&self) -> Result<DriverConfig, String> {
        let mut driver = DriverConfig::default();
        if let Some(root) = self.0.server.root_certificate() {
            let mut settings = TlsSettings::default();
            settings.roots = Roots::ExtraOnly;
            settings.add_pem_roots(root.as_bytes()).map_err(|error| error.to_string())?;
            driver.tls = Some(settings.client_config().map_err(|error| error.to_string())?);
        }
        Ok(driver)
    }

    /// A cluster of so many shards with these stores.
    pub(crate) fn builder(
        &self,
        shards: ShardCount,
        stores: &Stores,
    ) -> Result<ClusterBuilder<AnyRuntime>, String> {
        self.builder_with(self.config(), shards, stores)
    }

    /// As [`builder`](Self::builder), with another configuration of every shard.
    pub(crate) fn builder_with(
        &self,
        config: ShardConfig,
        shards: ShardCount,
        stores: &Stores,
    ) -> Result<ClusterBuilder<AnyRuntime>, String> {
        let (runtime, driver) = (self.0.unhurried.clone(), self.driver()?);
        let (url, token) = (self.0.server.http_url(), config.token.clone());
        let builder = self.builder_without_stores(config, shards)?;
        // The answer has a timeout that no configuration makes longer, and a busy machine needs longer.
        let builder = builder.ask_with(move || {
            let (runtime, driver, url, token) = (runtime.clone(), driver.clone(), url.clone(), token.clone());
            async move { gateway_bot(&runtime, &driver, &url, &token).await }
        });
        Ok(builder.session_store(stores.clone()).plan_store(stores.clone()))
    }

    /// A cluster that keeps nothing, and asks the API itself.
    pub(crate) fn builder_without_stores(
        &self,
        config: ShardConfig,
        shards: ShardCount,
    ) -> Result<ClusterBuilder<AnyRuntime>, String> {
        let spawner = self.0.spawner.clone();
        let mut cluster = ClusterConfig::default();
        // On a busy machine sessions meet late.
        cluster.overlap *= SPEED;
        let mut checkpoints = Checkpoints::default();
        // What is acknowledged is kept, so that a crash leaves the same everywhere.
        checkpoints.dispatches = 1;
        Ok(ClusterBuilder::new(self.runtime(), move |task| spawner.spawn(task), config)
            .shards(shards)
            .driver(self.driver()?)
            .checkpoints(checkpoints)
            .cluster_config(cluster)
            .api_url(self.0.server.http_url())
            .ask_every(None))
    }

    /// Starts a cluster.
    pub(crate) async fn start(&self, builder: ClusterBuilder<AnyRuntime>) -> Result<Bot, String> {
        let started = self.within("the start of a cluster", builder.start()).await?;
        started
            .map(|cluster| self.bot(cluster))
            .map_err(|error| format!("the cluster does not start: {error}"))
    }

    /// A cluster of so many shards, all ready.
    pub(crate) async fn start_ready(&self, shards: u32, stores: &Stores) -> Result<Bot, String> {
        let mut bot = self.start(self.builder(ShardCount::Exactly(shards), stores)?).await?;
        bot.all_ready().await?;
        Ok(bot)
    }

    /// The error of a start that fails.
    pub(crate) async fn start_in_vain(
        &self,
        builder: ClusterBuilder<AnyRuntime>,
    ) -> Result<StartError, String> {
        match self.within("the refusal of a start", builder.start()).await? {
            Ok(_) => Err("the cluster starts".to_owned()),
            Err(error) => {
                self.note(&error);
                Ok(error)
            }
        }
    }

    pub(crate) fn bot(&self, cluster: Cluster<AnyRuntime>) -> Bot {
        Bot { cluster, stage: self.clone() }
    }

    // ---- The gateway -----------------------------------------------------------------------------------------------------

    pub(crate) fn server(&self) -> &Server {
        &self.0.server
    }

    pub(crate) fn control(&self, control: Control) -> Result<(), String> {
        self.control_on(Target::All, control)
    }

    pub(crate) fn control_on(&self, target: Target, control: Control) -> Result<(), String> {
        self.note(format_args!("{target:?}: {control:?}"));
        self.0.server.control_on(target, control).map(drop).map_err(|error| error.to_string())
    }

    /// One message in each of these guilds, the same in all sessions that serve it.
    pub(crate) fn message_in(&self, guilds: impl IntoIterator<Item = u32>) -> Result<(), String> {
        guilds.into_iter().try_for_each(|guild| {
            let target = Target::Guild(gateway_sim::guild_id(guild));
            self.control_on(target, Control::Emit { count: 1, padding: 0 })
        })
    }

    /// Waits until the gateway shows something. `what` names it.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        look: impl FnMut(&Gateway) -> Option<T> + Send,
    ) -> Result<T, String> {
        self.0.progress.advance();
        let found = self.0.server.until(self.0.patience, look).await;
        found.ok_or_else(|| format!("the gateway does not show in time: {what}"))
    }

    /// Waits until every connection has ended.
    pub(crate) async fn disconnected(&self) -> Result<(), String> {
        self.until("the end of every connection", |gateway| {
            gateway.connections().next().is_none().then_some(())
        })
        .await
    }

    /// What clients did so far.
    pub(crate) fn acts(&self) -> Vec<Act> {
        lock(&self.0.notes).acts.clone()
    }

    /// The payloads with an opcode that clients sent, each with the session that it was sent on.
    pub(crate) fn said(&self, opcode: u64) -> Vec<(Option<u64>, Value)> {
        let said = self.acts().into_iter().filter_map(|act| match act.what {
            ClientAct::Sends { op, data } if op == opcode => Some((act.session, data)),
            _ => None,
        });
        said.collect()
    }

    /// The Identifies so far, in order.
    pub(crate) fn identifies(&self) -> Vec<Identify> {
        let identifies = self.said(2).into_iter().map(|(_, data)| {
            let number = |index: usize| data["shard"][index].as_u64().unwrap_or(0);
            Identify { shard: (number(0), number(1)), data }
        });
        identifies.collect()
    }

    /// How many sessions the gateway has, connected or not.
    pub(crate) fn sessions(&self) -> usize {
        self.0.server.with(|gateway| gateway.state()["sessions"].as_array().map_or(0, Vec::len))
    }

    /// The number of the session that the gateway has for a shard of so many.
    pub(crate) fn session_of(&self, shard: u32, count: u32) -> Option<u64> {
        let state = self.0.server.with(Gateway::state);
        let sessions = state["sessions"].as_array()?;
        let own = sessions.iter().find(|session| session["shard"] == json!([shard, count]))?;
        own["session"].as_u64()
    }

    /// How many connections were opened.
    pub(crate) fn connects(&self) -> u64 {
        self.0.server.with(|gateway| gateway.counters().connects)
    }

    /// How many Identifies and Resumes there were.
    pub(crate) fn starts(&self) -> (u64, u64) {
        self.0.server.with(|gateway| (gateway.counters().identifies, gateway.counters().resumes))
    }

    // ---- What applications see -------------------------------------------------------------------------------------------

    /// An application has seen an item.
    pub(crate) fn see(&self, item: &ClusterItem) {
        if !matches!(
            item.event(),
            ClusterEvent::Shard(Event::Dispatch(_) | Event::HeartbeatAcknowledged { .. })
        ) {
            self.note(item);
        }
        self.audit().see(item, &self.0.server);
        self.0.heard.notify(usize::MAX);
    }

    /// Completes when an application sees something after this call.
    pub(crate) fn heard(&self) -> EventListener {
        self.0.heard.listen()
    }

    /// Waits until applications have seen what is looked for. `what` names it.
    pub(crate) async fn until_seen(
        &self,
        what: &str,
        mut look: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        self.within(what, async {
            loop {
                let heard = self.0.heard.listen();
                if look(self) {
                    return;
                }
                heard.await;
            }
        })
        .await
    }

    /// Runs this on a task of its own.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawner.spawn(Box::pin(task));
    }

    pub(crate) fn audit(&self) -> MutexGuard<'_, Audit> {
        lock(&self.0.audit)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        // In this order everywhere: the audit, and then the gateway.
        let audit = self.audit();
        self.0.server.with(|gateway| audit.judge(gateway))
    }

    // ---- Time ------------------------------------------------------------------------------------------------------------

    /// Waits for a future, but not for ever. `what` names it.
    pub(crate) async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> Result<T, String> {
        self.0.progress.advance();
        let deadline = self.0.runtime.now() + self.0.patience * SPEED;
        let late = self.0.runtime.sleep_until(deadline);
        let (mut future, mut late) = (pin!(future), pin!(late));
        poll_fn(|context| {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            late.as_mut().poll(context).map(|()| Err(format!("it does not come in time: {what}")))
        })
        .await
    }
}

/// The gateway of a scenario: guilds for every shard, and no waits but those that the scenario is about.
fn gateway(change: fn(&mut Config)) -> Config {
    let mut config = Config::default();
    config.token = TOKEN.to_owned();
    config.guilds = 16;
    config.members = 2;
    config.max_concurrency = 16;
    config.recommended_shards = 4;
    // A busy machine misses no heartbeat, since none is due.
    config.heartbeat_interval *= SPEED;
    config.session_expiry *= SPEED;
    config.replay_limit = Some(100_000);
    config.trace = true;
    config.payloads = true;
    // Only the scenarios that are about the spacing have one: some start two processes one after the other.
    config.identify_interval = Duration::ZERO;
    change(&mut config);
    // Messages may be bunched up on their way: a clock that runs fast makes little delays long.
    config.send_window = config.send_window * 4 / 5;
    config
}

/// All of these, in any order.
pub(crate) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
