//! The world: shards, a network and a gateway under one virtual clock.

mod application;
mod driver;
mod gate;
mod happening;
mod server;

pub(crate) use happening::rule;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use gateway_proto::config::Delivery;
use gateway_proto::identify::{IdentifyQueue, SessionStartLimit, Ticket};
use gateway_proto::{Compression, Encoding, ShardId};
use gateway_sim::{Config, ConnectionId, Gateway};

use crate::client::Client;
use crate::fault::Planned;
use crate::invariants::Invariants;
use crate::link::{Down, Link, LinkId, Up};
use crate::machine::Machine;
use crate::observation::{Observation, Violation};
use crate::plan::{Cycle, Setting, User};
use crate::queue::Queue;
use crate::time::{Clock, Time};
use crate::watch::Watch;

/// So long after the last fault every shard must be READY.
///
/// It may wait up to ten minutes before it connects, once to resume and once more to identify, notice within two
/// minutes that its connection is dead, and stand in the queue behind all others. An Identify that the gateway has lost is
/// waited for for ten minutes.
pub const RECOVERY: Duration = Duration::from_secs(30 * 60);
/// [`Timeouts::ready_at_most`](gateway_proto::config::Timeouts::ready_at_most) in the world.
pub(crate) const READY_AT_MOST: Duration = Duration::from_secs(600);
/// The same as [`RECOVERY`] for shards with the default timeouts: 80 minutes, because they sit out an outage of an hour that
/// acknowledges heartbeats and answers no Identify.
pub const RECOVERY_BY_DEFAULT: Duration = Duration::from_secs(30 * 60 + 3600 - 600);
/// `max_concurrency` of the gateway and of the gate.
const MAX_CONCURRENCY: u32 = 1;
/// How often the application stores its session.
const STORE_EVERY: Duration = Duration::from_secs(600);
/// What every connection has an interval of, unless a fault changes it.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);
const TOKEN: &str = "the-token-of-the-world";

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
pub struct World<M> {
    setting: Setting,
    /// The gateway's clock.
    clock: Clock,
    /// The clock of the machine that the shards run on.
    client_clock: Clock,
    /// How far its wall clock has been set ahead, in seconds.
    wall_clock_ahead: i64,
    now: Time,
    queue: Queue<Event>,
    gateway: Gateway,
    gate: IdentifyQueue,
    /// What the gate has kept for the case that its process is killed.
    kept: Option<gate::Kept>,
    tickets: BTreeMap<Ticket, usize>,
    /// When the gate has a permit to give. None: it is to be asked.
    permit_at: Option<Time>,
    links: BTreeMap<LinkId, Link>,
    link_count: LinkId,
    by_connection: BTreeMap<ConnectionId, LinkId>,
    clients: Vec<Client<M>>,
    cycles: Box<dyn Iterator<Item = Cycle>>,
    /// What is still to go wrong in this cycle, the next one last.
    faults: Vec<Planned>,
    calm_from: Time,
    cycle_end: Time,
    /// The machine is suspended.
    suspended_until: Option<Time>,
    rng: Rng,
    watch: Watch,
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
    /// Something arrives at the gateway, sent at this time.
    Up(LinkId, Up, Time),
    Down(LinkId, Down),
    /// Both ends of a connection learn that it is lost.
    Lost(LinkId),
    /// The operating system of the gateway gives up a connection whose other end is silent.
    GivenUp(LinkId),
    /// A shard is to be driven.
    Timer(usize),
    /// A process begins; the number of the one before.
    Start(usize, u32),
    /// A handler is done.
    HandlerDone(usize, u32),
    /// The application has dealt with something.
    Acknowledge(usize, u32),
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

impl<M: Machine> World<M> {
    /// A world that goes through these cycles, beginning at `start`.
    pub fn new(setting: Setting, start: Time, cycles: impl Iterator<Item = Cycle> + 'static) -> Self {
        let clock = Clock::start();
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
            // Whoever acknowledges late is not to lose his session to a flood.
            config.replay_limit = Some(1000);
        }
        let budget = usize::try_from(config.session_starts).unwrap_or(usize::MAX);
        let gateway = Gateway::new(config, clock.instant(start));
        let gate = gate::gate(setting.shards, clock.instant(start));
        let clients = (0..setting.shards).map(|shard| client(&setting, shard)).collect();
        Self {
            setting,
            clock,
            client_clock: clock,
            wall_clock_ahead: 0,
            now: start,
            queue: Queue::new(),
            gateway,
            gate,
            kept: None,
            tickets: BTreeMap::new(),
            permit_at: None,
            links: BTreeMap::new(),
            link_count: 0,
            by_connection: BTreeMap::new(),
            clients,
            cycles: Box::new(cycles),
            faults: Vec::new(),
            calm_from: start,
            cycle_end: start,
            suspended_until: None,
            rng: Rng::with_seed(!setting.seed),
            watch: Watch::new(Invariants::new(setting.shards, MAX_CONCURRENCY, budget)),
            heap: || 0,
            heap_before: 0,
            progress: Box::new(|_| {}),
            recovery: RECOVERY,
            counts: Counts::default(),
            emitted: 0,
        }
    }

    /// Writes down everything that happens to one shard.
    #[must_use]
    pub fn with_steps(mut self, shard: u32) -> Self {
        self.watch.write_down(shard);
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
        let start = self.now;
        for shard in 0..self.clients.len() {
            let process = self.clients[shard].process;
            self.queue.push(start, Event::Start(shard, process));
            self.queue.push(start + STORE_EVERY, Event::Store(shard));
            self.plan_traffic(shard);
        }
        self.queue.push(start, Event::NextCycle);
        self.queue.push(start + Duration::from_secs(3600), Event::Hour);
        while self.watch.violation().is_none() && self.step() {}
        let shard_hours = (self.now.hours() - start.hours()) * f64::from(self.setting.shards);
        let identifies_max_24h = self.watch.identifies_max_24h();
        let (violation, steps) = self.watch.into_parts();
        Outcome { violation, shard_hours, identifies_max_24h, counts: self.counts, steps }
    }

    /// The next thing that happens. False: there is nothing more to come.
    fn step(&mut self) -> bool {
        let queue = self.queue.next();
        let gateway = self.gateway.poll_timeout().map_or(Time::NEVER, |at| self.clock.time(at));
        let gate = self.next_permit();
        let fault = self.faults.last().map_or(Time::NEVER, |planned| planned.at);
        let next = queue.min(gateway).min(gate).min(fault);
        if next > self.cycle_end && self.now >= self.cycle_end && queue > self.cycle_end {
            return false;
        }
        self.now = self.now.max(next);
        if fault == next {
            if let Some(planned) = self.faults.pop() {
                self.counts.faults += 1;
                self.happen(planned);
            }
        } else if gateway == next {
            self.gateway.handle_timeout(self.clock.instant(self.now));
        } else if gate == next {
            self.grant_permits();
        } else if let Some(event) = self.queue.pop()
            && !self.take(event)
        {
            return false;
        }
        self.flush_gateway();
        true
    }

    /// False: the world is over.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Up(link, what, sent) => self.arrive_up(link, what, sent),
            Event::Down(link, what) => self.arrive_down(link, what),
            Event::Lost(link) => self.lost(link),
            Event::GivenUp(link) => self.given_up(link),
            Event::Timer(shard) => self.timer(shard),
            Event::Start(shard, process) => self.start(shard, process),
            Event::HandlerDone(shard, process) => self.handler_done(shard, process),
            Event::Acknowledge(shard, process) => self.acknowledge(shard, process),
            Event::Traffic(shard) => {
                self.emit(shard, 1);
                self.plan_traffic(shard);
            }
            Event::Store(shard) => {
                self.store(shard);
                self.queue.push(self.now + STORE_EVERY, Event::Store(shard));
            }
            Event::Wake(clock_stood_still) => self.wake(clock_stood_still),
            Event::Calm => self.calm_down(),
            Event::Check => self.check_recovery(),
            Event::NextCycle => return self.next_cycle(),
            Event::Hour => {
                let bytes = (self.heap)().saturating_sub(self.heap_before);
                let shards = self.setting.shards;
                self.watch.observe(self.now, 0, &Observation::Heap { bytes, shards });
                (self.progress)(self.now);
                self.queue.push(self.now + Duration::from_secs(3600), Event::Hour);
            }
        }
        true
    }

    fn next_cycle(&mut self) -> bool {
        let Some(cycle) = self.cycles.next() else { return false };
        self.faults = cycle.faults;
        self.faults.reverse();
        (self.calm_from, self.cycle_end) = (cycle.calm_from, cycle.end);
        self.queue.push(cycle.calm_from, Event::Calm);
        if cycle.end.since(cycle.calm_from) > self.recovery {
            self.queue.push(cycle.calm_from + self.recovery, Event::Check);
            self.queue.push(cycle.end, Event::Check);
        }
        self.queue.push(cycle.end, Event::NextCycle);
        true
    }

    fn check_recovery(&mut self) {
        let kept_back = SessionStartLimit::default().total / 10;
        let starts = self.gate.remaining(self.client_clock.instant(self.now)).saturating_sub(kept_back);
        let starts_left = starts as usize > self.gate.waiting();
        for shard in 0..self.clients.len() {
            let client = &self.clients[shard];
            let phase = match &client.machine {
                Some(machine) if !client.refused => Some(machine.phase()),
                _ => None,
            };
            let refused = client.refused;
            self.watch.observe(self.now, shard, &Observation::Calm { phase, refused, starts_left });
        }
    }

    fn plan_traffic(&mut self, shard: usize) {
        let mean = 3600.0 / self.setting.profile.events_an_hour();
        let wait = -self.rng.f64().max(1e-12).ln() * mean;
        self.queue.push(self.now + Duration::from_secs_f64(wait), Event::Traffic(shard));
    }

    fn next_permit(&mut self) -> Time {
        if self.suspended_until.is_some() {
            return Time::NEVER;
        }
        let (clock, now) = (self.client_clock, self.now);
        let ask = || self.gate.next_deadline(clock.instant(now)).map_or(Time::NEVER, |at| clock.time(at));
        (*self.permit_at.get_or_insert_with(ask)).max(now)
    }
}

/// Every way to write and to compress has its shards.
fn client<M>(setting: &Setting, shard: u32) -> Client<M> {
    const WAYS: [(Encoding, Compression); 8] = [
        (Encoding::Json, Compression::None),
        (Encoding::Json, Compression::ZstdStream),
        (Encoding::Json, Compression::None),
        (Encoding::Etf, Compression::None),
        (Encoding::Json, Compression::ZlibStream),
        (Encoding::Json, Compression::Payload),
        (Encoding::Etf, Compression::ZstdStream),
        (Encoding::Etf, Compression::ZlibStream),
    ];
    let (encoding, compression) = WAYS[shard as usize % WAYS.len()];
    let id = ShardId::new(shard, setting.shards).expect("the shards are counted from 0 up to their number");
    let seed = setting.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ u64::from(shard);
    let acknowledges = setting.user == User::Thorough && shard % 2 == 1;
    let delivery = if acknowledges { Delivery::Acknowledged } else { Delivery::Received };
    Client::new(id, encoding, compression, delivery, seed)
}
