//! Runs the table, or a part of it, in the chosen ways.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use gateway_driver::proto::ShardConfig;
use gateway_driver::proto::config::Timeouts;
use gateway_driver::{Runtime, Spawn};
use gateway_sim::Config;
use gateway_world::{Chunking, MakeClient, over_bytes, over_messages};

use crate::cluster::{ClusterScenario, Ground, cluster_table};
use crate::live::{BlockOn, Driving, Live, SPEED};
use crate::memory::Simulation;
use crate::observation::TraceLine;
use crate::report::{About, Outcome, Report};
use crate::runner::{self, Backend, Failure, Progress};
use crate::scenario::{Scenario, Variant};
use crate::table::table;

/// How long to wait for an expected observation, by the wall clock.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time limit for one variant of a scenario, by the wall clock. Longer than two expired waits: one at the last step,
/// and one for the end of the shard.
const LIMIT: Duration = Duration::from_secs(120);

/// The number of live scenarios that run at the same time. Most of the time they wait.
const AT_ONCE: usize = 32;

/// The same for scenarios of clusters, of which each has many shards.
const CLUSTERS_AT_ONCE: usize = 10;

/// How many times longer than the others scenarios of clusters wait before they fail: many shards share a busy machine.
const CLUSTER_PATIENCE: u32 = 3;

/// Runs the whole table on a runtime: over real sockets, against a simulated gateway behind TLS.
///
/// `block_on` runs a future to its end on that runtime. It is called on many threads at the same time, once for each
/// shard.
pub fn run<R: Runtime>(runtime: R, block_on: impl Fn(Driving) + Send + Sync + 'static) -> Report {
    let mut suite = Suite::new();
    suite.live("live", runtime, block_on);
    suite.run()
}

/// Scenarios and the ways of running them.
pub struct Suite {
    scenarios: Vec<Arc<Scenario>>,
    clusters: Vec<Arc<ClusterScenario>>,
    patience: Duration,
    limit: Duration,
    ways: Vec<(String, Kind)>,
}

/// Runs one variant of one scenario.
type Play = Arc<dyn Fn(&Scenario, Variant, &Progress) -> Played + Send + Sync>;

/// The result of a variant, and its trace.
type Played = (Result<(), Failure>, Vec<TraceLine>);

/// Runs a scenario of clusters.
type PlayCluster = Arc<dyn Fn(&ClusterScenario, &Progress) -> Played + Send + Sync>;

enum Kind {
    /// Run one after the other: they never wait.
    Computed(Play),
    /// Run in parallel.
    Waited(Play),
    /// Scenarios of clusters, in parallel.
    Clusters(PlayCluster),
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite {
    /// The whole table, and that of clusters, without a way of running them.
    pub fn new() -> Self {
        Self { clusters: cluster_table().into_iter().map(Arc::new).collect(), ..Self::of(table()) }
    }

    /// Custom scenarios.
    pub fn of(scenarios: Vec<Scenario>) -> Self {
        let scenarios = scenarios.into_iter().map(Arc::new).collect();
        Self { scenarios, clusters: Vec::new(), patience: PATIENCE, limit: LIMIT, ways: Vec::new() }
    }

    /// Keeps only the scenarios whose names meet the predicate.
    pub fn only(&mut self, is_wanted: impl Fn(&str) -> bool) -> &mut Self {
        self.scenarios.retain(|scenario| is_wanted(scenario.name));
        self.clusters.retain(|scenario| is_wanted(scenario.name));
        self
    }

    /// How long a live scenario waits for an expected observation before it fails. Default 20 s. Applies to the ways that are
    /// added after this. A scenario of clusters waits three times as long, and has three times the limit.
    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    /// The time limit for one variant of a scenario, also if it hangs. Default 120 s. The others continue.
    pub fn limit(&mut self, limit: Duration) -> &mut Self {
        self.limit = limit;
        self
    }

    /// Adds the way `virtual`: the state machine over messages, in memory, on a virtual clock. Times are asserted
    /// exactly.
    pub fn on_virtual_clock(&mut self) -> &mut Self {
        let play: Play = Arc::new(|scenario, variant, progress| {
            play(scenario, variant, progress, Timeouts::default(), |shard, gateway| {
                in_memory(over_messages, Chunking::Whole, scenario, shard, gateway)
            })
        });
        self.ways.push(("virtual".to_owned(), Kind::Computed(play)));
        self
    }

    /// Adds the way `raw`: the whole client over bytes, in memory, on a virtual clock. Each scenario runs with whole
    /// reads and byte by byte; both must yield the same observations at the same times.
    pub fn over_raw_bytes(&mut self) -> &mut Self {
        let play: Play = Arc::new(|scenario, variant, progress| {
            let (result, trace) = play(scenario, variant, progress, Timeouts::default(), |shard, gateway| {
                in_memory(over_bytes, Chunking::Whole, scenario, shard, gateway)
            });
            if result.is_err() {
                return (result, trace);
            }
            let (bytewise, other) =
                play(scenario, variant, progress, Timeouts::default(), |shard, gateway| {
                    in_memory(over_bytes, Chunking::OneByte, scenario, shard, gateway)
                });
            let agree = bytewise.and_then(|()| match first_difference(&trace, &other) {
                None => Ok(()),
                Some(line) => {
                    Err(Failure { sentence: format!("read byte by byte, it differs: {line}"), step: 0 })
                }
            });
            (agree, other)
        });
        self.ways.push(("raw".to_owned(), Kind::Computed(play)));
        self
    }

    /// Adds a live way with this name: over real sockets and TLS. Order is asserted, durations are not.
    pub fn live<R: Runtime>(
        &mut self,
        name: &str,
        runtime: R,
        block_on: impl Fn(Driving) + Send + Sync + 'static,
    ) -> &mut Self {
        let block_on: BlockOn = Arc::new(block_on);
        let patience = self.patience;
        let play: Play = Arc::new(move |scenario, variant, progress| {
            play(scenario, variant, progress, patient_timeouts(), |shard, gateway| {
                let live =
                    Live::new(runtime.clone(), block_on.clone(), shard, gateway, scenario.setup, patience)?;
                Ok(Box::new(live) as Box<dyn Backend>)
            })
        });
        self.ways.push((name.to_owned(), Kind::Waited(play)));
        self
    }

    /// The scenarios of clusters on a runtime, under this name: over real sockets, most of them without TLS. The tasks of shards run
    /// on the runtime's spawner, and each scenario within `block_on`, on a thread of its own.
    pub fn clusters<R: Runtime + Spawn>(
        &mut self,
        name: &str,
        runtime: R,
        block_on: impl Fn(Driving) + Send + Sync + 'static,
    ) -> &mut Self {
        let ground = Ground {
            spawner: Arc::new(runtime.clone()),
            runtime,
            block_on: Arc::new(block_on),
            timeouts: patient_timeouts(),
            patience: self.patience * CLUSTER_PATIENCE,
        };
        let play: PlayCluster = Arc::new(move |scenario, progress| ground.play(scenario, progress));
        self.ways.push((name.to_owned(), Kind::Clusters(play)));
        self
    }

    /// Runs every scenario in every way.
    pub fn run(&self) -> Report {
        let mut outcomes: Vec<(usize, usize, Outcome)> = Vec::new();
        for (column, (name, kind)) in self.ways.iter().enumerate() {
            let (of_way, first) = match kind {
                Kind::Computed(play) => (self.run_way(name, self.rows(play), 1, self.limit), 0),
                Kind::Waited(play) => (self.run_way(name, self.rows(play), AT_ONCE, self.limit), 0),
                Kind::Clusters(play) => {
                    let (rows, limit) = (self.cluster_rows(play), self.limit * CLUSTER_PATIENCE);
                    (self.run_way(name, rows, CLUSTERS_AT_ONCE, limit), self.scenarios.len())
                }
            };
            let of_way = (first..).zip(of_way);
            outcomes.extend(of_way.map(|(row, outcome)| (row, column, outcome)));
        }
        outcomes.sort_by_key(|(row, column, _)| (*row, *column));
        Report { outcomes: outcomes.into_iter().map(|(_, _, outcome)| outcome).collect() }
    }

    fn rows(&self, play: &Play) -> Vec<Row> {
        let rows = self.scenarios.iter().map(|scenario| {
            let variants = scenario.variants.iter().map(|variant| {
                let (play, scenario, variant) = (play.clone(), scenario.clone(), *variant);
                let work: Work = Box::new(move |progress| play(&scenario, variant, progress));
                (variant, work)
            });
            let (name, rule, about) = (scenario.name, scenario.rule, About::Shard);
            Row { name, rule, about, variants: variants.collect() }
        });
        rows.collect()
    }

    fn cluster_rows(&self, play: &PlayCluster) -> Vec<Row> {
        let rows = self.clusters.iter().map(|scenario| {
            let (name, rule, about) = (scenario.name, scenario.rule, About::Cluster);
            let (play, scenario, variant) = (play.clone(), scenario.clone(), scenario.in_variant());
            let work: Work = Box::new(move |progress| play(&scenario, progress));
            Row { name, rule, about, variants: vec![(variant, work)] }
        });
        rows.collect()
    }

    /// One job for each variant of each scenario, so that none waits for another. A job that does not end has failed, and its
    /// thread is detached.
    fn run_way(&self, name: &str, rows: Vec<Row>, at_once: usize, limit: Duration) -> Vec<Outcome> {
        let mut waiting: VecDeque<Job> = VecDeque::new();
        let mut outcomes: Vec<(Outcome, Vec<Variant>)> = Vec::new();
        for (row, Row { name: scenario, rule, about, variants }) in rows.into_iter().enumerate() {
            let (variants, works): (Vec<_>, Vec<_>) = variants.into_iter().unzip();
            let jobs = works.into_iter().enumerate().map(|(index, work)| Job { id: (row, index), work });
            waiting.extend(jobs);
            let way = name.to_owned();
            let outcome = Outcome { scenario, rule, about, way, failure: None, trace: Vec::new() };
            outcomes.push((outcome, variants));
        }
        let mut running: BTreeMap<JobId, Running> = BTreeMap::new();
        let mut done: BTreeMap<JobId, Played> = BTreeMap::new();
        let (finished, results) = mpsc::channel();
        loop {
            while running.len() < at_once
                && let Some(job) = waiting.pop_front()
            {
                running.insert(job.id, job.start(limit, finished.clone()));
            }
            let Some(first) = running.values().map(|running| running.deadline).min() else { break };
            match results.recv_timeout(first.saturating_duration_since(Instant::now())) {
                // Otherwise the result is too late: the job has already failed.
                Ok((id, played)) if running.remove(&id).is_some() => drop(done.insert(id, played)),
                Ok(_) => {}
                Err(_) => {
                    let now = Instant::now();
                    let late = running.iter().filter(|(_, running)| running.deadline <= now);
                    done.extend(late.map(|(id, running)| (*id, running.overdue(limit))));
                    running.retain(|_, running| running.deadline > now);
                }
            }
        }
        let outcomes = outcomes.into_iter().enumerate().map(|(row, (outcome, variants))| {
            let variants = variants.into_iter().enumerate();
            conclude(
                outcome,
                variants.filter_map(|(index, variant)| Some((variant, done.remove(&(row, index))?))),
            )
        });
        outcomes.collect()
    }
}

/// A scenario in one way, and the work of each of its variants.
struct Row {
    name: &'static str,
    rule: &'static str,
    about: About,
    variants: Vec<(Variant, Work)>,
}

type Work = Box<dyn FnOnce(&Progress) -> Played + Send>;

/// The indexes of a scenario and of its variant.
type JobId = (usize, usize);

struct Job {
    id: JobId,
    work: Work,
}

/// A running job.
struct Running {
    deadline: Instant,
    progress: Progress,
}

impl Job {
    fn start(self, limit: Duration, finished: Sender<(JobId, Played)>) -> Running {
        let running = Running { deadline: Instant::now() + limit, progress: Progress::default() };
        let (id, play, progress) = (self.id, self.work, running.progress.clone());
        let work = move || {
            let played = panic::catch_unwind(AssertUnwindSafe(|| play(&progress)));
            let played = played.unwrap_or_else(|_| {
                let sentence = "it panicked".to_owned();
                (Err(Failure { sentence, step: progress.step() }), Vec::new())
            });
            // Fails if the suite has stopped waiting because the scenario was overdue.
            let _ = finished.send((id, played));
        };
        // Without a thread the job becomes overdue, and fails.
        let _ = thread::Builder::new().name("scenario".to_owned()).spawn(work);
        running
    }
}

impl Running {
    fn overdue(&self, limit: Duration) -> Played {
        let sentence = format!("it has not ended within {limit:?}");
        (Err(Failure { sentence, step: self.progress.step() }), Vec::new())
    }
}

/// The first failed variant, otherwise the first one.
fn conclude(mut outcome: Outcome, played: impl Iterator<Item = (Variant, Played)>) -> Outcome {
    for (variant, (result, trace)) in played {
        if outcome.trace.is_empty() || result.is_err() {
            outcome.trace = trace;
        }
        if let Err(failure) = result {
            outcome.failure = Some((variant, failure));
            break;
        }
    }
    outcome
}

fn play(
    scenario: &Scenario,
    variant: Variant,
    progress: &Progress,
    timeouts: Timeouts,
    make: impl FnOnce(ShardConfig, Config) -> Result<Box<dyn Backend>, String>,
) -> Played {
    let (shard, gateway) = scenario.configs(variant, timeouts);
    match make(shard, gateway) {
        Ok(mut way) => {
            let result = runner::run(&scenario.steps, way.as_mut(), progress);
            (result, way.trace())
        }
        Err(sentence) => (Err(Failure { sentence, step: 0 }), Vec::new()),
    }
}

fn in_memory(
    make: MakeClient,
    chunking: Chunking,
    scenario: &Scenario,
    shard: ShardConfig,
    gateway: Config,
) -> Result<Box<dyn Backend>, String> {
    // Any instant suffices: the simulation reads no clock.
    let simulation = Simulation::new(make, chunking, shard, gateway, &scenario.setup, Instant::now())?;
    Ok(Box::new(simulation))
}

/// Long timeouts for scenarios that set none, so that a busy machine does not exceed them.
fn patient_timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    for timeout in [
        &mut timeouts.connect,
        &mut timeouts.hello,
        &mut timeouts.ready,
        &mut timeouts.resumed,
        &mut timeouts.close,
    ] {
        *timeout *= SPEED;
    }
    timeouts
}

fn first_difference(one: &[TraceLine], other: &[TraceLine]) -> Option<String> {
    let lines = one.len().max(other.len());
    (0..lines).find(|index| one.get(*index) != other.get(*index)).map(|index| {
        let line = |trace: &[TraceLine]| trace.get(index).map_or("nothing".to_owned(), ToString::to_string);
        format!("{} against {}", line(other).trim(), line(one).trim())
    })
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ways: Vec<&str> = self.ways.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Suite")
            .field("scenarios", &self.scenarios.len())
            .field("clusters", &self.clusters.len())
            .field("ways", &ways)
            .finish()
    }
}
