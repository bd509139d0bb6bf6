//! The gateway, its end of every connection, and what is on its way between it and the clients, in the order of time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use gateway_proto::disconnect::Refused;
use gateway_proto::{Closed, ConnectError, Message};
use gateway_sim::{
    ByteEffect, ByteFault, ByteStep, ClientMessage, Config, ConnectionId, Gateway, Output, Response,
};

use super::client_id::ClientId;
use super::link::{Dial, Down, End, Fate, Line, Link, LinkId, Up};
use super::observer::Observer;
use super::queue::Queue;
use crate::fault::Direction;
use crate::observation::Observation;
use crate::time::{Clock, Time};

/// When an operating system gives up on a peer that does not answer.
const KEEP_ALIVE: Duration = Duration::from_secs(15 * 60);
/// A write larger than this is not cut into single bytes: that would take minutes, and show nothing that a small one does
/// not.
const LARGE: usize = 1 << 20;
/// In what it is cut instead, at least.
const LARGE_PIECE: usize = 4093;
/// The largest piece at random.
const RANDOM_PIECE: usize = 40;

/// How the bytes of clients over bytes are cut on their way, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chunking {
    /// As they are written.
    #[default]
    Whole,
    /// Into single bytes.
    OneByte,
    /// Into pieces of random sizes, from this seed.
    Random(u64),
}

pub(super) struct Network<E> {
    pub(super) gateway: Gateway,
    pub(super) clock: Clock,
    pub(super) now: Time,
    pub(super) chunking: Chunking,
    rng: Rng,
    queue: Queue<Event<E>>,
    links: BTreeMap<LinkId, Link>,
    link_count: LinkId,
    by_connection: BTreeMap<ConnectionId, LinkId>,
}

/// Something that is to happen.
enum Event<E> {
    /// Something arrives at the gateway, sent at this time.
    Up(LinkId, Up, Time),
    Down(LinkId, Down),
    /// Both ends of a connection learn that it is lost.
    Lost(LinkId),
    /// The operating system of the gateway gives up a connection whose other end is silent.
    GivenUp(LinkId),
    /// What the owner of the network has planned.
    Planned(E),
}

/// What the owner has to deal with.
pub(super) enum Arrived<E> {
    /// Something at the client's end.
    Down(ClientId, LinkId, Down),
    Planned(E),
}

impl<E> Network<E> {
    pub(super) fn new(config: Config, clock: Clock, now: Time) -> Self {
        Self {
            gateway: Gateway::new(config, clock.instant(now)),
            clock,
            now,
            chunking: Chunking::Whole,
            rng: Rng::with_seed(0),
            queue: Queue::new(),
            links: BTreeMap::new(),
            link_count: 0,
            by_connection: BTreeMap::new(),
        }
    }

    pub(super) fn cut_bytes(&mut self, chunking: Chunking) {
        self.chunking = chunking;
        if let Chunking::Random(seed) = chunking {
            self.rng = Rng::with_seed(seed);
        }
    }

    // ---- Time -------------------------------------------------------------------------------------------------

    pub(super) fn instant(&self) -> Instant {
        self.clock.instant(self.now)
    }

    pub(super) fn plan(&mut self, at: Time, what: E) {
        self.queue.push(at, Event::Planned(what));
    }

    /// When the gateway does something by itself.
    pub(super) fn gateway_deadline(&self) -> Time {
        self.gateway.poll_timeout().map_or(Time::NEVER, |at| self.clock.time(at))
    }

    /// When something arrives or is planned.
    pub(super) fn next_arrival(&self) -> Time {
        self.queue.next()
    }

    /// The next thing that arrives at this moment. `None` if it was of no interest to the owner.
    pub(super) fn arrive(&mut self, observer: &mut impl Observer) -> Option<Arrived<E>> {
        match self.queue.pop()? {
            Event::Planned(what) => Some(Arrived::Planned(what)),
            Event::Up(id, what, sent) => {
                self.arrive_up(id, what, sent, observer);
                None
            }
            Event::Down(id, what) => {
                let link = self.links.get_mut(&id)?;
                link.in_flight -= 1;
                let (client, broken) = (link.client, link.broken);
                self.release(id);
                (!broken).then_some(Arrived::Down(client, id, what))
            }
            Event::Lost(id) => {
                let link = self.links.get_mut(&id)?;
                link.in_flight -= 1;
                let (client, held) = (link.client, link.client_holds);
                self.given_up(id);
                let closed = Closed::Failed("connection reset".to_owned());
                held.then_some(Arrived::Down(client, id, Down::Closed(closed)))
            }
            Event::GivenUp(id) => {
                self.given_up(id);
                None
            }
        }
    }

    // ---- The clients' ends ------------------------------------------------------------------------------------

    pub(super) fn dial(
        &mut self,
        client: ClientId,
        target: String,
        end: End,
        line: Line,
        dial: Dial,
    ) -> LinkId {
        self.link_count += 1;
        let id = self.link_count;
        let over_bytes = matches!(end, End::Bytes(_));
        let link = self.links.entry(id).or_insert(Link::new(client, end, line));
        match dial {
            Dial::Hangs => link.lose(Direction::Both),
            Dial::Fails(error) => self.send_down(id, Down::Failed(error)),
            Dial::Succeeds if over_bytes => self.send_down(id, Down::Opened),
            Dial::Succeeds => self.send_up(id, Up::Upgrade(target)),
        }
        id
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    pub(super) fn client_of(&self, connection: ConnectionId) -> Option<ClientId> {
        self.links.get(self.by_connection.get(&connection)?).map(|link| link.client)
    }

    /// Sends something from the client's end.
    pub(super) fn send_up(&mut self, id: LinkId, what: Up) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken) else { return };
        link.closing |= matches!(what, Up::Close(_));
        if link.blocked && !matches!(what, Up::Gone) {
            return;
        }
        match link.send(Direction::Up, now) {
            Fate::Arrives(at) => {
                link.in_flight += 1;
                self.queue.push(at, Event::Up(id, what, now));
            }
            Fate::Lost if matches!(what, Up::Gone) => self.queue.push(now + KEEP_ALIVE, Event::GivenUp(id)),
            Fate::Lost => {}
            Fate::Breaks => self.break_link(id),
        }
    }

    /// The client's end lets go of its connection.
    pub(super) fn let_go(&mut self, id: LinkId) {
        self.send_up(id, Up::Gone);
        if let Some(link) = self.links.get_mut(&id) {
            link.client_holds = false;
        }
        self.release(id);
    }

    /// The connection is lost: both ends are about to learn it, and nothing on its way arrives.
    pub(super) fn break_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken) else { return };
        link.broken = true;
        link.in_flight += 1;
        self.queue.push(self.now + link.line.latency, Event::Lost(id));
    }

    /// How many of so many bytes go at once.
    pub(super) fn piece(&mut self, length: usize) -> usize {
        match self.chunking {
            Chunking::Whole => length,
            Chunking::OneByte if length > LARGE => LARGE_PIECE,
            Chunking::OneByte => 1,
            Chunking::Random(_) => self.rng.usize(1..=length.clamp(1, RANDOM_PIECE)),
        }
    }

    // ---- The gateway's ends -----------------------------------------------------------------------------------

    /// Something has arrived at the gateway.
    fn arrive_up(&mut self, id: LinkId, what: Up, sent: Time, observer: &mut impl Observer) {
        let now = self.clock.instant(self.now);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.in_flight -= 1;
        if link.broken {
            return self.release(id);
        }
        match (&mut link.end, &what) {
            (End::Bytes(server), Up::Bytes(bytes)) => {
                server.receive(&mut self.gateway, bytes, now);
                if let Some(connection) = server.id() {
                    (link.connection, link.server_holds) = (Some(connection), true);
                    self.by_connection.insert(connection, id);
                }
                return self.write(id);
            }
            (End::Bytes(server), _) => {
                server.end(&mut self.gateway, now);
                return self.server_leaves(id);
            }
            (End::Messages, Up::Upgrade(target)) => {
                let connection = self.gateway.open(target, now);
                (link.connection, link.server_holds) = (Some(connection), true);
                self.by_connection.insert(connection, id);
                return;
            }
            (End::Messages, _) => {}
        }
        let Some(connection) = link.connection.filter(|_| link.server_holds) else { return self.release(id) };
        let message = match &what {
            Up::Message(Message::Text(text)) => {
                ClientMessage::Text(std::str::from_utf8(text).unwrap_or_default())
            }
            Up::Message(Message::Binary(bytes)) => ClientMessage::Binary(bytes),
            Up::Close(1005) => ClientMessage::Close(None),
            Up::Close(code) => ClientMessage::Close(Some(*code)),
            Up::Pong => ClientMessage::Pong,
            Up::Gone | Up::Upgrade(_) | Up::Bytes(_) => ClientMessage::Gone,
        };
        if let Up::Message(_) = what {
            let at_server = Observation::AtServer { connection: connection.0, sent };
            observer.observe(self.now, link.client, Some(connection), &at_server);
        }
        self.gateway.receive(connection, message, now);
    }

    /// Does the next thing that the gateway says. False: there is none.
    pub(super) fn flush(&mut self, observer: &mut impl Observer) -> bool {
        let Some((connection, output)) = self.gateway.poll_output() else { return false };
        let Some(id) = self.by_connection.get(&connection).copied() else { return true };
        let Some(link) = self.links.get_mut(&id) else { return true };
        if let Output::Send(message) = &output {
            let from_server = Observation::FromServer(&message.about);
            observer.observe(self.now, link.client, Some(connection), &from_server);
        }
        match &mut link.end {
            End::Bytes(server) => {
                server.carry_out(output);
                self.write(id);
            }
            End::Messages => self.carry_out(id, output),
        }
        true
    }

    /// Over bytes: sends what the gateway's end has written.
    fn write(&mut self, id: LinkId) {
        while let Some(Link { end: End::Bytes(server), .. }) = self.links.get_mut(&id)
            && let Some(step) = server.poll_step()
        {
            match step {
                ByteStep::Write(bytes) => {
                    let piece = self.piece(bytes.len());
                    self.send_down(id, Down::Bytes(bytes.into(), piece));
                }
                ByteStep::Wait(time) => self.hold_down(id, time),
                ByteStep::HalfClose => self.send_down(id, Down::Closed(Closed::Eof)),
                ByteStep::Reset => {
                    self.send_down(id, Down::Closed(Closed::Failed("connection reset".to_owned())));
                }
                _ => {}
            }
        }
    }

    /// Over messages: does what the gateway says.
    fn carry_out(&mut self, id: LinkId, output: Output) {
        match output {
            Output::Accept => self.send_whole(id, Down::Opened),
            Output::Refuse(response) => {
                self.send_whole(id, Down::Failed(refused(&response)));
                self.server_leaves(id);
            }
            Output::Send(message) => {
                let payload = Bytes::from(message.payload);
                let kind = if message.binary { Message::Binary } else { Message::Text };
                self.send_whole(id, Down::Message(kind(payload), message.about));
            }
            Output::Ping => self.send_whole(id, Down::Ping),
            Output::Close(code, reason) => {
                self.send_whole(id, Down::Closed(Closed::Frame { code, reason }));
            }
            Output::Drop => self.server_ends(id, Closed::Eof),
            Output::Abort | Output::Cut(_) => {
                self.server_ends(id, Closed::Failed("connection reset".to_owned()));
            }
            Output::Silence => self.lose_down(id),
            Output::Bytes(ByteFault { effect, .. }) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.spoiled = Some(effect);
                }
            }
        }
    }

    /// Over messages: sends something, unless its bytes are spoiled. A fault in the bytes is the end of the stream that a
    /// WebSocket makes of it.
    fn send_whole(&mut self, id: LinkId, what: Down) {
        let spoiled = self.links.get_mut(&id).and_then(|link| link.spoiled.take());
        let end = match spoiled {
            None | Some(ByteEffect::Split(_)) => return self.send_down(id, what),
            Some(ByteEffect::Delay(time)) => {
                self.hold_down(id, time);
                return self.send_down(id, what);
            }
            Some(ByteEffect::Stall) => None,
            Some(ByteEffect::HalfClose) => Some(Closed::Eof),
            Some(ByteEffect::Reset) => Some(Closed::Failed("connection reset".to_owned())),
            Some(_) => Some(Closed::Protocol("broken bytes".to_owned())),
        };
        if let Some(closed) = end {
            self.send_down(id, Down::Closed(closed));
        }
        self.lose_down(id);
    }

    fn hold_down(&mut self, id: LinkId, time: Duration) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&id) {
            link.hold_down(time, now);
        }
    }

    fn lose_down(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.lose(Direction::Down);
        }
    }

    /// Sends something from the gateway's end.
    fn send_down(&mut self, id: LinkId, what: Down) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken && link.client_holds) else {
            return;
        };
        match link.send(Direction::Down, now) {
            Fate::Arrives(at) => {
                link.in_flight += 1;
                self.queue.push(at, Event::Down(id, what));
            }
            Fate::Lost => {}
            Fate::Breaks => self.break_link(id),
        }
    }

    /// The gateway's end learns that the other is gone.
    fn given_up(&mut self, id: LinkId) {
        let now = self.instant();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.broken = true;
        match &mut link.end {
            End::Bytes(server) => server.end(&mut self.gateway, now),
            End::Messages => {
                if let Some(connection) = link.connection.filter(|_| link.server_holds) {
                    self.gateway.receive(connection, ClientMessage::Gone, now);
                }
            }
        }
        self.server_leaves(id);
    }

    fn server_ends(&mut self, id: LinkId, closed: Closed) {
        self.send_down(id, Down::Closed(closed));
        self.server_leaves(id);
    }

    fn server_leaves(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.server_holds = false;
        }
        self.release(id);
    }

    /// Forgets a connection that neither end holds and on which nothing is on its way.
    fn release(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id)
            && !link.client_holds
            && !link.server_holds
            && link.in_flight == 0
        {
            if let Some(connection) = link.connection {
                self.by_connection.remove(&connection);
            }
            self.links.remove(&id);
        }
    }
}

/// A refusal as the client of a WebSocket reads it.
fn refused(response: &Response) -> ConnectError {
    let Response { status, content_type, body, .. } = response;
    let mut refused = Refused::new(*status);
    let own = [
        ("Content-Type", content_type.clone()),
        ("Content-Length", body.len().to_string()),
        ("Connection", "close".to_owned()),
    ];
    refused.headers = own.map(|(name, value)| (name.to_owned(), value)).to_vec();
    refused.headers.extend_from_slice(&response.headers);
    refused.retry_after = refused.header("Retry-After").and_then(Refused::parse_retry_after);
    refused.body = body.clone().into_bytes();
    ConnectError::Refused(refused)
}
