//! A shard, a simulated gateway and a network between them, on a clock that jumps from deadline to deadline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ConnectError, Event, Output, ShardConfig};
use gateway_sim::{Config, Control, Target};
use gateway_world::{Chunking, Client, ClientId, Dial, Engine, Happening, Line, MakeClient, Time};

use crate::observation::{ClientAct, Observed, Seen, TraceLine, Wire};
use crate::probe::Probe;
use crate::runner::{Backend, Stall};
use crate::scenario::{ClientAction, DialFault, Network, Setup};

const BASE_HOST: &str = "gateway.test";
const RESUME_HOST: &str = "resume.gateway.test";
/// Longer than any wait of a scenario.
const LONGEST: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// One scenario in memory.
pub(crate) struct Simulation {
    /// The configuration without its session, for a restart.
    config: ShardConfig,
    make: MakeClient,
    engine: Engine,
    shard: ClientId,
    suspended: bool,
    /// How the next connection attempts go; those after them succeed.
    dials: VecDeque<Dial>,
    wire: Wire,
    application: Application,
    acts: VecDeque<Observed<ClientAct>>,
    seen: VecDeque<Observed<Seen>>,
    lines: Vec<TraceLine>,
    has_wall_clock: bool,
}

/// The queue between the shard and the scenario's application.
struct Application {
    /// The capacity for events, if the shard runs in the background.
    capacity: Option<usize>,
    taking: bool,
    waiting: VecDeque<Observed<Seen>>,
    /// Whether so many events are queued that the shard does not read.
    full: bool,
}

impl Simulation {
    /// Prepares a scenario.
    pub(crate) fn new(
        make: MakeClient,
        chunking: Chunking,
        mut config: ShardConfig,
        mut gateway: Config,
        setup: &Setup,
        started: Instant,
    ) -> Result<Self, String> {
        // There is no TLS in memory, but the URL is the same.
        let scheme = if setup.tls { "wss" } else { "ws" };
        let (base_url, capacity) = (format!("{scheme}://{BASE_HOST}"), setup.background);
        config.url = format!("{base_url}{}", config.url);
        gateway.url = base_url;
        gateway.resume_url = Some(format!("{scheme}://{RESUME_HOST}"));
        let client = make(config.clone(), started).map_err(|error| error.to_string())?;
        config.session = None;
        let mut engine = Engine::new(gateway, started);
        engine.cut_bytes(chunking);
        engine.set_wall_clock(setup.wall_clock.then(|| wall_clock(Duration::ZERO, 0)));
        let shard = engine.add(client);
        Ok(Self {
            wire: Wire::new(started, config.encoding),
            config,
            make,
            engine,
            shard,
            suspended: false,
            dials: VecDeque::new(),
            application: Application { capacity, taking: true, waiting: VecDeque::new(), full: false },
            acts: VecDeque::new(),
            seen: VecDeque::new(),
            lines: Vec::new(),
            has_wall_clock: setup.wall_clock,
        })
    }

    /// Performs everything that is due.
    fn settle(&mut self) {
        loop {
            let happening = self.engine.step();
            self.observe();
            match happening {
                Some(Happening::Said(id, Output::Connect(url))) => {
                    let dial = self.dials.pop_front().unwrap_or(Dial::Succeeds);
                    self.engine.dial(id, &url, Line::default(), dial);
                }
                Some(Happening::Said(_, Output::Event(event))) => self.see(Seen::Event(event)),
                Some(Happening::Said(_, Output::Stopped(reason))) => self.see(Seen::Stopped(reason)),
                Some(_) => {}
                None if self.hand_to_application() => {}
                None => return,
            }
            self.hand_to_application();
        }
    }

    /// Moves the time to the next deadline, but not beyond `limit`. Returns false if there is no deadline.
    fn advance(&mut self, limit: Time) -> bool {
        self.settle();
        let next = self.engine.next_time();
        if next == Time::NEVER {
            return false;
        }
        self.engine.advance_to(next.min(limit));
        self.settle();
        next <= limit
    }

    fn see(&mut self, what: Seen) {
        let at = self.now();
        if !matches!(what, Seen::Event(Event::Connected)) {
            self.lines.push(TraceLine { at, text: format!("   = {what}") });
        }
        self.application.waiting.push_back(Observed { at, what });
    }

    fn observe(&mut self) {
        while let Some(record) = self.engine.gateway_mut().poll_record() {
            let (act, line) = self.wire.read(&record);
            self.acts.extend(act);
            self.lines.push(line);
        }
    }

    /// Passes events to the application. Returns false if there were none.
    fn hand_to_application(&mut self) -> bool {
        let application = &mut self.application;
        let mut handed = false;
        if application.taking && !self.suspended {
            handed = !application.waiting.is_empty();
            self.seen.extend(application.waiting.drain(..));
        }
        let full = application.capacity.is_some_and(|capacity| application.waiting.len() >= capacity);
        if application.full != full {
            application.full = full;
            self.engine.set_reading(self.shard, !full);
            handed = true;
        }
        handed
    }

    /// Waits until `queue` contains an item.
    fn next<T>(&mut self, queue: fn(&mut Self) -> &mut VecDeque<T>) -> Result<T, Stall> {
        let limit = Time::ZERO + LONGEST;
        loop {
            if let Some(found) = queue(self).pop_front() {
                return Ok(found);
            }
            self.settle();
            if queue(self).is_empty() && !self.advance(limit) && queue(self).is_empty() {
                return Err(Stall("nothing further happened"));
            }
        }
    }

    fn restart(&mut self, change: fn(&mut ShardConfig)) -> Result<(), String> {
        let session = self.engine.client(self.shard).and_then(Client::session);
        let session = session.map(|session| through_a_file(&session)).transpose()?;
        let mut config = self.config.clone();
        config.session = session;
        change(&mut config);
        let client = (self.make)(config, self.engine.client_now()).map_err(|error| error.to_string())?;
        self.engine.remove(self.shard);
        self.shard = self.engine.add(client);
        Ok(())
    }

    fn shard(&mut self) -> &mut dyn Client {
        self.engine.client_mut(self.shard).expect("a shard is removed where the next one is added")
    }
}

/// The result of a connection attempt with this fault.
fn dial(fault: DialFault) -> Dial {
    Dial::Fails(match fault {
        DialFault::Unreachable | DialFault::SilentTls => return Dial::Hangs,
        DialFault::UnknownName => ConnectError::Dns("no such name".to_owned()),
        DialFault::Refused => ConnectError::Tcp("connection refused".to_owned()),
        DialFault::ResetInTls => ConnectError::Tls("connection reset".to_owned()),
        DialFault::GarbageForTls => ConnectError::Tls("corrupt message".to_owned()),
        DialFault::WrongName => ConnectError::Tls("certificate not valid for name".to_owned()),
        DialFault::Expired => ConnectError::Tls("certificate expired".to_owned()),
        DialFault::UnknownRoot => ConnectError::Tls("unknown issuer".to_owned()),
    })
}

/// The wall clock at this time after the start, if it is this many seconds ahead.
pub(crate) fn wall_clock(time: Duration, ahead: i64) -> Duration {
    let start = Duration::from_secs(1_780_000_000_u64.saturating_add_signed(ahead));
    start + time
}

/// A session after it was written to a file and read from it.
pub(crate) fn through_a_file(session: &SessionSnapshot) -> Result<SessionSnapshot, String> {
    let text = serde_json::to_string(session).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

impl Backend for Simulation {
    fn next_act(&mut self) -> Result<Observed<ClientAct>, Stall> {
        self.next(|this| &mut this.acts)
    }

    fn next_seen(&mut self) -> Result<Observed<Seen>, Stall> {
        self.next(|this| &mut this.seen)
    }

    fn all_connections_end(&mut self) -> bool {
        self.settle();
        self.engine.gateway().connections().next().is_none()
    }

    fn untaken_acts(&mut self) -> Vec<Observed<ClientAct>> {
        self.settle();
        self.acts.drain(..).collect()
    }

    fn control(&mut self, control: Control) -> Result<(), String> {
        // Takes effect at the next step: a command must not start a shard that has not started.
        self.engine.control(Target::All, control).map_err(|error| error.to_string())
    }

    fn act(&mut self, action: &ClientAction) -> Result<(), String> {
        self.settle();
        match action {
            ClientAction::Send(command) => {
                self.shard().send(command.clone()).map_err(|error| error.to_string())?;
            }
            ClientAction::SendMany(command, count) => {
                for _ in 0..*count {
                    self.shard().send(command.clone()).map_err(|error| error.to_string())?;
                }
            }
            ClientAction::SendRefused(command, expected) => {
                refused(self.shard().send(command.clone()), expected)?;
            }
            ClientAction::Shutdown(how) => self.shard().shutdown(*how),
            ClientAction::Reconnect(how) => self.shard().reconnect(*how),
            ClientAction::StopTaking => self.application.taking = false,
            ClientAction::TakeAgain => self.application.taking = true,
            ClientAction::Suspend => {
                self.suspended = true;
                self.engine.suspend();
            }
            ClientAction::WakeUp => {
                self.suspended = false;
                self.engine.resume(Duration::ZERO);
            }
            ClientAction::Acknowledge(sequence) => {
                self.shard().ack(*sequence).map_err(|error| error.to_string())?;
            }
            ClientAction::SetWallClock(ahead) => {
                self.engine.set_wall_clock(self.has_wall_clock.then(|| wall_clock(Duration::ZERO, *ahead)));
            }
            ClientAction::Restart(change) => self.restart(*change)?,
        }
        // Commands and requests take effect at the next input.
        if !self.suspended && self.engine.stopped(self.shard).is_none() {
            self.engine.tell_time(self.shard);
        }
        self.settle();
        Ok(())
    }

    fn network(&mut self, network: Network) {
        match network {
            Network::Dials(fault, count) => self.dials.extend((0..count).map(|_| dial(fault))),
            Network::StopWrites => {
                if let Some(link) = self.engine.link_mut(self.shard) {
                    link.block_writes();
                }
            }
        }
    }

    fn elapse(&mut self, time: Duration) {
        let limit = self.engine.now() + time;
        while self.advance(limit) {}
        self.engine.advance_to(limit);
        self.settle();
    }

    fn becomes_true(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool {
        self.settle();
        self.probe().as_ref().is_some_and(test)
    }

    fn now(&self) -> Duration {
        self.engine.now().since(Time::ZERO)
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn probe(&mut self) -> Option<Probe> {
        let shard = self.engine.client(self.shard)?;
        Some(Probe { health: shard.health(), stats: shard.stats().clone(), session: shard.session() })
    }

    fn trace(&self) -> Vec<TraceLine> {
        self.lines.clone()
    }
}

/// Checks that a command was refused with the expected error.
pub(crate) fn refused(
    result: Result<(), gateway_driver::proto::command::SendError>,
    expected: &crate::scenario::Expectation<gateway_driver::proto::command::SendError>,
) -> Result<(), String> {
    match result {
        Err(error) if expected.is_met_by(&error) => Ok(()),
        Err(error) => Err(format!("the command was refused with {error:?}, but should be {}", expected.text)),
        Ok(()) => Err(format!("the command was accepted, but should be refused with {}", expected.text)),
    }
}
