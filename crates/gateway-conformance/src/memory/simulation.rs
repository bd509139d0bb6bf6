//! A shard, a simulated gateway and a network between them, on a clock that jumps from deadline to deadline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_driver::proto::identify::{IdentifyOutput, IdentifyQueue, Ticket};
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{ConnectError, Event, GatewayUrl, ShardConfig, ShardId};
use gateway_sim::{ClientMessage, Config, ConnectionId, Control, Gateway, Target};

use super::client::{Act, Client, News, Order};
use super::server_bytes::{Delivery, Sending};
use crate::observation::{ClientAct, Observed, Seen, TraceLine, Wire};
use crate::probe::Probe;
use crate::runner::{Stall, Way};
use crate::scenario::{Deed, DialFault, Network, Setup};

const BASE_HOST: &str = "gateway.test";
const RESUME_HOST: &str = "resume.gateway.test";
/// Longer than anything a scenario waits for.
const LONGEST: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// One scenario in memory.
pub(crate) struct Simulation<C> {
    started: Instant,
    now: Instant,
    /// The configuration without its session, for a restart.
    config: ShardConfig,
    client: C,
    deadline: Instant,
    stopped: bool,
    gateway: Gateway,
    wire: Wire,
    gate: IdentifyQueue,
    ticket: Option<Ticket>,
    shard: ShardId,
    /// The faults of the connections to come.
    dials: VecDeque<DialFault>,
    /// The stream under way.
    stream: Stream,
    application: Application,
    acts: VecDeque<Observed<ClientAct>>,
    seen: VecDeque<Observed<Seen>>,
    lines: Vec<TraceLine>,
    /// Seconds that the wall clock is ahead of the true time.
    wall_offset: i64,
    has_wall_clock: bool,
}

/// The byte stream between client and server.
#[derive(Default)]
struct Stream {
    url: Option<GatewayUrl>,
    connection: Option<ConnectionId>,
    sending: Sending,
    /// On their way to the client.
    deliveries: VecDeque<Delivery>,
    /// Nothing is delivered before.
    held_until: Option<Instant>,
}

/// What stands between the shard and the scenario's application.
struct Application {
    /// How many events may wait, if the shard runs in the background.
    capacity: Option<usize>,
    taking: bool,
    suspended: bool,
    waiting: VecDeque<Observed<Seen>>,
    reading: bool,
}

impl<C: Client> Simulation<C> {
    /// A scenario that begins.
    pub(crate) fn new(
        mut config: ShardConfig,
        mut gateway: Config,
        setup: &Setup,
        started: Instant,
    ) -> Result<Self, String> {
        // There is no TLS in memory, but what is asked for is the same.
        let scheme = if setup.tls { "wss" } else { "ws" };
        let (base_url, capacity) = (format!("{scheme}://{BASE_HOST}"), setup.background);
        config.url = format!("{base_url}{}", config.url);
        gateway.url = base_url;
        gateway.resume_url = Some(format!("{scheme}://{RESUME_HOST}"));
        let client = C::new(config.clone(), started).map_err(|error| error.to_string())?;
        config.session = None;
        Ok(Self {
            started,
            now: started,
            wire: Wire::new(started, config.encoding),
            shard: config.shard,
            config,
            client,
            deadline: started,
            stopped: false,
            gateway: Gateway::new(gateway, started),
            gate: IdentifyQueue::new(1),
            ticket: None,
            dials: VecDeque::new(),
            stream: Stream::default(),
            application: Application {
                capacity,
                taking: true,
                suspended: false,
                waiting: VecDeque::new(),
                reading: true,
            },
            acts: VecDeque::new(),
            seen: VecDeque::new(),
            lines: Vec::new(),
            wall_offset: 0,
            has_wall_clock: setup.wall_clock,
        })
    }

    /// Does all there is to do at this moment.
    fn settle(&mut self) {
        loop {
            let mut idle = self.follow_orders();
            idle &= self.carry_to_client();
            idle &= self.deliver();
            idle &= self.grant();
            idle &= self.hand_to_application();
            if !self.application.suspended && !self.stopped && self.deadline <= self.now {
                self.tell_the_time();
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    fn tell_the_time(&mut self) {
        if self.has_wall_clock {
            let wall = wall_clock(self.now - self.started, self.wall_offset);
            self.client.tell(News::WallClock(wall), self.now);
        }
        self.client.tell(News::Timeout, self.now);
    }

    /// Lets time pass up to the next deadline, but not beyond `limit`. False if nothing will ever happen.
    fn advance(&mut self, limit: Instant) -> bool {
        self.settle();
        let own = [
            (!self.stopped && !self.application.suspended).then_some(self.deadline),
            self.gateway.poll_timeout(),
            self.stream.held_until,
            self.ticket.and_then(|_| self.gate.next_deadline(self.now)),
        ];
        let Some(next) = own.into_iter().flatten().min() else { return false };
        self.now = self.now.max(next.min(limit));
        self.gateway.handle_timeout(self.now);
        self.settle();
        next <= limit
    }

    fn follow_orders(&mut self) -> bool {
        if self.application.suspended {
            return true;
        }
        let mut idle = true;
        loop {
            match self.client.poll() {
                Order::Timeout(deadline) => {
                    self.deadline = deadline;
                    return idle;
                }
                Order::Stopped(_) if self.stopped => return idle,
                Order::Stopped(reason) => {
                    self.stopped = true;
                    self.hang_up();
                    self.see(Seen::Stopped(reason));
                }
                Order::Connect(url) => self.dial(url),
                Order::AcquireIdentify => self.ticket = Some(self.gate.request(self.shard)),
                Order::CancelIdentify => {
                    if let Some(ticket) = self.ticket.take() {
                        self.gate.cancel(ticket);
                    }
                }
                Order::Event(event) => self.see(Seen::Event(event)),
                Order::Act(act) => self.carry_to_server(act),
                Order::Disconnect => self.hang_up(),
            }
            idle = false;
        }
    }

    fn see(&mut self, what: Seen) {
        let at = self.now - self.started;
        if !matches!(what, Seen::Event(Event::Connected)) {
            self.lines.push(TraceLine { at, text: format!("   = {what}") });
        }
        self.application.waiting.push_back(Observed { at, what });
    }

    // ---- The network ---------------------------------------------------------------------------------------------------

    fn dial(&mut self, url: GatewayUrl) {
        self.hang_up();
        self.stream.url = Some(url);
        let error = match self.dials.pop_front() {
            None => return self.client.tell(News::StreamOpen, self.now),
            Some(DialFault::Unreachable | DialFault::SilentTls) => return,
            Some(DialFault::UnknownName) => ConnectError::Dns("no such name".to_owned()),
            Some(DialFault::Refused) => ConnectError::Tcp("connection refused".to_owned()),
            Some(DialFault::ResetInTls) => ConnectError::Tls("connection reset".to_owned()),
            Some(DialFault::GarbageForTls) => ConnectError::Tls("corrupt message".to_owned()),
            Some(DialFault::WrongName) => ConnectError::Tls("certificate not valid for name".to_owned()),
            Some(DialFault::Expired) => ConnectError::Tls("certificate expired".to_owned()),
            Some(DialFault::UnknownRoot) => ConnectError::Tls("unknown issuer".to_owned()),
        };
        self.client.tell(News::ConnectFailed(error), self.now);
    }

    fn carry_to_server(&mut self, act: Act) {
        if let Act::Opens { target, key } = act {
            return self.open(&target, key);
        }
        let Some(id) = self.stream.connection else { return };
        let text;
        let message = match &act {
            Act::Text(bytes) => {
                text = String::from_utf8_lossy(bytes).into_owned();
                ClientMessage::Text(&text)
            }
            Act::Binary(bytes) => ClientMessage::Binary(bytes),
            Act::Closes(code) => ClientMessage::Close(*code),
            Act::Pong => ClientMessage::Pong,
            Act::Opens { .. } => return,
        };
        self.gateway.receive(id, message, self.now);
        self.observe();
    }

    fn open(&mut self, target: &str, key: String) {
        // At the address for Resume the gateway sees the whole URL.
        let url = self.stream.url.as_ref().map(GatewayUrl::expose).unwrap_or_default();
        let resume_url = self.gateway.config().resume_url.as_ref();
        let is_for_resume = resume_url.is_some_and(|resume_url| url.starts_with(resume_url));
        let target = if is_for_resume { url.as_str() } else { target };
        self.stream.sending = Sending::new(key);
        self.stream.connection = Some(self.gateway.open(target, self.now));
        self.observe();
    }

    fn hang_up(&mut self) {
        if let Some(id) = self.stream.connection.take() {
            self.gateway.receive(id, ClientMessage::Gone, self.now);
            self.observe();
        }
        self.stream = Stream::default();
    }

    fn carry_to_client(&mut self) -> bool {
        let mut idle = true;
        while let Some((id, output)) = self.gateway.poll_output() {
            idle = false;
            if Some(id) == self.stream.connection {
                let deliveries = self.stream.sending.deliveries(output);
                self.stream.deliveries.extend(deliveries);
            }
        }
        self.observe();
        idle
    }

    /// Gives the client one thing that has come.
    fn deliver(&mut self) -> bool {
        if self.application.suspended || !self.application.reading {
            return true;
        }
        if self.stream.held_until.is_some_and(|until| until > self.now) {
            return true;
        }
        self.stream.held_until = None;
        let news = match self.stream.deliveries.pop_front() {
            None => return true,
            Some(Delivery::Wait(time)) => {
                self.stream.held_until = Some(self.now + time);
                return false;
            }
            Some(Delivery::Bytes(bytes)) => News::Bytes(bytes),
            Some(Delivery::End) => News::End,
            Some(Delivery::Reset) => News::Reset,
        };
        self.client.tell(news, self.now);
        false
    }

    fn observe(&mut self) {
        while let Some(record) = self.gateway.poll_record() {
            let (act, line) = self.wire.read(&record);
            self.acts.extend(act);
            self.lines.push(line);
        }
    }

    fn grant(&mut self) -> bool {
        if self.application.suspended || self.ticket.is_none() {
            return true;
        }
        match self.gate.poll_output(self.now) {
            Some(IdentifyOutput::Granted(granted)) if Some(granted) == self.ticket => {
                self.ticket = None;
                self.client.tell(News::IdentifyGranted, self.now);
                false
            }
            _ => true,
        }
    }

    // ---- The application -----------------------------------------------------------------------------------------------

    fn hand_to_application(&mut self) -> bool {
        let application = &mut self.application;
        let mut idle = true;
        if application.taking && !application.suspended {
            idle = application.waiting.is_empty();
            self.seen.extend(application.waiting.drain(..));
        }
        let full = application.capacity.is_some_and(|capacity| application.waiting.len() >= capacity);
        if application.reading == full {
            application.reading = !full;
            let news = if full { News::ReadingPaused } else { News::ReadingResumed };
            self.client.tell(news, self.now);
            idle = false;
        }
        idle
    }

    fn restart(&mut self, change: fn(&mut ShardConfig)) -> Result<(), String> {
        let session = self.client.probe().session.map(|session| through_a_file(&session)).transpose()?;
        let mut config = self.config.clone();
        config.session = session;
        change(&mut config);
        self.shard = config.shard;
        self.client = C::new(config, self.now).map_err(|error| error.to_string())?;
        (self.stopped, self.deadline) = (false, self.now);
        Ok(())
    }
}

/// The wall clock so long after the start, if it is so many seconds ahead.
pub(crate) fn wall_clock(time: Duration, ahead: i64) -> Duration {
    let start = Duration::from_secs(1_780_000_000_u64.saturating_add_signed(ahead));
    start + time
}

/// A session as it is after it was written to a file and read from it.
pub(crate) fn through_a_file(session: &SessionSnapshot) -> Result<SessionSnapshot, String> {
    let text = serde_json::to_string(session).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

impl<C: Client> Way for Simulation<C> {
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
        self.gateway.connections().next().is_none()
    }

    fn seen_but_not_asked_for(&mut self) -> Vec<Observed<ClientAct>> {
        self.settle();
        self.acts.drain(..).collect()
    }

    fn control(&mut self, control: Control) -> Result<(), String> {
        // What comes of it is carried when somebody waits for it: a shard that has not begun must not begin by this.
        self.gateway.control(Target::All, control, self.now).map(drop).map_err(|error| error.to_string())
    }

    fn act(&mut self, deed: &Deed) -> Result<(), String> {
        self.settle();
        match deed {
            Deed::Send(command) => self.client.send(command.clone()).map_err(|error| error.to_string())?,
            Deed::SendMany(command, count) => {
                for _ in 0..*count {
                    self.client.send(command.clone()).map_err(|error| error.to_string())?;
                }
            }
            Deed::SendInVain(command, expected) => refused(self.client.send(command.clone()), expected)?,
            Deed::Shutdown(how) => self.client.shutdown(*how),
            Deed::Reconnect(how) => self.client.reconnect(*how),
            Deed::StopTaking => self.application.taking = false,
            Deed::TakeAgain => self.application.taking = true,
            Deed::Suspend => self.application.suspended = true,
            Deed::WakeUp => self.application.suspended = false,
            Deed::Acknowledge(sequence) => self.client.ack(*sequence).map_err(|error| error.to_string())?,
            Deed::SetWallClock(ahead) => self.wall_offset = *ahead,
            Deed::Restart(change) => self.restart(*change)?,
        }
        // Commands and requests are taken up at the next input.
        if !self.application.suspended && !self.stopped {
            self.tell_the_time();
        }
        self.settle();
        Ok(())
    }

    fn network(&mut self, network: Network) {
        match network {
            Network::Dials(fault, count) => self.dials.extend((0..count).map(|_| fault)),
            Network::StopWrites => self.client.stop_writes(),
        }
    }

    fn elapse(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.advance(limit) {}
        self.now = limit;
        self.gateway.handle_timeout(limit);
        self.settle();
    }

    fn comes_to_hold(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool {
        self.settle();
        test(&self.client.probe())
    }

    fn now(&self) -> Duration {
        self.now - self.started
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn probe(&mut self) -> Option<Probe> {
        Some(self.client.probe())
    }

    fn trace(&self) -> Vec<TraceLine> {
        self.lines.clone()
    }
}

/// Checks that a command was refused as it should be.
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
