//! One connection between a client and the gateway: what is on its way, and what is wrong with it.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use gateway_proto::{Closed, ConnectError, Message};
use gateway_sim::{About, ByteConnection, ByteEffect, ConnectionId};

use super::client_id::ClientId;
use crate::fault::Direction;
use crate::time::Time;

/// Names a link: 1 for the first of the engine.
pub(crate) type LinkId = u64;

/// What a connection is like while nothing is wrong with it. By default everything arrives at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// The least time that a message takes.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
    /// The seed of what each takes.
    pub seed: u64,
}

/// How a connection attempt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// The gateway gets the upgrade request.
    Succeeds,
    /// It is never answered.
    Hangs,
    /// It fails.
    Fails(ConnectError),
}

/// A connection, from the dial to the moment when both ends have let go of it.
pub struct Link {
    pub(crate) client: ClientId,
    pub(crate) end: End,
    /// What the gateway calls it, once the upgrade request has arrived.
    pub(crate) connection: Option<ConnectionId>,
    /// The client's end is open or being opened.
    pub(crate) client_holds: bool,
    /// The gateway's end is open.
    pub(crate) server_holds: bool,
    /// How much is on its way on it.
    pub(crate) in_flight: u32,
    /// It is lost, and nothing on its way will arrive.
    pub(crate) broken: bool,
    /// The client knows that it is open.
    pub(crate) opened: bool,
    /// The client has sent a close frame.
    pub(crate) closing: bool,
    /// The network takes nothing more from the client.
    pub(crate) blocked: bool,
    /// Over messages: what happens to the bytes of the next one from the gateway.
    pub(crate) spoiled: Option<ByteEffect>,
    pub(crate) line: Line,
    up: Path,
    down: Path,
    stalled_until: Time,
    slow: Option<(Duration, Time)>,
    rng: Rng,
}

/// The gateway's end.
pub(crate) enum End {
    /// It takes and gives whole messages.
    Messages,
    /// It takes and gives bytes.
    Bytes(Box<ByteConnection>),
}

/// One direction.
#[derive(Default)]
struct Path {
    /// When the newest message arrives: nothing overtakes on a connection.
    newest: Time,
    lost: bool,
    /// How many more messages pass before the connection breaks.
    breaks_after: Option<u32>,
}

/// What is on its way to the gateway.
pub(crate) enum Up {
    /// The upgrade request, for this target.
    Upgrade(String),
    Message(Message),
    Close(u16),
    Pong,
    Bytes(Vec<u8>),
    /// The client has let go.
    Gone,
}

/// What is on its way to the client.
pub(crate) enum Down {
    Opened,
    Failed(ConnectError),
    Message(Message, About),
    Ping,
    /// To be handed in in pieces of so many.
    Bytes(Bytes, usize),
    Closed(Closed),
}

/// What becomes of something that is sent.
pub(crate) enum Fate {
    Arrives(Time),
    Lost,
    /// It breaks the connection.
    Breaks,
}

impl Link {
    pub(crate) fn new(client: ClientId, end: End, line: Line) -> Self {
        Self {
            client,
            end,
            connection: None,
            client_holds: true,
            server_holds: false,
            in_flight: 0,
            broken: false,
            opened: false,
            closing: false,
            blocked: false,
            spoiled: None,
            line,
            up: Path::default(),
            down: Path::default(),
            stalled_until: Time::ZERO,
            slow: None,
            rng: Rng::with_seed(line.seed),
        }
    }

    /// Sends something now.
    pub(crate) fn send(&mut self, direction: Direction, now: Time) -> Fate {
        let delay = self.line.latency + self.line.jitter.mul_f64(self.rng.f64());
        let delay = match self.slow {
            Some((by, until)) if now < until => delay + by,
            _ => delay,
        };
        let path = match direction {
            Direction::Down => &mut self.down,
            Direction::Up | Direction::Both => &mut self.up,
        };
        if path.lost {
            return Fate::Lost;
        }
        match &mut path.breaks_after {
            Some(0) => return Fate::Breaks,
            Some(messages) => *messages -= 1,
            None => {}
        }
        path.newest = (now + delay).max(path.newest).max(self.stalled_until);
        Fate::Arrives(path.newest)
    }

    /// It breaks after so many more messages in this direction.
    pub fn break_after(&mut self, messages: u32, direction: Direction) {
        self.each(direction, |path| path.breaks_after = Some(messages));
    }

    /// What is sent in this direction is lost from now on, and neither end learns of it.
    pub fn lose(&mut self, direction: Direction) {
        self.each(direction, |path| path.lost = true);
    }

    /// Nothing arrives before then, in either direction.
    pub fn stall(&mut self, until: Time) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// Until then every message takes so much longer.
    pub fn slow_down(&mut self, by: Duration, until: Time) {
        self.slow = Some((by, until));
    }

    /// The network takes nothing more from the client.
    pub fn block_writes(&mut self) {
        self.blocked = true;
    }

    /// What the gateway sends from now on arrives so much later than what it has sent.
    pub(crate) fn hold_down(&mut self, by: Duration, now: Time) {
        self.down.newest = self.down.newest.max(now) + by;
    }

    fn each(&mut self, direction: Direction, change: impl Fn(&mut Path)) {
        if direction != Direction::Down {
            change(&mut self.up);
        }
        if direction != Direction::Up {
            change(&mut self.down);
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_proto::ShardId;

    use super::*;

    fn link() -> Link {
        let line = Line { latency: Duration::from_millis(20), jitter: Duration::from_millis(50), seed: 1 };
        Link::new(ClientId::new(1, ShardId::ONE), End::Messages, line)
    }

    fn arrival(link: &mut Link, now: Time) -> Time {
        match link.send(Direction::Down, now) {
            Fate::Arrives(at) => at,
            Fate::Lost | Fate::Breaks => panic!("it should arrive"),
        }
    }

    #[test]
    fn nothing_overtakes() {
        let mut link = link();
        let arrivals: Vec<Time> = (0..100).map(|_| arrival(&mut link, Time::ZERO)).collect();
        assert!(arrivals.is_sorted());
        assert!(arrivals[0] >= Time::ZERO + Duration::from_millis(20));
    }

    #[test]
    fn a_stall_holds_up_and_then_lets_go() {
        let mut link = link();
        let end = Time::from_hours(1.0);
        link.stall(end);
        assert_eq!(arrival(&mut link, Time::ZERO), end);
        assert!(arrival(&mut link, end) > end);
    }

    #[test]
    fn it_breaks_after_so_many_messages_and_loses_in_one_direction_only() {
        let mut link = link();
        link.break_after(1, Direction::Down);
        arrival(&mut link, Time::ZERO);
        assert!(matches!(link.send(Direction::Down, Time::ZERO), Fate::Breaks));
        link.lose(Direction::Down);
        assert!(matches!(link.send(Direction::Down, Time::ZERO), Fate::Lost));
        assert!(matches!(link.send(Direction::Up, Time::ZERO), Fate::Arrives(_)));
    }
}
