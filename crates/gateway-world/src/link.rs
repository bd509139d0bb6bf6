//! One connection between a shard and the gateway: what is on its way, and what is wrong with it.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use gateway_proto::{Closed, ConnectError};
use gateway_sim::{About, ConnectionId};

use crate::fault::Direction;
use crate::time::Time;

/// Names a link: 1 for the first of the world.
pub(crate) type LinkId = u64;

/// A connection, from the dial to the moment when both ends have let go of it.
pub(crate) struct Link {
    /// The index of the shard that opened it.
    pub(crate) shard: usize,
    /// What the gateway calls it, once the upgrade request has arrived.
    pub(crate) connection: Option<ConnectionId>,
    /// The shard's end is open or being opened.
    pub(crate) client_holds: bool,
    /// The gateway's end is open.
    pub(crate) server_holds: bool,
    /// How much is on its way on it.
    pub(crate) in_flight: u32,
    /// It is lost, and nothing on its way will arrive.
    pub(crate) broken: bool,
    /// The shard was told that it is open.
    pub(crate) opened: bool,
    up: Path,
    down: Path,
    stalled_until: Time,
    slow: Option<(Duration, Time)>,
    latency: Duration,
    jitter: Duration,
    rng: Rng,
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
    Text(Bytes),
    Binary(Bytes),
    Close(u16),
    Gone,
}

/// What is on its way to the shard.
pub(crate) enum Down {
    Opened,
    Failed(ConnectError),
    Message(gateway_proto::Message, About),
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
    pub(crate) fn new(shard: usize, latency: Duration, jitter: Duration, seed: u64) -> Self {
        Self {
            shard,
            connection: None,
            client_holds: true,
            server_holds: false,
            in_flight: 0,
            broken: false,
            opened: false,
            up: Path::default(),
            down: Path::default(),
            stalled_until: Time::ZERO,
            slow: None,
            latency,
            jitter,
            rng: Rng::with_seed(seed),
        }
    }

    /// Sends something now.
    pub(crate) fn send(&mut self, direction: Direction, now: Time) -> Fate {
        let delay = self.latency + self.jitter.mul_f64(self.rng.f64());
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

    pub(crate) fn break_after(&mut self, messages: u32, direction: Direction) {
        self.each(direction, |path| path.breaks_after = Some(messages));
    }

    pub(crate) fn lose(&mut self, direction: Direction) {
        self.each(direction, |path| path.lost = true);
    }

    pub(crate) fn stall(&mut self, until: Time) {
        self.stalled_until = self.stalled_until.max(until);
    }

    pub(crate) fn slow_down(&mut self, by: Duration, until: Time) {
        self.slow = Some((by, until));
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
    use super::*;

    fn link() -> Link {
        Link::new(0, Duration::from_millis(20), Duration::from_millis(50), 1)
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
