//! The world: shards, a network and a gateway under one virtual clock.

mod application;
mod bot;
mod happening;
mod process;

use std::time::{Duration, Instant};

use fastrand::Rng;
use gateway_proto::identify::SessionStartLimit;
use gateway_sim::{Config, Control, Target};

use crate::client::MakeClient;
use crate::engine::{ClientId, Engine, Happening};
use crate::fault::Planned;
use crate::invariants::Invariants;
use crate::observation::{Observation, Violation};
use crate::plan::{Cycle, HEARTBEAT_INTERVAL, RECOVERY, Setting, TOKEN, User};
use crate::time::Time;
use crate::watch::Watch;
use crate::{effect, gate};
use bot::Bot;

/// `max_concurrency` of the gateway and of the gate.
const MAX_CONCURRENCY: u32 = 1;
/// How often the application stores its session.
const STORE_EVERY: Duration = Duration::from_secs(600);
/// What the wall clock shows when the world begins, in seconds since 1970.
const AT_THE_BEGINNING: u64 = 1_700_000_000;

/// What came of a world.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The rule that was broken first, if any.
    pub violation: Option<Violation>,
    /// Hours of shards that were simulated.
    pub shard_hours: f64,
    /// The most Identifies in any 24 hours, over all shards.
    pub identifies_max_24h: usize,
    /// What was counted on the way.
    pub counts: Counts,
    /// Everything that happened, if it was asked for.
    pub steps: Vec<String>,
}

/// What happened how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults of the plan.
    pub faults: u64,
    /// Connections asked for.
    pub connects: u64,
    /// Identifies sent.
    pub identifies: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Dispatches that applications received.
    pub dispatches: u64,
}

/// Shards, a network and a gateway under one virtual clock.
pub struct World {
    setting: Setting,
    make: MakeClient,
    engine: Engine<Event, Watch>,
    /// How far the wall clock of the shards' machine has been set ahead, in seconds.
    wall_clock_ahead: i64,
    bots: Vec<Bot>,
    /// What the gate has kept for the case that its process is killed.
    kept: Option<gate::Kept>,
    cycles: Box<dyn Iterator<Item = Cycle>>,
    /// The machine is suspended.
    suspended_until: Option<Time>,
    rng: Rng,
    heap: fn() -> usize,
    /// Bytes that were in use before the world: faults that are planned, a world that was made before.
    heap_before: usize,
    /// Is told the time once an hour.
    progress: Box<dyn FnMut(Time)>,
    recovery: Duration,
    counts: Counts,
    emitted: u64,
}

/// Something that is to happen.
enum Event {
    Fault(Planned),
    /// A process of the shard begins; the one before.
    Start(usize, Option<ClientId>),
    /// A handler is done.
    HandlerDone(ClientId),
    /// The application has dealt with something.
    Acknowledge(ClientId),
    /// The gateway has something to dispatch.
    Traffic(usize),
    /// The application stores its session.
    Store(usize),
    /// The machine wakes; its clock has stood still for so long.
    Wake(Duration),
    Calm,
    /// Every shard is to be READY.
    Check,
    NextCycle,
    Hour,
}

impl World {
    /// A world that goes through these cycles, beginning at `start`. Its shards are made with `make`.
    pub fn new(
        setting: Setting,
        start: Time,
        cycles: impl Iterator<Item = Cycle> + 'static,
        make: MakeClient,
    ) -> Self {
        let mut config = Config::default();
        config.token = TOKEN.to_owned();
        config.url = "wss://gateway.world".to_owned();
        config.resume_url = Some("wss://resume.gateway.world".to_owned());
        config.seed = setting.seed;
        config.guilds = setting.shards;
        config.members = 2;
        config.heartbeat_interval = HEARTBEAT_INTERVAL;
        config.max_concurrency = MAX_CONCURRENCY;
        config.ledger = false;
        if setting.user == User::Thorough {
            // A shard that acknowledges late is not to lose its session to a flood.
            config.replay_limit = Some(1000);
        }
        let budget = usize::try_from(config.session_starts).unwrap_or(usize::MAX);
        let watch = Watch::new(Invariants::new(MAX_CONCURRENCY, budget));
        let beginning = Instant::now();
        let gate =
            gate::gate(setting.shards, &SessionStartLimit::default(), beginning + start.since(Time::ZERO));
        let engine = Engine::starting_at(start, config, gate, beginning, watch);
        let mut this = Self {
            setting,
            make,
            engine,
            wall_clock_ahead: 0,
            bots: (0..setting.shards).map(|shard| Bot::new(&setting, shard)).collect(),
            kept: None,
            cycles: Box::new(cycles),
            suspended_until: None,
            rng: Rng::with_seed(!setting.seed),
            heap: || 0,
            heap_before: 0,
            progress: Box::new(|_| {}),
            recovery: RECOVERY,
            counts: Counts::default(),
            emitted: 0,
        };
        this.set_wall_clock();
        this
    }

    /// Writes down everything that happens to one shard.
    #[must_use]
    pub fn with_steps(mut self, shard: u32) -> Self {
        self.engine.observer.write_down(shard);
        self
    }

    /// Measures the heap with this.
    #[must_use]
    pub fn with_heap(mut self, heap: fn() -> usize) -> Self {
        (self.heap, self.heap_before) = (heap, heap());
        self
    }

    /// Tells this what time it is, once in every hour of the world.
    #[must_use]
    pub fn with_progress(mut self, tell: impl FnMut(Time) + 'static) -> Self {
        self.progress = Box::new(tell);
        self
    }

    /// Grants shards so much time after the last fault. Default [`RECOVERY`].
    #[must_use]
    pub fn with_recovery(mut self, time: Duration) -> Self {
        self.recovery = time;
        self
    }

    /// Lets time pass until the last cycle is over, or a rule is broken.
    pub fn run(mut self) -> Outcome {
        let start = self.engine.now();
        for shard in 0..self.bots.len() {
            self.engine.plan(start, Event::Start(shard, None));
            self.engine.plan(start + STORE_EVERY, Event::Store(shard));
            self.plan_traffic(shard);
        }
        self.engine.plan(start, Event::NextCycle);
        self.engine.plan(start + Duration::from_secs(3600), Event::Hour);
        while self.engine.observer.violation().is_none() && self.step() {}
        let shard_hours = (self.engine.now().hours() - start.hours()) * f64::from(self.setting.shards);
        let watch = self.engine.observer;
        let identifies_max_24h = watch.identifies_max_24h();
        let (violation, steps) = watch.into_parts();
        Outcome { violation, shard_hours, identifies_max_24h, counts: self.counts, steps }
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
        let now = self.engine.now();
        match event {
            Event::Fault(planned) => {
                self.counts.faults += 1;
                self.happen(planned);
            }
            Event::Start(shard, before) => self.start(shard, before),
            Event::HandlerDone(id) => self.handler_done(id),
            Event::Acknowledge(id) => self.acknowledge(id),
            Event::Traffic(shard) => {
                self.emit(shard, 1);
                self.plan_traffic(shard);
            }
            Event::Store(shard) => {
                self.store(shard);
                self.engine.plan(now + STORE_EVERY, Event::Store(shard));
            }
            Event::Wake(clock_stood_still) => self.wake(clock_stood_still),
            Event::Calm => self.calm_down(),
            Event::Check => self.check_recovery(),
            Event::NextCycle => return self.next_cycle(),
            Event::Hour => {
                let bytes = (self.heap)().saturating_sub(self.heap_before);
                let shards = self.setting.shards;
                self.observe(0, &Observation::Heap { bytes, shards });
                (self.progress)(now);
                self.engine.plan(now + Duration::from_secs(3600), Event::Hour);
            }
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
        if end.since(calm_from) > self.recovery {
            self.engine.plan(calm_from + self.recovery, Event::Check);
            self.engine.plan(end, Event::Check);
        }
        self.engine.plan(end, Event::NextCycle);
        true
    }

    fn check_recovery(&mut self) {
        let kept_back = SessionStartLimit::default().total / 10;
        let gate = self.engine.gate();
        let starts = gate.remaining(self.engine.client_now()).saturating_sub(kept_back);
        let starts_left = starts as usize > gate.waiting();
        for shard in 0..self.bots.len() {
            let refused = self.bots[shard].refused;
            let client = self.running(shard).filter(|_| !refused).and_then(|id| self.engine.client(id));
            let phase = client.map(|client| client.health().phase);
            self.observe(shard, &Observation::Calm { phase, refused, starts_left });
        }
    }

    fn plan_traffic(&mut self, shard: usize) {
        let mean = 3600.0 / self.setting.profile.events_an_hour();
        let wait = -self.rng.f64().max(1e-12).ln() * mean;
        self.engine.plan(self.engine.now() + Duration::from_secs_f64(wait), Event::Traffic(shard));
    }

    /// The gateway dispatches events to the session that the application is on, connected or not.
    fn emit(&mut self, shard: usize, count: u32) {
        let Some(id) = &self.bots[shard].session_id else { return };
        let Some(session) = self.engine.gateway().session_number(id) else { return };
        for _ in 0..count {
            self.emitted += 1;
            let name = if self.emitted.is_multiple_of(3) { "TYPING_START" } else { "MESSAGE_CREATE" };
            let data = serde_json::json!({"number": self.emitted, "content": "something that somebody said"});
            self.control(Target::Session(session), Control::Event { name: name.to_owned(), data });
        }
    }

    fn control(&mut self, target: Target, control: Control) {
        effect::control(&mut self.engine, target, control);
    }

    fn set_wall_clock(&mut self) {
        let at_beginning = AT_THE_BEGINNING.saturating_add_signed(self.wall_clock_ahead);
        self.engine.set_wall_clock(Some(Duration::from_secs(at_beginning)));
    }

    fn observe(&mut self, shard: usize, what: &Observation<'_>) {
        let now = self.engine.now();
        self.engine.observer.show(now, shard, what);
    }

    fn note(&mut self, sentence: impl FnOnce() -> String) {
        let now = self.engine.now();
        self.engine.observer.note(now, sentence);
    }
}
