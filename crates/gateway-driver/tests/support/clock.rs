//! A runtime with a virtual clock that the test moves, and with pipes in memory as connections.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use gateway_driver::Runtime;

use super::pipe::{self, ClientEnd, ServerEnd};

#[derive(Clone)]
pub struct VirtualRuntime {
    world: Arc<Mutex<World>>,
}

struct World {
    now: Instant,
    /// The time since 1970, which advances while the machine is suspended.
    wall_clock: Duration,
    sleepers: Vec<(Instant, Waker)>,
    /// The outcomes of the next connections; later ones succeed.
    dials: VecDeque<Dial>,
    /// The server's ends of connections that were not accepted yet.
    accepted: VecDeque<ServerEnd>,
    connects: Vec<(String, u16)>,
}

/// The outcome of a connection.
pub enum Dial {
    Accept,
    Fail(io::Error),
    /// Never answers.
    Hang,
}

impl Default for VirtualRuntime {
    fn default() -> Self {
        let world = World {
            now: Instant::now(),
            wall_clock: Duration::from_secs(1_780_000_000),
            sleepers: Vec::new(),
            dials: VecDeque::new(),
            accepted: VecDeque::new(),
            connects: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }
}

impl VirtualRuntime {
    /// Plans the outcome of the next connection without a plan.
    pub fn plan(&self, dial: Dial) {
        self.world.lock().unwrap().dials.push_back(dial);
    }

    /// The server's end of the oldest connection that was not taken yet.
    pub fn accept(&self) -> Option<ServerEnd> {
        self.world.lock().unwrap().accepted.pop_front()
    }

    /// The hosts and ports of requested connections.
    pub fn connects(&self) -> Vec<(String, u16)> {
        self.world.lock().unwrap().connects.clone()
    }

    /// Moves the time to the next deadline of a timer, but not beyond `limit`. Returns whether there was one.
    pub fn advance_to_next(&self, limit: Instant) -> bool {
        let mut world = self.world.lock().unwrap();
        let next = world.sleepers.iter().map(|(at, _)| *at).min().unwrap_or(limit).min(limit);
        let passed = next.saturating_duration_since(world.now);
        (world.now, world.wall_clock) = (world.now + passed, world.wall_clock + passed);
        let now = world.now;
        let (due, waiting) = std::mem::take(&mut world.sleepers).into_iter().partition(|(at, _)| *at <= now);
        world.sleepers = waiting;
        drop(world);
        let due: Vec<(Instant, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
        now >= limit
    }

    /// Moves the time without waking a task, as after a stopped process.
    pub fn jump(&self, by: Duration) {
        let mut world = self.world.lock().unwrap();
        (world.now, world.wall_clock) = (world.now + by, world.wall_clock + by);
    }

    /// Suspends the machine: only the wall clock advances.
    pub fn sleep(&self, by: Duration) {
        self.world.lock().unwrap().wall_clock += by;
    }
}

impl Runtime for VirtualRuntime {
    type Stream = ClientEnd;

    async fn connect(&self, host: &str, port: u16) -> io::Result<ClientEnd> {
        let dial = {
            let mut world = self.world.lock().unwrap();
            world.connects.push((host.to_owned(), port));
            world.dials.pop_front().unwrap_or(Dial::Accept)
        };
        match dial {
            Dial::Fail(error) => Err(error),
            Dial::Hang => pending().await,
            Dial::Accept => {
                let (client, server) = pipe::new();
                self.world.lock().unwrap().accepted.push_back(server);
                Ok(client)
            }
        }
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let world = self.world.clone();
        poll_fn(move |context| {
            let mut world = world.lock().unwrap();
            if world.now >= deadline {
                return Poll::Ready(());
            }
            world.sleepers.push((deadline, context.waker().clone()));
            Poll::Pending
        })
    }

    fn now(&self) -> Instant {
        self.world.lock().unwrap().now
    }

    fn wall_clock(&self) -> Option<Duration> {
        Some(self.world.lock().unwrap().wall_clock)
    }
}
