//! A shard, a simulated gateway and a network between them, on a clock that jumps from deadline to deadline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::raw::{Input, Output};
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ConnectError, Event, ShardConfig};
use gateway_sim::{Config, Control, Gateway, Target};
use gateway_world::{ByteClient, Chunking, Dial, Moved, Pair};

use crate::observation::{ClientAct, Observed, Seen, TraceLine, Wire};
use crate::probe::Probe;
use crate::runner::{Backend, Stall};
use crate::scenario::{ClientAction, DialFault, Network, Setup};

const BASE_HOST: &str = "gateway.test";
const RESUME_HOST: &str = "resume.gateway.test";
/// Longer than any wait of a scenario.
const LONGEST: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Builds a shard.
pub(crate) type MakeClient = fn(ShardConfig, Instant) -> Result<Box<dyn ByteClient>, ConfigError>;

/// One scenario in memory.
pub(crate) struct Simulation {
    started: Instant,
    /// The configuration without its session, for a restart.
    config: ShardConfig,
    make: MakeClient,
    pair: Pair,
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
}

impl Simulation {
    /// A scenario at its beginning.
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
        let mut pair = Pair::new(client, config.shard, Gateway::new(gateway, started), chunking, started);
        pair.wall_clock = setup.wall_clock.then(|| wall_clock(Duration::ZERO, 0));
        Ok(Self {
            started,
            wire: Wire::new(started, config.encoding),
            config,
            make,
            pair,
            application: Application { capacity, taking: true, waiting: VecDeque::new() },
            acts: VecDeque::new(),
            seen: VecDeque::new(),
            lines: Vec::new(),
            has_wall_clock: setup.wall_clock,
        })
    }

    /// Does everything that is due.
    fn settle(&mut self) {
        loop {
            let moved = self.pair.step();
            self.observe();
            match moved {
                Moved::Said(Output::Event(event)) => self.see(Seen::Event(event)),
                Moved::Said(Output::Stopped(reason)) => self.see(Seen::Stopped(reason)),
                Moved::Said(_) | Moved::Carried => {}
                Moved::Nothing => {
                    let handed = self.hand_to_application();
                    if !self.pair.tell_time_if_due() && !handed {
                        return;
                    }
                    continue;
                }
            }
            self.hand_to_application();
        }
    }

    /// Moves the time to the next deadline, but not beyond `limit`. Returns false if there is no deadline.
    fn advance(&mut self, limit: Instant) -> bool {
        self.settle();
        let Some(next) = self.pair.next_event() else { return false };
        self.pair.advance_to(next.min(limit));
        self.settle();
        next <= limit
    }

    fn see(&mut self, what: Seen) {
        let at = self.pair.elapsed();
        if !matches!(what, Seen::Event(Event::Connected)) {
            self.lines.push(TraceLine { at, text: format!("   = {what}") });
        }
        self.application.waiting.push_back(Observed { at, what });
    }

    fn observe(&mut self) {
        while let Some(record) = self.pair.gateway.poll_record() {
            let (act, line) = self.wire.read(&record);
            self.acts.extend(act);
            self.lines.push(line);
        }
    }

    /// Passes events to the application. Returns false if there were none.
    fn hand_to_application(&mut self) -> bool {
        let application = &mut self.application;
        let mut handed = false;
        if application.taking && !self.pair.suspended {
            handed = !application.waiting.is_empty();
            self.seen.extend(application.waiting.drain(..));
        }
        let full = application.capacity.is_some_and(|capacity| application.waiting.len() >= capacity);
        if self.pair.reading == full {
            self.pair.reading = !full;
            let input = if full { Input::ReadingPaused } else { Input::ReadingResumed };
            self.pair.client.handle_input(input, self.pair.now());
            handed = true;
        }
        handed
    }

    fn restart(&mut self, change: fn(&mut ShardConfig)) -> Result<(), String> {
        let session = self.pair.client.session().map(|session| through_a_file(&session)).transpose()?;
        let mut config = self.config.clone();
        config.session = session;
        change(&mut config);
        let shard = config.shard;
        let client = (self.make)(config, self.pair.now()).map_err(|error| error.to_string())?;
        self.pair.restart(client, shard);
        Ok(())
    }

    fn current(&self) -> Probe {
        let client = &self.pair.client;
        Probe { health: client.health(), stats: client.stats().clone(), session: client.session() }
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
        let limit = self.started + LONGEST;
        loop {
            if let Some(act) = self.acts.pop_front() {
                return Ok(act);
            }
            self.settle();
            if self.acts.is_empty() && !self.advance(limit) && self.acts.is_empty() {
                return Err(Stall("nothing more happened"));
            }
        }
    }

    fn next_seen(&mut self) -> Result<Observed<Seen>, Stall> {
        let limit = self.started + LONGEST;
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Ok(seen);
            }
            self.settle();
            if self.seen.is_empty() && !self.advance(limit) && self.seen.is_empty() {
                return Err(Stall("nothing more happened"));
            }
        }
    }

    fn all_connections_end(&mut self) -> bool {
        self.settle();
        self.pair.gateway.connections().next().is_none()
    }

    fn seen_but_not_asked_for(&mut self) -> Vec<Observed<ClientAct>> {
        self.settle();
        self.acts.drain(..).collect()
    }

    fn control(&mut self, control: Control) -> Result<(), String> {
        // Takes effect at the next step: a shard that has not begun must not begin by this.
        self.pair
            .gateway
            .control(Target::All, control, self.pair.now())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn act(&mut self, action: &ClientAction) -> Result<(), String> {
        self.settle();
        match action {
            ClientAction::Send(command) => {
                self.pair.client.send(command.clone()).map_err(|error| error.to_string())?;
            }
            ClientAction::SendMany(command, count) => {
                for _ in 0..*count {
                    self.pair.client.send(command.clone()).map_err(|error| error.to_string())?;
                }
            }
            ClientAction::SendInVain(command, expected) => {
                refused(self.pair.client.send(command.clone()), expected)?;
            }
            ClientAction::Shutdown(how) => self.pair.client.shutdown(*how),
            ClientAction::Reconnect(how) => self.pair.client.reconnect(*how),
            ClientAction::StopTaking => self.application.taking = false,
            ClientAction::TakeAgain => self.application.taking = true,
            ClientAction::Suspend => self.pair.suspended = true,
            ClientAction::WakeUp => self.pair.suspended = false,
            ClientAction::Acknowledge(sequence) => {
                self.pair.client.ack(*sequence).map_err(|error| error.to_string())?;
            }
            ClientAction::SetWallClock(ahead) => {
                self.pair.wall_clock = self.has_wall_clock.then(|| wall_clock(Duration::ZERO, *ahead));
            }
            ClientAction::Restart(change) => self.restart(*change)?,
        }
        // Commands and requests take effect at the next input.
        if !self.pair.suspended && self.pair.stopped().is_none() {
            self.pair.tell_time();
        }
        self.settle();
        Ok(())
    }

    fn network(&mut self, network: Network) {
        match network {
            Network::Dials(fault, count) => (0..count).for_each(|_| self.pair.plan_dial(dial(fault))),
            Network::StopWrites => self.pair.block_writes(),
        }
    }

    fn elapse(&mut self, time: Duration) {
        let limit = self.pair.now() + time;
        while self.advance(limit) {}
        self.pair.advance_to(limit);
        self.settle();
    }

    fn comes_to_hold(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool {
        self.settle();
        test(&self.current())
    }

    fn now(&self) -> Duration {
        self.pair.elapsed()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn probe(&mut self) -> Option<Probe> {
        Some(self.current())
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
        Err(error) => {
            Err(format!("the command was refused with {error:?}, where it should be {}", expected.text))
        }
        Ok(()) => Err(format!("the command was accepted, where it should be refused with {}", expected.text)),
    }
}
