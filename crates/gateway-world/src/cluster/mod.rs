//! A world in which all shards are one bot's, in a cluster: it is restarted, resharded, drained and killed, and what survives its
//! process is a simulated storage.

mod application;
mod between;
mod happening;
mod observation;
mod operator;
mod process;
mod rules;
mod storage;
mod traffic;
mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gateway_cluster::{ClusterConfig, ClusterPlan, CutoverTally, Handover, ShardKey};
use gateway_proto::ShardId;
use gateway_proto::identify::SessionStartLimit;
use gateway_sim::Config;

pub use between::Between;
pub use observation::{ClusterObservation, Standing};

use crate::client::MakeClient;
use crate::engine::{ClientId, Engine, Happening};
use crate::fault::{Phase, Planned, Unreachable};
use crate::invariants::Invariants;
use crate::observation::{Observation, Violation};
use crate::plan::{Cycle, HEARTBEAT_INTERVAL, RECOVERY, Setting, TOKEN};
use crate::time::Time;
use crate::world::{Counts, Outcome};
use crate::{effect, gate};
use process::Process;
use storage::Storage;
use watch::ClusterWatch;

/// How often all sessions are stored.
const STORE_EVERY: Duration = Duration::from_secs(60);
/// Session starts in 24 hours: every bot of more than 150 000 guilds has at least so many
/// ([Discord Docs, Gateway > Sharding for Very Large Bots](https://discord.com/developers/docs/events/gateway#sharding-sharding-for-large-bots)).
const SESSION_STARTS: u32 = 2000;
/// What the wall clock shows when the world begins, as the time since 1970.
const AT_THE_BEGINNING: Duration = Duration::from_secs(1_700_000_000);
/// With little room, a reshard may hold so much back.
const LITTLE_ROOM: usize = 64 << 10;

/// What came of the world of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterOutcome {
    /// The rule that was broken first, if any.
    pub violation: Option<Violation>,
    /// What was counted on the way.
    pub counts: ClusterCounts,
    /// Everything that happened, if it was asked for.
    pub steps: Vec<String>,
}

impl From<ClusterOutcome> for Outcome {
    fn from(outcome: ClusterOutcome) -> Self {
        let ClusterOutcome { violation, counts, steps } = outcome;
        let ClusterCounts { shard_hours, identifies_max_24h, faults, connects, identifies, resumed, .. } =
            counts;
        let counts = Counts { faults, connects, identifies, resumed, dispatches: counts.delivered };
        Self { violation, shard_hours, identifies_max_24h, counts, steps }
    }
}

/// What happened how often in the world of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterCounts {
    /// Hours of shards that were simulated.
    pub shard_hours: f64,
    /// Faults and acts of the plan.
    pub faults: u64,
    /// Processes that began.
    pub processes: u64,
    /// Processes that died with guilds being switched, of which the next went on.
    pub cutovers_resumed: u64,
    /// Reshards that began.
    pub reshards: u64,
    /// Reshards that ended with the new generation in charge.
    pub finished: u64,
    /// Reshards that ended with the old generation in charge.
    pub aborted: u64,
    /// How guilds were switched in those that ended.
    pub switched: CutoverTally,
    /// Rolling restarts that ended.
    pub rolled: u64,
    /// Connections asked for.
    pub connects: u64,
    /// Identifies sent.
    pub identifies: u64,
    /// The most of them in any 24 hours.
    pub identifies_max_24h: usize,
    /// Sessions that were started because there was none, for a reshard or for a process without a session.
    pub starts: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Things that happened in guilds.
    pub events: u64,
    /// Deliveries of them.
    pub delivered: u64,
    /// Deliveries of what had been delivered before.
    pub duplicates: u64,
}

/// A cluster, a network and a gateway under one virtual clock.
pub struct ClusterWorld {
    setting: Setting,
    make: MakeClient,
    between: Box<dyn Between>,
    engine: Engine<Event, ClusterWatch>,
    limit: SessionStartLimit,
    config: ClusterConfig,
    guilds: u32,
    /// What runs, if a process runs.
    process: Option<Process>,
    /// How many processes there were.
    epoch: u64,
    /// When the next one begins, unless one runs.
    begins_at: Time,
    storage: Storage,
    /// The session that each shard is on, by its number: what the application believes, over all processes.
    sessions: BTreeMap<ShardKey, u64>,
    /// What the gate has kept for the case that its process is killed.
    kept: Option<gate::Kept>,
    cycles: Box<dyn Iterator<Item = Cycle>>,
    suspended_until: Option<Time>,
    unreachable: BTreeMap<u32, (Unreachable, Time)>,
    /// The process dies so long after this phase has come, and for so long.
    trap: Option<(Phase, Duration, Duration)>,
    rng: Rng,
    traffic: traffic::Traffic,
    wall_clock_ahead: i64,
    progress: Box<dyn FnMut(Time)>,
    counts: ClusterCounts,
}

/// Something that is to happen. What concerns a process names it by its number.
enum Event {
    Fault(Planned),
    /// A process begins.
    Begin(u64),
    /// The process dies, and the next begins after this time.
    Crash(u64, Duration),
    /// The deadline of the cluster.
    Timer(u64),
    /// A worker of the application has finished something.
    Work(u64, usize),
    /// A write ends.
    Written(u64),
    /// Sessions are stored.
    Store(u64),
    /// A shard that has stopped for good is started again.
    Restart(u64, ShardId),
    /// The application answers advice.
    Answer(u64, u32),
    Adopt(u64, Box<Handover>),
    /// Something happens in a guild, unless the pace has changed since.
    Traffic(u64),
    /// The machine wakes; its clock has stood still for so long.
    Wake(Duration),
    Calm,
    /// The cluster is to be whole.
    Check,
    NextCycle,
    Hour,
}

impl ClusterCounts {
    /// Adds those of another world.
    pub fn add(&mut self, other: &Self) {
        self.shard_hours += other.shard_hours;
        self.identifies_max_24h = self.identifies_max_24h.max(other.identifies_max_24h);
        let all = &mut self.switched;
        all.matched += other.switched.matched;
        all.silent += other.switched.silent;
        all.unmatched += other.switched.unmatched;
        for (sum, count) in [
            (&mut self.faults, other.faults),
            (&mut self.processes, other.processes),
            (&mut self.cutovers_resumed, other.cutovers_resumed),
            (&mut self.reshards, other.reshards),
            (&mut self.finished, other.finished),
            (&mut self.aborted, other.aborted),
            (&mut self.rolled, other.rolled),
            (&mut self.connects, other.connects),
            (&mut self.identifies, other.identifies),
            (&mut self.starts, other.starts),
            (&mut self.resumed, other.resumed),
            (&mut self.events, other.events),
            (&mut self.delivered, other.delivered),
            (&mut self.duplicates, other.duplicates),
        ] {
            *sum += count;
        }
    }
}

impl ClusterWorld {
    /// A world that goes through these cycles, beginning at `start`. Its shards are made with `make`.
    pub fn new(
        setting: Setting,
        start: Time,
        cycles: impl Iterator<Item = Cycle> + 'static,
        make: MakeClient,
    ) -> Self {
        let mut rng = Rng::with_seed(!setting.seed);
        let mut limit = SessionStartLimit::default();
        (limit.total, limit.remaining) = (SESSION_STARTS, SESSION_STARTS);
        limit.max_concurrency = [1, 2, 16][rng.usize(0..3)];
        let mut cluster = ClusterConfig::default();
        cluster.max_concurrency = limit.max_concurrency;
        cluster.seed = rng.u64(..);
        if rng.u8(0..3) == 0 {
            cluster.held_bytes = LITTLE_ROOM;
        }
        let guilds = setting.shards.saturating_mul(2).saturating_add(3).min(400);
        let mut config = Config::default();
        config.token = TOKEN.to_owned();
        config.url = "wss://gateway.world".to_owned();
        config.resume_url = Some("wss://resume.gateway.world".to_owned());
        config.seed = setting.seed;
        config.guilds = guilds;
        config.members = 2;
        config.heartbeat_interval = HEARTBEAT_INTERVAL;
        config.max_concurrency = limit.max_concurrency;
        config.session_starts = SESSION_STARTS;
        config.replay_limit = Some(2000);
        let watch = ClusterWatch::new(Invariants::of_each_shard(SESSION_STARTS as usize));
        let beginning = Instant::now();
        let gate = gate::gate(2 * setting.shards, &limit, beginning + start.since(Time::ZERO));
        let engine = Engine::starting_at(start, config, gate, beginning, watch);
        let mut this = Self {
            setting,
            make,
            between: Box::new(()),
            engine,
            limit,
            config: cluster,
            guilds,
            process: None,
            epoch: 0,
            begins_at: start,
            storage: Storage::new(ClusterPlan::new(setting.shards.div_ceil(2).max(1))),
            sessions: BTreeMap::new(),
            kept: None,
            cycles: Box::new(cycles),
            suspended_until: None,
            unreachable: BTreeMap::new(),
            trap: None,
            traffic: traffic::Traffic::new(&setting, guilds, rng.u64(..)),
            rng,
            wall_clock_ahead: 0,
            progress: Box::new(|_| {}),
            counts: ClusterCounts::default(),
        };
        this.set_wall_clock();
        this
    }

    /// Puts this between the cluster and those who carry out its outputs.
    #[must_use]
    pub fn with_between(mut self, between: Box<dyn Between>) -> Self {
        self.between = between;
        self
    }

    /// Changes how the cluster works.
    #[must_use]
    pub fn with_config(mut self, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Writes down everything that happens.
    #[must_use]
    pub fn with_steps(mut self) -> Self {
        self.engine.observer.write_down();
        self
    }

    /// Tells this what time it is, once in every hour of the world.
    #[must_use]
    pub fn with_progress(mut self, tell: impl FnMut(Time) + 'static) -> Self {
        self.progress = Box::new(tell);
        self
    }

    /// Lets time pass until the last cycle is over, or a rule is broken.
    pub fn run(mut self) -> ClusterOutcome {
        let start = self.engine.now();
        self.begin_at(start);
        self.engine.plan(start, Event::NextCycle);
        self.engine.plan(start + Duration::from_secs(3600), Event::Hour);
        self.plan_traffic();
        while self.engine.observer.violation().is_none() && self.step() {}
        let watch = self.engine.observer;
        let mut counts = self.counts;
        counts.duplicates = watch.duplicates();
        counts.identifies_max_24h = watch.identifies_max_24h();
        let (violation, steps) = watch.into_parts();
        ClusterOutcome { violation, counts, steps }
    }

    /// The next thing that happens. False: the world is over.
    fn step(&mut self) -> bool {
        match self.engine.step() {
            Some(Happening::Said(id, output)) => self.said(id, output),
            Some(Happening::Settled(id)) => self.settled(id),
            // Its snapshots are persisted at once.
            Some(Happening::Persist { number, snapshot }) => {
                self.kept = Some(gate::Kept { starts: snapshot, at: self.engine.now() });
                self.engine.persisted(number, true);
            }
            Some(Happening::Due(event)) => return self.take(event),
            Some(Happening::Carried) => {}
            None => {
                let next = self.engine.next_time();
                self.engine.advance_to(next);
            }
        }
        true
    }

    /// False: the world is over.
    fn take(&mut self, event: Event) -> bool {
        if let Some(until) = self.suspended_until
            && event.is_of_the_process()
        {
            self.engine.plan(until, event);
            return true;
        }
        let runs = |epoch: u64| self.process.is_some() && epoch == self.epoch;
        let now = self.engine.now();
        match event {
            Event::Fault(planned) => {
                self.counts.faults += 1;
                self.happen(planned);
            }
            Event::Begin(after) if after == self.epoch && self.process.is_none() => self.begin(),
            Event::Crash(epoch, lasting) if runs(epoch) => self.crash(lasting),
            Event::Timer(epoch) if runs(epoch) => self.timer(),
            Event::Work(epoch, lane) if runs(epoch) => self.work(lane),
            Event::Written(number) => self.written(number),
            Event::Store(epoch) if runs(epoch) => {
                self.store_all();
                self.engine.plan(now + STORE_EVERY, Event::Store(epoch));
            }
            Event::Restart(epoch, shard) if runs(epoch) => self.restart(shard),
            Event::Answer(epoch, shards) if runs(epoch) => self.reshard(shards),
            Event::Adopt(epoch, handover) if runs(epoch) => self.adopt(*handover),
            Event::Traffic(pace) => self.traffic(pace),
            Event::Wake(clock_stood_still) => self.wake(clock_stood_still),
            Event::Calm => self.calm_down(),
            Event::Check => self.check(),
            Event::NextCycle => return self.next_cycle(),
            Event::Hour => {
                let plan = self.plan();
                let of_a_reshard = plan.reshard.map_or(0, |reshard| reshard.shards);
                self.counts.shard_hours += f64::from(plan.shards + of_a_reshard);
                (self.progress)(now);
                self.engine.plan(now + Duration::from_secs(3600), Event::Hour);
            }
            // Of a process that is no more.
            _ => {}
        }
        true
    }

    fn next_cycle(&mut self) -> bool {
        let Some(Cycle { calm_from, end, faults }) = self.cycles.next() else { return false };
        for planned in faults {
            // Of a cycle that has begun before the world, what is past happens at once.
            self.engine.plan(planned.at.max(self.engine.now()), Event::Fault(planned));
        }
        self.engine.plan(calm_from, Event::Calm);
        if end.since(calm_from) > RECOVERY {
            self.engine.plan(calm_from + RECOVERY, Event::Check);
        }
        self.engine.plan(end, Event::NextCycle);
        true
    }

    /// The faults are over: whatever has no end of its own ends now, and what has stopped is started again.
    fn calm_down(&mut self) {
        self.note(|| "the faults are over".to_owned());
        effect::end_all(&mut self.engine);
        self.trap = None;
        self.restart_stopped();
    }

    /// The plan that is in force.
    fn plan(&self) -> ClusterPlan {
        self.process.as_ref().map_or_else(|| self.storage.plan().clone(), |process| process.machine.plan())
    }

    fn set_wall_clock(&mut self) {
        let at_beginning = AT_THE_BEGINNING.as_secs().saturating_add_signed(self.wall_clock_ahead);
        self.engine.set_wall_clock(Some(Duration::from_secs(at_beginning)));
    }

    fn show(&mut self, what: &ClusterObservation<'_>) {
        let now = self.engine.now();
        self.engine.observer.show(now, what);
    }

    fn show_shard(&mut self, client: ClientId, what: &Observation<'_>) {
        let now = self.engine.now();
        self.engine.observer.show_shard(now, client, what);
    }

    fn note(&mut self, sentence: impl FnOnce() -> String) {
        let now = self.engine.now();
        self.engine.observer.note(now, sentence);
    }
}

impl Event {
    /// Whether it has to wait while the machine sleeps that the process runs on.
    fn is_of_the_process(&self) -> bool {
        matches!(
            self,
            Self::Begin(_)
                | Self::Crash(..)
                | Self::Timer(_)
                | Self::Work(..)
                | Self::Written(_)
                | Self::Store(_)
                | Self::Restart(..)
                | Self::Answer(..)
                | Self::Adopt(..)
        )
    }
}
