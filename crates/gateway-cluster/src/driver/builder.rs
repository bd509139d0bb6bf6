//! How a cluster is made and started.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_driver::gate::{GateError, IdentifyGate, LocalIdentifyGate};
use gateway_driver::proto::api::{DEFAULT_API_URL, GatewayBotError};
use gateway_driver::proto::config::{ConfigError, DEFAULT_URL};
use gateway_driver::proto::identify::{BudgetError, GatewayBot, IdentifyBudget};
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ShardConfig, ShardId};
use gateway_driver::store::{Checkpoints, FileIdentifyStore, FileSessionStore, SessionKeeper, SessionStore};
use gateway_driver::{DriverConfig, Runtime, Spawn, gateway_bot};

use super::cluster::Cluster;
use super::host::{Ask, Configure, RuntimeHost};
use super::housekeeping::Housekeeping;
use super::hub::Hub;
use super::identity::bot_of;
use super::limits::ClusterLimits;
use super::members::Members;
use super::off_thread::off_thread;
use super::plan_store::{FilePlanStore, PlanStore};
use super::shard_count::ShardCount;
use super::start_error::StartError;
use crate::{ClusterConfig, ClusterError, ClusterMachine, ClusterPlan, ReshardPhase};

/// How often Discord is asked for its recommendation.
const ASK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Makes a [`Cluster`]. Only the configuration is needed.
pub struct ClusterBuilder<R> {
    runtime: R,
    spawner: Arc<dyn Spawn>,
    config: ShardConfig,
    shards: ShardCount,
    folder: Option<PathBuf>,
    sessions: Option<Arc<dyn SessionStore>>,
    plans: Option<Arc<dyn PlanStore>>,
    driver: DriverConfig,
    configure: Option<Configure>,
    limits: ClusterLimits,
    cluster: Option<ClusterConfig>,
    api_url: String,
    ask: Option<Ask>,
    ask_every: Option<Duration>,
    checkpoints: Checkpoints,
}

/// Sessions behind a pointer, for the keeper.
struct SharedSessions(Arc<dyn SessionStore>);

impl SessionStore for SharedSessions {
    fn load(&self, shard: ShardId) -> std::io::Result<Option<SessionSnapshot>> {
        self.0.load(shard)
    }

    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> std::io::Result<()> {
        self.0.save(shard, session)
    }
}

impl<R: Runtime> ClusterBuilder<R> {
    /// A cluster on this runtime, whose tasks run on this spawner.
    pub fn new(runtime: R, spawner: impl Spawn, config: ShardConfig) -> Self {
        Self {
            runtime,
            spawner: Arc::new(spawner),
            config,
            shards: ShardCount::default(),
            folder: None,
            sessions: None,
            plans: None,
            driver: DriverConfig::default(),
            configure: None,
            limits: ClusterLimits::default(),
            cluster: None,
            api_url: DEFAULT_API_URL.to_owned(),
            ask: None,
            ask_every: Some(ASK_EVERY),
            checkpoints: Checkpoints::default(),
        }
    }

    /// How many shards there are, and which are this process's. Default: [`ShardCount::Recommended`].
    #[must_use]
    pub fn shards(mut self, shards: ShardCount) -> Self {
        self.shards = shards;
        self
    }

    /// Keeps everything that outlives a process in this folder: the session of each shard, the plan (`cluster.json`), and, unless
    /// there is another [`gate`](Self::gate), the session starts of the day (`identifies.json`). Files are readable for their owner
    /// only. A second process with the same files gets an error.
    ///
    /// Without a folder or stores, each process starts new sessions, and a crash within a reshard ends both generations.
    #[must_use]
    pub fn sessions_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Keeps sessions in this store, in place of a folder.
    #[must_use]
    pub fn session_store(mut self, store: impl SessionStore) -> Self {
        self.sessions = Some(Arc::new(store));
        self
    }

    /// Keeps the plan in this store, in place of a folder.
    #[must_use]
    pub fn plan_store(mut self, store: impl PlanStore) -> Self {
        self.plans = Some(Arc::new(store));
        self
    }

    /// How often sessions are kept. Default: after 100 dispatches, or a second.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Grants permits to identify, in place of a gate for this process alone: for a bot whose shards are in several processes.
    #[must_use]
    pub fn gate(mut self, gate: Arc<dyn IdentifyGate>) -> Self {
        self.driver.identify_gate = Some(gate);
        self
    }

    /// TLS and connector of all shards, and of `GET /gateway/bot`. A gate in it is used too, and a session keeper where there is neither
    /// a folder nor a store. A transcript is for one shard, and an error here.
    #[must_use]
    pub fn driver(mut self, driver: DriverConfig) -> Self {
        let gate = self.driver.identify_gate.take();
        self.driver = driver;
        if gate.is_some() {
            self.driver.identify_gate = gate;
        }
        self
    }

    /// Runs the tasks of the shards, in place of the runtime's own spawner.
    #[must_use]
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Arc::new(spawner);
        self
    }

    /// Changes the configuration of a shard, for instance its presence or intents. It is called whenever a shard is started; shard id
    /// and session are set after it.
    #[must_use]
    pub fn configure(
        mut self,
        configure: impl Fn(ShardId, &mut ShardConfig) + Send + Sync + 'static,
    ) -> Self {
        self.configure = Some(Arc::new(configure));
        self
    }

    /// How much of each shard may be with the application.
    #[must_use]
    pub fn limits(mut self, limits: ClusterLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The times and bounds of reshards. Its `range`, `max_concurrency` and `seed` are set at the start.
    #[must_use]
    pub fn cluster_config(mut self, config: ClusterConfig) -> Self {
        self.cluster = Some(config);
        self
    }

    /// The base URL of the HTTP API, for a proxy or a simulator. Default: Discord's.
    #[must_use]
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.api_url = url.into();
        self
    }

    /// Asks this in place of `GET /gateway/bot`.
    #[must_use]
    pub fn ask_with<F>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<GatewayBot, GatewayBotError>> + Send + 'static,
    {
        self.ask = Some(Arc::new(move || Box::pin(ask())));
        self
    }

    /// How often the recommended number of shards is asked for while the cluster runs. Default: once in an hour. `None`: never.
    #[must_use]
    pub fn ask_every(mut self, every: Option<Duration>) -> Self {
        self.ask_every = every;
        self
    }

    /// Asks Discord, reads what an earlier process has kept, and starts the tasks. Does not wait until the shards are ready.
    ///
    /// The URL of the shards is the one that Discord answers, unless the configuration has another than the default.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be used, Discord does not answer, too few session starts are left, or the stores cannot be used.
    /// No connection to the gateway was opened then.
    pub async fn start(self) -> Result<Cluster<R>, StartError> {
        self.check()?;
        let ask = self.ask();
        let bot = ask().await?;
        let token = self.config.token.clone();
        let stores = Stores::new(&self)?;
        let kept = stores.load_plan().await?;
        let (plan, range) = self.plan(kept.as_ref(), bot_of(&token), &bot)?;
        if plan.shards == 0 {
            return Err(ClusterError::NoShards.into());
        }
        self.check_budget(range.len(), &bot)?;
        let is_new = kept.as_ref().is_some_and(|kept| kept.generation != plan.generation);
        // Sessions of an earlier generation with the same count have missed what the later one got.
        let sessions = match is_new {
            true => Vec::new(),
            false => stores.load_sessions(&plan, range.clone()).await?,
        };

        let all_own = range.end - range.start;
        let in_cutover = plan.reshard.filter(|reshard| reshard.phase == ReshardPhase::CuttingOver);
        let has_session = |shard: ShardId| sessions.iter().any(|session| session.shard() == shard);
        let own = range.clone().filter_map(|id| ShardId::new(id, plan.shards).ok());
        // A shard of a generation that is being retired is not started without a session.
        let starting = match in_cutover {
            None => own.filter(|shard| !has_session(*shard)).count(),
            Some(reshard) => (0..reshard.shards)
                .filter_map(|id| ShardId::new(id, reshard.shards).ok())
                .filter(|shard| !has_session(*shard))
                .count(),
        };
        let starting = u32::try_from(starting).unwrap_or(u32::MAX);
        let shards = all_own.saturating_add(in_cutover.map_or(0, |reshard| reshard.shards));
        let (gate, own_gate) = self.gate_for(shards, starting, &bot).await?;
        gate.check(starting)?;

        let mut cluster = self.cluster.clone().unwrap_or_default();
        let whole = range == (0..plan.shards);
        cluster.range = (!whole).then_some(range.clone());
        cluster.max_concurrency = bot.session_start_limit.max_concurrency;
        cluster.seed = seed();
        let now = self.runtime.now();
        let machine = ClusterMachine::new(cluster, plan.clone(), sessions, now)?;
        let recommended = bot.shards;
        let host = self.host(bot, ask, gate.clone(), own_gate, &stores);
        let mut own = range.clone().filter_map(|id| ShardId::new(id, plan.shards).ok());
        super::host::Host::check(&host, &mut own)?;
        if is_new && let Some(keeper) = &stores.keeper {
            range
                .filter_map(|id| ShardId::new(id, plan.shards).ok())
                .for_each(|shard| keeper.keep(shard, None));
        }
        if kept.as_ref() != Some(&plan) {
            stores.save_plan(plan.clone()).await?;
        }

        let (runtime, spawner) = (self.runtime.clone(), self.spawner.clone());
        let hub = Hub::new(machine, Box::new(host), gate, stores.keeper.clone(), Members::new(seed()));
        let lane = hub.first_lane().ok_or(ClusterError::NoShards)?;
        let housekeeping = Housekeeping::new(hub.clone(), runtime, stores.plans, self.ask_every);
        if let Some(keeper) = &hub.keeper {
            let hub = Arc::downgrade(&hub);
            keeper.on_error(move |shard, error| {
                if let Some(hub) = hub.upgrade() {
                    hub.report_unkept(shard, error);
                }
            });
        }
        spawner.spawn(Box::pin(housekeeping.run()));
        // The machine has asked for its first shards already.
        hub.tell(|core, _| {
            if whole {
                core.machine.handle_recommendation(recommended);
            }
        });
        Ok(Cluster::new(lane))
    }

    fn check(&self) -> Result<(), StartError> {
        match &self.shards {
            ShardCount::Exactly(0) | ShardCount::Range { total: 0, .. } => {
                return Err(ClusterError::NoShards.into());
            }
            ShardCount::Range { shards, total } if shards.is_empty() || shards.end > *total => {
                let (from, to, total) = (shards.start, shards.end, *total);
                return Err(ClusterError::Range { from, to, total }.into());
            }
            _ => {}
        }
        if self.driver.transcript.is_some() {
            let problem = "a transcript is for one shard: leave it out, or run that shard by itself";
            return Err(ConfigError::new("transcript", problem).into());
        }
        if self.config.session.is_some() {
            let problem = "a cluster finds its sessions by itself: name their store with `sessions_in`";
            return Err(ConfigError::new("session", problem).into());
        }
        Ok(())
    }

    /// Refuses more shards than a day has session starts for, before anything is made of them.
    fn check_budget(&self, shards: usize, bot: &GatewayBot) -> Result<(), StartError> {
        if self.driver.identify_gate.is_some() {
            return Ok(());
        }
        let mut budget = IdentifyBudget::default();
        budget.shards = u32::try_from(shards).unwrap_or(u32::MAX);
        budget.starting = Some(0);
        let gate = LocalIdentifyGate::with_budget(self.runtime.clone(), budget, &bot.session_start_limit);
        gate.map(drop).map_err(|error| StartError::Gate(error.into()))
    }

    fn ask(&self) -> Ask {
        self.ask.clone().unwrap_or_else(|| {
            let (runtime, driver) = (self.runtime.clone(), self.driver.clone());
            let (api_url, token) = (self.api_url.clone(), self.config.token.clone());
            Arc::new(move || {
                let (runtime, driver) = (runtime.clone(), driver.clone());
                let (api_url, token) = (api_url.clone(), token.clone());
                Box::pin(async move { gateway_bot(&runtime, &driver, &api_url, &token).await })
            })
        })
    }

    /// The plan to go on with, and the shards of it that are this process's.
    fn plan(
        &self,
        kept: Option<&ClusterPlan>,
        bot: String,
        recommended: &GatewayBot,
    ) -> Result<(ClusterPlan, std::ops::Range<u32>), StartError> {
        if let Some(found) = kept.and_then(|kept| kept.bot.clone()).filter(|found| *found != bot) {
            return Err(StartError::OtherBot { found, expected: bot });
        }
        let wanted = match &self.shards {
            ShardCount::Recommended => kept.map_or(recommended.shards, |kept| kept.shards),
            ShardCount::Exactly(count) => *count,
            ShardCount::Range { total, .. } => *total,
        };
        let mut plan = match kept {
            None => ClusterPlan::new(wanted),
            Some(kept) => match kept.reshard {
                _ if kept.shards == wanted => kept.clone(),
                Some(reshard) if reshard.phase == ReshardPhase::CuttingOver => {
                    if reshard.shards != wanted {
                        let (from, to) = (kept.shards, reshard.shards);
                        return Err(StartError::ReshardUnfinished { from, to });
                    }
                    kept.clone()
                }
                _ => {
                    let mut plan = ClusterPlan::new(wanted);
                    plan.generation = kept.generation.next();
                    plan
                }
            },
        };
        plan.bot = Some(bot);
        let range = match &self.shards {
            ShardCount::Range { shards, .. } => shards.clone(),
            _ => 0..plan.shards,
        };
        Ok((plan, range))
    }

    /// The gate of all shards, and the same if it is the cluster's own.
    async fn gate_for(
        &self,
        shards: u32,
        starting: u32,
        bot: &GatewayBot,
    ) -> Result<(Arc<dyn IdentifyGate>, Option<Arc<LocalIdentifyGate<R>>>), StartError> {
        if let Some(gate) = &self.driver.identify_gate {
            return Ok((gate.clone(), None));
        }
        let mut budget = IdentifyBudget::default();
        budget.shards = shards;
        budget.starting = Some(starting);
        let limit = bot.session_start_limit.clone();
        let runtime = self.runtime.clone();
        let made = match &self.folder {
            None => LocalIdentifyGate::with_budget(runtime, budget, &limit).map_err(GateError::from),
            Some(folder) => {
                let store = FileIdentifyStore::in_file(folder.join("identifies.json"));
                let make = move || Ok(LocalIdentifyGate::kept_in(store, runtime, budget, &limit));
                off_thread(make).await?
            }
        };
        let gate = Arc::new(made.map_err(|error| match error {
            GateError::Budget(BudgetError::TooFewStarts(error)) => StartError::TooFewStarts(error),
            error => StartError::Gate(error),
        })?);
        Ok((gate.clone(), Some(gate)))
    }

    fn host(
        &self,
        bot: GatewayBot,
        ask: Ask,
        gate: Arc<dyn IdentifyGate>,
        own_gate: Option<Arc<LocalIdentifyGate<R>>>,
        stores: &Stores,
    ) -> RuntimeHost<R> {
        let mut config = self.config.clone();
        if config.url == DEFAULT_URL {
            config.url = bot.url;
        }
        let mut driver = self.driver.clone();
        driver.identify_gate = Some(gate);
        driver.session_keeper = stores.keeper.clone();
        RuntimeHost {
            runtime: self.runtime.clone(),
            spawner: self.spawner.clone(),
            config,
            driver,
            configure: self.configure.clone(),
            limits: self.limits.at_least_one(),
            ask,
            gate: own_gate,
        }
    }
}

/// Where a cluster keeps what outlives it.
struct Stores {
    keeper: Option<Arc<SessionKeeper>>,
    plans: Option<Arc<dyn PlanStore>>,
}

impl Stores {
    fn new<R>(builder: &ClusterBuilder<R>) -> Result<Self, StartError> {
        let sessions = builder.sessions.clone().or_else(|| {
            let folder = builder.folder.as_ref()?;
            Some(Arc::new(FileSessionStore::in_folder(folder)))
        });
        let keeper = match (&builder.driver.session_keeper, sessions) {
            (_, Some(store)) => {
                let keeper = SessionKeeper::new(SharedSessions(store), builder.checkpoints.clone())?;
                Some(Arc::new(keeper))
            }
            (keeper, None) => keeper.clone(),
        };
        let plans = builder.plans.clone().or_else(|| {
            let name = match &builder.shards {
                // Processes with different shards may share a folder.
                ShardCount::Range { shards, total } => {
                    format!("cluster-{}-{}-{total}.json", shards.start, shards.end)
                }
                _ => "cluster.json".to_owned(),
            };
            Some(Arc::new(FilePlanStore::in_file(builder.folder.as_ref()?.join(name))))
        });
        Ok(Self { keeper, plans })
    }

    async fn load_plan(&self) -> Result<Option<ClusterPlan>, StartError> {
        match self.plans.clone() {
            Some(plans) => Ok(off_thread(move || plans.load()).await?),
            None => Ok(None),
        }
    }

    async fn save_plan(&self, plan: ClusterPlan) -> Result<(), StartError> {
        match self.plans.clone() {
            Some(plans) => Ok(off_thread(move || plans.save(&plan)).await?),
            None => Ok(()),
        }
    }

    /// The sessions of these shards, and of those that a reshard was about to switch to.
    async fn load_sessions(
        &self,
        plan: &ClusterPlan,
        range: std::ops::Range<u32>,
    ) -> Result<Vec<SessionSnapshot>, StartError> {
        let Some(keeper) = self.keeper.clone() else { return Ok(Vec::new()) };
        let own = range.map(|id| (id, plan.shards));
        let next = plan.reshard.filter(|reshard| reshard.phase == ReshardPhase::CuttingOver);
        let next =
            next.into_iter().flat_map(|reshard| (0..reshard.shards).map(move |id| (id, reshard.shards)));
        let shards: Vec<ShardId> =
            own.chain(next).filter_map(|(id, count)| ShardId::new(id, count).ok()).collect();
        let load = move || {
            let loaded = shards.into_iter().map(|shard| keeper.load(shard));
            loaded.filter_map(Result::transpose).collect::<std::io::Result<Vec<_>>>()
        };
        Ok(off_thread(load).await?)
    }
}

/// A number that others cannot guess.
fn seed() -> u64 {
    #[allow(clippy::disallowed_types, reason = "this is where the machine's seed comes from")]
    std::hash::RandomState::new().build_hasher().finish()
}

impl<R> fmt::Debug for ClusterBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder").field("shards", &self.shards).finish_non_exhaustive()
    }
}
