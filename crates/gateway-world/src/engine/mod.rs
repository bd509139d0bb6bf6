//! One gateway, one identify gate and any number of clients, on one virtual clock: whatever happens, happens in here, one
//! thing at a time. What goes wrong is put into it from outside.

mod client_id;
mod link;
mod network;
mod observer;
mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use gateway_proto::identify::{IdentifyOutput, IdentifyQueue, IdentifySnapshot, Ticket};
use gateway_proto::{Closed, ConnectError, GatewayUrl, Input, Output, StopReason};
use gateway_sim::{About, ByteConnection, Config, ConnectionId, Control, ControlError, Gateway, Target};

use crate::client::Client;
use crate::observation::Observation;
use crate::time::{Clock, Time};
pub use client_id::ClientId;
pub use link::{Dial, Line, Link};
use link::{Down, End, LinkId, Up};
pub use network::Chunking;
use network::{Arrived, Network};
pub use observer::Observer;

/// A client hears of the wall clock no more often than this.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(1);

/// What has happened in a step of an [`Engine`].
#[derive(Debug)]
pub enum Happening<T> {
    /// A client said this, and it was done. Never [`Output::Timeout`]. [`Output::Connect`] is left to the owner of the engine:
    /// see [`Engine::dial`].
    Said(ClientId, Output),
    /// A client has said all that there was to say.
    Settled(ClientId),
    /// The gate wants this snapshot to be persisted: see [`Engine::persisted`].
    Persist {
        /// Its number.
        number: u64,
        /// The session starts of the last 24 hours.
        snapshot: IdentifySnapshot,
    },
    /// What was planned for this moment: see [`Engine::plan`].
    Due(T),
    /// Something was carried that none of the above tells of.
    Carried,
}

/// One gateway, one identify gate and any number of clients on one virtual clock.
///
/// [`step`](Self::step) does the next thing of this moment and returns what it was. When there is nothing left to do,
/// [`advance_to`](Self::advance_to) moves the clock, for example to [`next_time`](Self::next_time). Clients are added and
/// removed at any time. `T` is what the owner plans for later, and the observer is shown everything.
pub struct Engine<T = (), O = ()> {
    /// Is shown everything that happens.
    pub observer: O,
    network: Network<Planned<T>>,
    /// The clock of the machine that the clients and the gate run on.
    client_clock: Clock,
    suspended: bool,
    /// What the wall clock of that machine showed at [`Time::ZERO`], as the time since 1970. `None`: no client hears of it.
    wall_clock: Option<Duration>,
    clients: BTreeMap<ClientId, Process>,
    client_count: u64,
    /// Those that may have something to say.
    awake: VecDeque<ClientId>,
    /// What is to be handed in, one after the other, each when all have settled that were handed something before.
    inbox: VecDeque<(ClientId, Arrival)>,
    gate: IdentifyQueue,
    tickets: BTreeMap<Ticket, ClientId>,
    /// When the gate has something to say. `None`: it is to be asked.
    gate_deadline: Option<Time>,
}

/// Something that is to happen to a client, or to the owner.
enum Planned<T> {
    Timer(ClientId),
    Owner(T),
}

/// Something for a client.
enum Arrival {
    Input(Input),
    Link(LinkId, Down),
}

/// A client, and what its driver knows.
struct Process {
    client: Box<dyn Client>,
    /// The connection it has or opens.
    link: Option<LinkId>,
    ticket: Option<Ticket>,
    deadline: Time,
    /// The earliest wake-up in the queue.
    wakes_at: Option<Time>,
    /// When it last heard of the wall clock.
    wall_clock_told: Time,
    /// It reads its socket.
    reading: bool,
    /// What has arrived and is not read yet.
    unread: VecDeque<(LinkId, Down)>,
    stopped: Option<StopReason>,
}

impl<T> Engine<T> {
    /// An engine without clients and without an observer, at [`Time::ZERO`]. That is `beginning` for the gateway and the clients.
    pub fn new(gateway: Config, beginning: Instant) -> Self {
        Self::starting_at(Time::ZERO, gateway, IdentifyQueue::new(1), beginning, ())
    }
}

impl<T, O: Observer> Engine<T, O> {
    /// An engine without clients, at a later time.
    pub fn starting_at(
        now: Time,
        gateway: Config,
        gate: IdentifyQueue,
        beginning: Instant,
        observer: O,
    ) -> Self {
        let clock = Clock::new(beginning);
        Self {
            observer,
            network: Network::new(gateway, clock, now),
            client_clock: clock,
            suspended: false,
            wall_clock: None,
            clients: BTreeMap::new(),
            client_count: 0,
            awake: VecDeque::new(),
            inbox: VecDeque::new(),
            gate,
            tickets: BTreeMap::new(),
            gate_deadline: None,
        }
    }

    // ---- Time -------------------------------------------------------------------------------------------------

    /// The time.
    pub fn now(&self) -> Time {
        self.network.now
    }

    /// The time as the clients' machine has it.
    pub fn client_now(&self) -> Instant {
        self.client_clock.instant(self.network.now)
    }

    /// When the clients' machine reads this time on its clock.
    pub(crate) fn time_of(&self, at: Instant) -> Time {
        self.client_clock.time(at)
    }

    /// When something happens by itself. [`Time::NEVER`]: nothing does.
    pub fn next_time(&mut self) -> Time {
        self.network.next_arrival().min(self.network.gateway_deadline()).min(self.next_of_gate())
    }

    /// Moves the clock to then, unless it is later already.
    pub fn advance_to(&mut self, time: Time) {
        self.network.now = self.network.now.max(time);
    }

    /// [`step`](Self::step) returns this when it is due. Of what is planned for the same time the first comes first.
    pub fn plan(&mut self, at: Time, what: T) {
        self.network.plan(at, Planned::Owner(what));
    }

    /// Does the next thing there is to do at this moment. `None`: only time, the owner or a fault can change anything.
    pub fn step(&mut self) -> Option<Happening<T>> {
        loop {
            if !self.suspended
                && let Some(id) = self.awake.front().copied()
            {
                if let Some(happening) = self.poll(id) {
                    return Some(happening);
                }
            } else if !self.suspended
                && let Some((id, arrival)) = self.inbox.pop_front()
            {
                self.hand_in(id, arrival);
                return Some(Happening::Carried);
            } else if self.network.flush(&mut self.observer) {
                return Some(Happening::Carried);
            } else if self.network.gateway_deadline() <= self.now() {
                self.network.gateway.handle_timeout(self.network.instant());
            } else if self.next_of_gate() <= self.now() {
                if let Some(happening) = self.poll_gate() {
                    return Some(happening);
                }
            } else if self.network.next_arrival() <= self.now() {
                match self.network.arrive(&mut self.observer) {
                    Some(Arrived::Down(client, link, what)) => self.arrive(client, link, what),
                    Some(Arrived::Planned(Planned::Timer(client))) => self.timer(client),
                    Some(Arrived::Planned(Planned::Owner(what))) => return Some(Happening::Due(what)),
                    None => {}
                }
            } else {
                return None;
            }
        }
    }

    // ---- The clients ------------------------------------------------------------------------------------------

    /// Adds a client that has not connected.
    pub fn add(&mut self, client: Box<dyn Client>) -> ClientId {
        self.client_count += 1;
        let id = ClientId::new(self.client_count, client.config().shard);
        let process = Process {
            client,
            link: None,
            ticket: None,
            deadline: Time::NEVER,
            wakes_at: None,
            wall_clock_told: Time::ZERO,
            reading: true,
            unread: VecDeque::new(),
            stopped: None,
        };
        self.clients.insert(id, process);
        self.awake.push_back(id);
        id
    }

    /// The process of a client dies. Its connection is closed, what is on its way there arrives, and its place at the gate is
    /// given up.
    pub fn remove(&mut self, id: ClientId) {
        self.let_go(id);
        self.cancel_permit(id);
        self.clients.remove(&id);
    }

    /// Those that were added and not removed.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// A client, if it was not removed.
    pub fn client(&self, id: ClientId) -> Option<&dyn Client> {
        self.clients.get(&id).map(|process| &*process.client)
    }

    /// A client, to ask something of it. Its deadline is asked for next, which is then in the past.
    pub fn client_mut(&mut self, id: ClientId) -> Option<&mut dyn Client> {
        let process = self.clients.get_mut(&id)?;
        self.awake.push_back(id);
        Some(&mut *process.client)
    }

    /// Hands in the time next, whatever deadline the client has.
    pub fn tell_time(&mut self, id: ClientId) {
        self.awake.retain(|awake| *awake != id);
        self.inbox.push_back((id, Arrival::Input(Input::Timeout)));
    }

    /// Why a client has stopped, if it has.
    pub fn stopped(&self, id: ClientId) -> Option<&StopReason> {
        self.clients.get(&id)?.stopped.as_ref()
    }

    /// The deadline of a client, as it was when it last settled.
    pub fn deadline(&self, id: ClientId) -> Time {
        self.clients.get(&id).map_or(Time::NEVER, |process| process.deadline)
    }

    /// Hands in the time then, whatever deadline the client has.
    pub fn wake_at(&mut self, id: ClientId, deadline: Time) {
        let now = self.now();
        let Some(process) = self.clients.get_mut(&id) else { return };
        process.deadline = deadline.max(now);
        if process.wakes_at.is_none_or(|at| process.deadline < at) {
            process.wakes_at = Some(process.deadline);
            self.network.plan(process.deadline, Planned::Timer(id));
        }
    }

    /// A client stops reading its socket, or reads again.
    pub fn set_reading(&mut self, id: ClientId, reading: bool) {
        let Some(process) = self.clients.get_mut(&id) else { return };
        process.reading = reading;
        let input = if reading { Input::ReadingResumed } else { Input::ReadingPaused };
        self.inbox.push_back((id, Arrival::Input(input)));
        self.read_all(id);
    }

    /// What has arrived is handed in, if the client reads.
    fn read_all(&mut self, id: ClientId) {
        if let Some(process) = self.clients.get_mut(&id).filter(|process| process.reading) {
            let unread = process.unread.drain(..).map(|(link, what)| (id, Arrival::Link(link, what)));
            self.inbox.extend(unread);
        }
    }

    // ---- The machine that the clients run on ------------------------------------------------------------------

    /// Neither the clients nor the gate run any more.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// They run again. Their clock has stood still for so long. What the sockets hold is read first, then each client sees the
    /// time.
    pub fn resume(&mut self, clock_stood_still: Duration) {
        self.suspended = false;
        self.client_clock.stop(clock_stood_still);
        self.gate_deadline = None;
        let clients: Vec<ClientId> = self.clients().collect();
        for id in clients {
            self.read_all(id);
            self.tell_time(id);
        }
    }

    /// What the wall clock of the machine would have shown at [`Time::ZERO`], as the time since 1970. `None`, as at first: no
    /// client hears of it.
    pub fn set_wall_clock(&mut self, at_beginning: Option<Duration>) {
        self.wall_clock = at_beginning;
    }

    // ---- The gate ---------------------------------------------------------------------------------------------

    /// The identify gate.
    pub fn gate(&self) -> &IdentifyQueue {
        &self.gate
    }

    /// A snapshot of the gate was persisted, or could not be.
    pub fn persisted(&mut self, number: u64, ok: bool) {
        self.gate.handle_persisted(number, ok, self.client_clock.instant(self.network.now));
        self.gate_deadline = None;
    }

    /// The gate dies, and another takes its place. The clients that wait ask it again.
    pub fn replace_gate(&mut self, gate: IdentifyQueue) {
        self.gate = gate;
        for (_, id) in std::mem::take(&mut self.tickets) {
            self.request_permit(id);
        }
        self.gate_deadline = None;
    }

    // ---- The gateway and the network --------------------------------------------------------------------------

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.network.gateway
    }

    /// The gateway, to take its records.
    pub fn gateway_mut(&mut self) -> &mut Gateway {
        &mut self.network.gateway
    }

    /// Makes the gateway do something.
    ///
    /// # Errors
    ///
    /// Those of [`Gateway::control`].
    pub fn control(&mut self, target: Target, control: Control) -> Result<(), ControlError> {
        let now = self.network.instant();
        self.network.gateway.control(target, control, now).map(drop)
    }

    /// How the bytes of clients over bytes are cut.
    pub fn cut_bytes(&mut self, chunking: Chunking) {
        self.network.cut_bytes(chunking);
    }

    /// Opens the connection that a client has asked for with [`Output::Connect`].
    pub fn dial(&mut self, id: ClientId, url: &GatewayUrl, line: Line, dial: Dial) {
        let Some(process) = self.clients.get_mut(&id) else { return };
        let resume_url = self.network.gateway.config().resume_url.as_deref();
        let for_resume = resume_url.is_some_and(|resume_url| url.expose().starts_with(resume_url));
        let end = match process.client.stream() {
            None => End::Messages,
            Some(_) if for_resume => End::Bytes(Box::new(ByteConnection::at_resume_url())),
            Some(_) => End::Bytes(Box::default()),
        };
        // At that address the gateway sees the whole URL.
        let target = if for_resume { url.expose() } else { url.path_and_query().to_owned() };
        process.link = Some(self.network.dial(id, target, end, line, dial));
    }

    /// The connection that a client has or opens, to do something to it.
    pub fn link_mut(&mut self, id: ClientId) -> Option<&mut Link> {
        self.network.link_mut(self.clients.get(&id)?.link?)
    }

    /// The connection of a client is lost, and both ends learn it.
    pub fn break_link(&mut self, id: ClientId) {
        if let Some(link) = self.clients.get(&id).and_then(|process| process.link) {
            self.network.break_link(link);
        }
    }

    /// What the gateway calls the connection of a client, while it has its end.
    pub fn connection(&self, id: ClientId) -> Option<ConnectionId> {
        let link = self.network.link(self.clients.get(&id)?.link?)?;
        link.connection.filter(|_| link.server_holds)
    }

    /// Whose connection it is, or was: until both ends have let go of it.
    pub fn client_of(&self, connection: ConnectionId) -> Option<ClientId> {
        self.network.client_of(connection)
    }

    // ---- To the client ----------------------------------------------------------------------------------------

    /// Something has arrived at the client's end. It waits while the client does not read.
    fn arrive(&mut self, id: ClientId, link: LinkId, what: Down) {
        let suspended = self.suspended;
        let Some(process) = self.clients.get_mut(&id).filter(|process| process.link == Some(link)) else {
            return;
        };
        let of_the_dial = matches!(what, Down::Opened | Down::Failed(_));
        if suspended || !(process.reading || of_the_dial) {
            process.unread.push_back((link, what));
        } else {
            self.inbox.push_back((id, Arrival::Link(link, what)));
        }
    }

    fn timer(&mut self, id: ClientId) {
        let (now, suspended) = (self.now(), self.suspended);
        let Some(process) = self.clients.get_mut(&id) else { return };
        if process.wakes_at != Some(now) {
            // An earlier one was set since.
            return;
        }
        process.wakes_at = None;
        let deadline = process.deadline;
        if deadline > now {
            self.wake_at(id, deadline);
        } else if !suspended {
            self.tell_time(id);
        }
    }

    /// The wall clock comes before anything else: what is read next may be of a connection that has gone stale.
    fn hand_in(&mut self, id: ClientId, arrival: Arrival) {
        let now = self.now();
        let Some(process) = self.clients.get_mut(&id) else { return };
        if let Some(start) = self.wall_clock
            && now.since(process.wall_clock_told) >= WALL_CLOCK_EVERY
        {
            process.wall_clock_told = now;
            self.inbox.push_front((id, arrival));
            let whole_seconds = now.since(Time::ZERO).as_secs();
            return self.give(id, Input::WallClock(start + Duration::from_secs(whole_seconds)), None);
        }
        match arrival {
            Arrival::Input(input) => self.give(id, input, None),
            Arrival::Link(link, _) if process.link != Some(link) => {}
            Arrival::Link(link, what) => self.read(id, link, what),
        }
    }

    fn read(&mut self, id: ClientId, link_id: LinkId, what: Down) {
        let (Some(process), Some(link)) = (self.clients.get_mut(&id), self.network.link_mut(link_id)) else {
            return;
        };
        let (opened, over_messages) = (link.opened, matches!(link.end, End::Messages));
        match what {
            Down::Opened => {
                link.opened = true;
                self.give(id, Input::Opened, None);
            }
            Down::Failed(error) => {
                self.let_go(id);
                self.give(id, Input::ConnectFailed(error), None);
            }
            what if !process.reading => process.unread.push_back((link_id, what)),
            Down::Bytes(bytes, piece) => self.read_bytes(id, link_id, bytes, piece),
            Down::Message(message, _)
                if message.as_bytes().len() > process.client.config().limits.message_bytes =>
            {
                self.let_go(id);
                self.give(id, Input::Closed(Closed::MessageTooLarge), None);
            }
            Down::Message(message, about) => self.give(id, Input::Message(message), Some(&about)),
            Down::Ping => self.network.send_up(link_id, Up::Pong),
            // The client over bytes lets go by itself.
            Down::Closed(closed) if !over_messages => self.give(id, Input::Closed(closed), None),
            Down::Closed(closed) if !opened => {
                self.let_go(id);
                let detail = match closed {
                    Closed::Failed(detail) => detail,
                    closed => closed.to_string(),
                };
                self.give(id, Input::ConnectFailed(ConnectError::Handshake(detail)), None);
            }
            Down::Closed(closed) => {
                // The WebSocket layer answers a close frame by itself.
                if let Closed::Frame { code, .. } = &closed
                    && !link.closing
                {
                    self.network.send_up(link_id, Up::Close(code.unwrap_or(1005)));
                }
                self.let_go(id);
                self.give(id, Input::Closed(closed), None);
            }
        }
    }

    /// Hands in one piece, and then whatever follows from it comes first.
    fn read_bytes(&mut self, id: ClientId, link: LinkId, mut bytes: Bytes, piece: usize) {
        let now = self.client_now();
        let size = match self.network.chunking {
            Chunking::Random(_) => self.network.piece(bytes.len()),
            Chunking::Whole | Chunking::OneByte => piece.min(bytes.len()),
        };
        let Some(stream) = self.clients.get_mut(&id).and_then(|process| process.client.stream()) else {
            return;
        };
        let mut rest = &bytes[..size];
        stream.handle_bytes(&mut rest, now);
        let taken = size - rest.len();
        bytes.advance(taken);
        if !bytes.is_empty() {
            self.inbox.push_front((id, Arrival::Link(link, Down::Bytes(bytes, piece))));
        }
        self.awake.push_back(id);
    }

    fn give(&mut self, id: ClientId, input: Input, about: Option<&About>) {
        let connection = self.connection(id);
        let (at, now) = (self.now(), self.client_now());
        if let Some(process) = self.clients.get_mut(&id) {
            self.observer.observe(at, id, connection, &Observation::Input(&input, about));
            process.client.handle_input(input, now);
            self.awake.push_back(id);
        }
    }

    // ---- From the client --------------------------------------------------------------------------------------

    /// The next thing that a client says.
    fn poll(&mut self, id: ClientId) -> Option<Happening<T>> {
        self.carry_bytes(id);
        let Some(process) = self.clients.get_mut(&id) else {
            self.awake.pop_front();
            return None;
        };
        let output = process.client.poll_output();
        // What is left for a stream that is shut down goes before that.
        self.carry_bytes(id);
        let (at, connection) = (self.now(), self.connection(id));
        let mut observe = |what| self.observer.observe(at, id, connection, &what);
        match output {
            Output::Timeout(deadline) => {
                self.awake.retain(|awake| *awake != id);
                let deadline = self.client_clock.time(deadline);
                observe(Observation::Settled);
                observe(Observation::Deadline(deadline));
                self.wake_at(id, deadline);
                return Some(Happening::Settled(id));
            }
            Output::Send(_) => {}
            ref output => observe(Observation::Output(output)),
        }
        self.carry_out(id, &output);
        Some(Happening::Said(id, output))
    }

    fn carry_out(&mut self, id: ClientId, output: &Output) {
        match output {
            Output::Send(message) => self.send_up(id, Up::Message(message.clone())),
            Output::Close(frame) => self.send_up(id, Up::Close(frame.code)),
            Output::Disconnect => self.let_go(id),
            Output::AcquireIdentify => self.request_permit(id),
            Output::CancelIdentify => self.cancel_permit(id),
            Output::Stopped(reason) => {
                self.awake.retain(|awake| *awake != id);
                self.let_go(id);
                self.cancel_permit(id);
                if let Some(process) = self.clients.get_mut(&id) {
                    process.stopped = Some(reason.clone());
                }
            }
            Output::Connect(_) | Output::Event(_) | Output::Timeout(_) => {}
        }
    }

    /// Sends something on the client's connection, if it has one.
    fn send_up(&mut self, id: ClientId, what: Up) {
        if let Some(link) = self.clients.get(&id).and_then(|process| process.link) {
            self.network.send_up(link, what);
        }
    }

    /// Takes the bytes that wait to be written, as far as the network takes them.
    fn carry_bytes(&mut self, id: ClientId) {
        let Some(process) = self.clients.get_mut(&id) else { return };
        let (Some(stream), Some(link)) = (process.client.stream(), process.link) else { return };
        while self.network.link(link).is_some_and(|link| !link.blocked) && !stream.transmit().is_empty() {
            let bytes = stream.transmit();
            let bytes = bytes[..self.network.piece(bytes.len())].to_vec();
            stream.transmitted(bytes.len());
            self.network.send_up(link, Up::Bytes(bytes));
        }
    }

    /// The client's end lets go of its connection.
    fn let_go(&mut self, id: ClientId) {
        if let Some(link) = self.clients.get_mut(&id).and_then(|process| process.link.take()) {
            self.network.let_go(link);
        }
    }

    // ---- Permits ----------------------------------------------------------------------------------------------

    fn next_of_gate(&mut self) -> Time {
        if self.suspended {
            return Time::NEVER;
        }
        let (clock, now) = (self.client_clock, self.network.now);
        let ask = || self.gate.next_deadline(clock.instant(now)).map_or(Time::NEVER, |at| clock.time(at));
        (*self.gate_deadline.get_or_insert_with(ask)).max(now)
    }

    fn poll_gate(&mut self) -> Option<Happening<T>> {
        self.gate_deadline = None;
        let (ticket, input) = match self.gate.poll_output(self.client_clock.instant(self.network.now))? {
            IdentifyOutput::Persist { number, snapshot } => {
                return Some(Happening::Persist { number, snapshot });
            }
            IdentifyOutput::Granted(ticket) => (ticket, Input::IdentifyGranted),
            IdentifyOutput::Refused(ticket, refused) => (ticket, Input::IdentifyRefused(refused)),
        };
        if let Some(id) = self.tickets.remove(&ticket) {
            if let Some(process) = self.clients.get_mut(&id) {
                process.ticket = None;
            }
            self.inbox.push_back((id, Arrival::Input(input)));
        }
        Some(Happening::Carried)
    }

    fn request_permit(&mut self, id: ClientId) {
        let Some(process) = self.clients.get_mut(&id) else { return };
        let ticket = self.gate.request(id.shard());
        self.tickets.insert(ticket, id);
        process.ticket = Some(ticket);
        self.gate_deadline = None;
    }

    fn cancel_permit(&mut self, id: ClientId) {
        if let Some(ticket) = self.clients.get_mut(&id).and_then(|process| process.ticket.take()) {
            self.gate.cancel(ticket);
            self.tickets.remove(&ticket);
            self.gate_deadline = None;
        }
    }
}
