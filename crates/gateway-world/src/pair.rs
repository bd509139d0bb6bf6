//! One shard over bytes and one gateway, joined by a byte stream in memory: what scenarios are played in, step by step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gateway_proto::identify::{IdentifyOutput, IdentifyQueue, Ticket};
use gateway_proto::raw::{Input, Output};
use gateway_proto::{ConnectError, GatewayUrl, ShardId, StopReason};
use gateway_sim::{ByteConnection, ByteStep, Gateway};

use crate::over_bytes::ByteClient;

/// A write larger than this is not cut into single bytes: that would take minutes, and show nothing that a small one does
/// not.
const LARGE: usize = 1 << 20;
/// In what it is cut instead, at least.
const LARGE_PIECE: usize = 4093;
/// The largest piece at random.
const RANDOM_PIECE: usize = 40;

/// How bytes are cut on their way, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunking {
    /// As they are written.
    Whole,
    /// Into single bytes.
    OneByte,
    /// Into pieces of random sizes, from this seed.
    Random(u64),
}

/// How a connection attempt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// It is never answered.
    Hangs,
    /// It fails.
    Fails(ConnectError),
}

/// What has happened in a step of a [`Pair`].
#[derive(Debug)]
pub enum Moved {
    /// The shard said this, and it was done. Never [`Output::Timeout`].
    Said(Output),
    /// Bytes were carried, or a permit was given.
    Carried,
    /// Nothing: until something is said to one of the two, only time can change that.
    Nothing,
}

/// A shard and a gateway on one clock, which the caller moves.
pub struct Pair {
    /// The shard.
    pub client: Box<dyn ByteClient>,
    /// The gateway.
    pub gateway: Gateway,
    /// What the wall clock showed when the pair began, as the time since 1970. `None`: the shard does not learn it.
    pub wall_clock: Option<Duration>,
    /// The process of the shard does not run.
    pub suspended: bool,
    /// The driver of the shard reads its stream.
    pub reading: bool,
    started: Instant,
    now: Instant,
    deadline: Instant,
    stopped: Option<StopReason>,
    chunking: Chunking,
    rng: Rng,
    gate: IdentifyQueue,
    ticket: Option<Ticket>,
    shard: ShardId,
    dials: VecDeque<Dial>,
    stream: Option<Stream>,
}

/// The byte stream that the shard has asked for.
#[derive(Default)]
struct Stream {
    server: ByteConnection,
    /// What has come for the client and was not handed in yet.
    incoming: VecDeque<u8>,
    /// In pieces of so many bytes.
    piece: usize,
    /// Nothing comes before.
    held_until: Option<Instant>,
    /// The network takes no more bytes from the client.
    blocked: bool,
}

impl Pair {
    /// A shard and a gateway that have not met.
    pub fn new(
        client: Box<dyn ByteClient>,
        shard: ShardId,
        gateway: Gateway,
        chunking: Chunking,
        now: Instant,
    ) -> Self {
        let seed = if let Chunking::Random(seed) = chunking { seed } else { 0 };
        Self {
            client,
            gateway,
            wall_clock: None,
            suspended: false,
            reading: true,
            started: now,
            now,
            deadline: now,
            stopped: None,
            chunking,
            rng: Rng::with_seed(seed),
            gate: IdentifyQueue::new(1),
            ticket: None,
            shard,
            dials: VecDeque::new(),
            stream: None,
        }
    }

    /// Another process begins with this shard. The earlier one must have stopped.
    pub fn restart(&mut self, client: Box<dyn ByteClient>, shard: ShardId) {
        assert!(self.stream.is_none(), "the earlier shard has stopped");
        (self.client, self.shard) = (client, shard);
        (self.stopped, self.deadline) = (None, self.now);
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The time since the pair began.
    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// The deadline of the shard, as it was when nothing was left to do.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Why the shard has stopped, if it has.
    pub fn stopped(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    /// The next connection attempts that were not planned yet go like this. All others succeed.
    pub fn plan_dial(&mut self, dial: Dial) {
        self.dials.push_back(dial);
    }

    /// On this connection the network takes no more bytes from the shard.
    pub fn block_writes(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.blocked = true;
        }
    }

    /// Does the next thing there is to do at this moment.
    pub fn step(&mut self) -> Moved {
        if !self.suspended
            && let Some(output) = self.poll_client()
        {
            self.carry_out(&output);
            return Moved::Said(output);
        }
        if self.carry_to_stream() || self.carry_to_client() || self.grant() {
            Moved::Carried
        } else {
            Moved::Nothing
        }
    }

    /// Hands in the time if the shard waits for it; false if it does not.
    pub fn tell_time_if_due(&mut self) -> bool {
        let due = !self.suspended && self.stopped.is_none() && self.deadline <= self.now;
        if due {
            self.tell_time();
        }
        due
    }

    /// Hands in the time: what was asked of the shard takes effect.
    pub fn tell_time(&mut self) {
        if let Some(start) = self.wall_clock {
            self.client.handle_input(Input::WallClock(start + self.elapsed()), self.now);
        }
        self.client.handle_input(Input::Timeout, self.now);
    }

    /// When something happens by itself. `None`: never.
    pub fn next_event(&self) -> Option<Instant> {
        let runs = self.stopped.is_none() && !self.suspended;
        let all = [
            runs.then_some(self.deadline),
            self.gateway.poll_timeout(),
            self.stream.as_ref().and_then(|stream| stream.held_until),
            self.ticket.and_then(|_| self.gate.next_deadline(self.now)),
        ];
        all.into_iter().flatten().min()
    }

    /// Moves the clock to then, unless it is later already.
    pub fn advance_to(&mut self, time: Instant) {
        self.now = self.now.max(time);
        self.gateway.handle_timeout(self.now);
    }

    // ---- The shard -----------------------------------------------------------------------------------------------------

    /// The next thing that the shard says. `None`: it waits, or said before that it has stopped.
    fn poll_client(&mut self) -> Option<Output> {
        self.carry_to_server();
        let output = self.client.poll_output();
        // What is left for a stream that is shut down goes before that.
        self.carry_to_server();
        match output {
            Output::Timeout(deadline) => {
                self.deadline = deadline;
                None
            }
            Output::Stopped(_) if self.stopped.is_some() => None,
            output => Some(output),
        }
    }

    fn carry_out(&mut self, output: &Output) {
        match output {
            Output::Connect(url) => self.dial(url),
            Output::ShutDown => {
                assert!(self.stream.is_some(), "a stream is shut down once");
                self.hang_up();
            }
            Output::AcquireIdentify => self.ticket = Some(self.gate.request(self.shard)),
            Output::CancelIdentify => {
                if let Some(ticket) = self.ticket.take() {
                    self.gate.cancel(ticket);
                }
            }
            Output::Stopped(reason) => {
                self.stopped = Some(reason.clone());
                self.hang_up();
            }
            Output::Event(_) | Output::Timeout(_) => {}
        }
    }

    fn dial(&mut self, url: &GatewayUrl) {
        assert!(self.stream.is_none(), "one stream at a time");
        let resume_url = self.gateway.config().resume_url.as_ref();
        let for_resume = resume_url.is_some_and(|resume_url| url.expose().starts_with(resume_url));
        let server = if for_resume { ByteConnection::at_resume_url() } else { ByteConnection::default() };
        let input = match self.dials.pop_front() {
            None => Some(Input::Opened),
            Some(Dial::Hangs) => None,
            Some(Dial::Fails(error)) => {
                return self.client.handle_input(Input::ConnectFailed(error), self.now);
            }
        };
        self.stream = Some(Stream { server, ..Stream::default() });
        if let Some(input) = input {
            self.client.handle_input(input, self.now);
        }
    }

    fn hang_up(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.server.end(&mut self.gateway, self.now);
        }
    }

    fn grant(&mut self) -> bool {
        let Some(ticket) = self.ticket.filter(|_| !self.suspended) else { return false };
        if self.gate.poll_output(self.now) != Some(IdentifyOutput::Granted(ticket)) {
            return false;
        }
        self.ticket = None;
        self.client.handle_input(Input::IdentifyGranted, self.now);
        true
    }

    // ---- The stream ----------------------------------------------------------------------------------------------------

    fn carry_to_server(&mut self) {
        while let Some(stream) = self.stream.as_mut().filter(|stream| !stream.blocked) {
            let bytes = self.client.transmit();
            if bytes.is_empty() {
                return;
            }
            let size = piece(self.chunking, &mut self.rng, bytes.len()).min(bytes.len());
            stream.server.receive(&mut self.gateway, &bytes[..size], self.now);
            self.client.transmitted(size);
        }
    }

    /// What the gateway says.
    fn carry_to_stream(&mut self) -> bool {
        let mut moved = false;
        while let Some((id, output)) = self.gateway.poll_output() {
            moved = true;
            if let Some(stream) = self.stream.as_mut().filter(|stream| stream.server.id() == Some(id)) {
                stream.server.carry_out(output);
            }
        }
        moved
    }

    /// Gives the shard one piece of what has come.
    fn carry_to_client(&mut self) -> bool {
        let now = self.now;
        let Some(stream) = &mut self.stream else { return false };
        if self.suspended || !self.reading || stream.held_until.is_some_and(|until| until > now) {
            return false;
        }
        stream.held_until = None;
        if !stream.incoming.is_empty() {
            let size = match self.chunking {
                Chunking::Random(_) => piece(self.chunking, &mut self.rng, stream.incoming.len()),
                Chunking::Whole | Chunking::OneByte => stream.piece,
            };
            let contiguous = stream.incoming.make_contiguous();
            let all = &contiguous[..size.min(contiguous.len())];
            let mut rest = all;
            self.client.handle_bytes(&mut rest, now);
            let taken = all.len() - rest.len();
            stream.incoming.drain(..taken);
            return true;
        }
        let input = match stream.server.poll_step() {
            None => return false,
            Some(ByteStep::Write(bytes)) => {
                stream.piece = piece(self.chunking, &mut self.rng, bytes.len());
                stream.incoming = bytes.into();
                return true;
            }
            Some(ByteStep::Wait(time)) => {
                stream.held_until = Some(now + time);
                return true;
            }
            Some(ByteStep::HalfClose) => Input::EndOfStream,
            Some(ByteStep::Reset) => Input::Failed("reset".to_owned()),
            Some(_) => return true,
        };
        self.client.handle_input(input, now);
        true
    }
}

/// How many of so many bytes go at once.
fn piece(chunking: Chunking, rng: &mut Rng, length: usize) -> usize {
    match chunking {
        Chunking::Whole => usize::MAX,
        Chunking::OneByte if length > LARGE => LARGE_PIECE,
        Chunking::OneByte => 1,
        Chunking::Random(_) => rng.usize(1..=length.min(RANDOM_PIECE)),
    }
}
