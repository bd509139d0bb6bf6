//! A shard that lies, for the tests of the invariants.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::collections::VecDeque;
use std::time::Instant;

use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::health::{Health, Stats};
use gateway_proto::session::{AckError, DispatchKey, SessionSnapshot};
use gateway_proto::{Command, Input, Output, Reconnect, Shard, ShardConfig, Shutdown};
use gateway_world::{Client, Fault, Planned, Profile, Setting, Time, User, Violation, World};

/// What a liar does wrong.
pub(crate) trait Lie: Default + 'static {
    /// Changes what a process begins with.
    fn start(config: &mut ShardConfig) {
        let _ = config;
    }

    /// Changes what comes out.
    fn output(&mut self, shard: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        let _ = (shard, more);
        Some(output)
    }

    /// Looks at what goes in.
    fn input(&mut self, shard: &mut Shard, input: &Input, now: Instant) {
        let _ = (shard, input, now);
    }

    /// Changes what is stored.
    fn session(&self, session: Option<SessionSnapshot>) -> Option<SessionSnapshot> {
        session
    }

    /// Changes how many commands are said to wait.
    fn queued_commands(&self, waiting: usize) -> usize {
        waiting
    }

    /// Changes what is acknowledged.
    fn ack(&mut self, shard: &mut Shard, sequence: u64) -> Result<(), AckError> {
        shard.ack(sequence)
    }

    /// Changes the counters.
    fn stats(&self, stats: &mut Stats) {
        let _ = stats;
    }
}

/// A shard, and the lie it is wrapped in.
pub(crate) struct Liar<L> {
    shard: Shard,
    lie: L,
    more: VecDeque<Output>,
    stats: Stats,
}

impl<L: Lie> Liar<L> {
    pub(crate) fn make(mut config: ShardConfig, now: Instant) -> Result<Box<dyn Client>, ConfigError> {
        L::start(&mut config);
        let shard = Shard::new(config, now)?;
        Ok(Box::new(Self { shard, lie: L::default(), more: VecDeque::new(), stats: Stats::default() }))
    }
}

impl<L: Lie> Client for Liar<L> {
    fn handle_input(&mut self, input: Input, now: Instant) {
        self.lie.input(&mut self.shard, &input, now);
        self.shard.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        let output = self.next_output();
        self.stats.clone_from(self.shard.stats());
        self.lie.stats(&mut self.stats);
        output
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.lie.ack(&mut self.shard, sequence)
    }

    fn ack_up_to(&mut self, key: DispatchKey) -> Result<(), AckError> {
        self.shard.ack_up_to(key)
    }

    fn heartbeat(&mut self) {
        self.shard.heartbeat();
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shard.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.shard.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.lie.session(self.shard.session())
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn health(&self) -> Health {
        let mut health = self.shard.health();
        health.queued_commands = self.lie.queued_commands(health.queued_commands);
        health
    }

    fn config(&self) -> &ShardConfig {
        self.shard.config()
    }
}

impl<L: Lie> Liar<L> {
    fn next_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.more.pop_front() {
                return output;
            }
            let output = self.shard.poll_output();
            if let Some(output) = self.lie.output(&mut self.shard, output, &mut self.more) {
                return output;
            }
        }
    }
}

/// Faults of all shards, each at its hour.
pub(crate) fn plan(faults: &[(f64, Fault)]) -> Vec<Planned> {
    let planned = |(hours, fault): &(f64, Fault)| Planned {
        at: Time::from_hours(*hours),
        shard: None,
        fault: fault.clone(),
    };
    faults.iter().map(planned).collect()
}

/// The rule that a liar is found to break, in six hours with some faults.
pub(crate) fn violation<L: Lie>(faults: &[(f64, Fault)]) -> Option<Violation> {
    violation_in::<L>(6.0, 2, faults)
}

pub(crate) fn violation_in<L: Lie>(hours: f64, shards: u32, faults: &[(f64, Fault)]) -> Option<Violation> {
    violation_of::<L>(User::Quick, hours, shards, faults)
}

pub(crate) fn violation_of<L: Lie>(
    user: User,
    hours: f64,
    shards: u32,
    faults: &[(f64, Fault)],
) -> Option<Violation> {
    let setting = Setting { seed: 1, hours, shards, profile: Profile::Calm, user };
    let mut cycle = setting.cycle(0).expect("a world has a beginning");
    cycle.faults = plan(faults);
    World::new(setting, Time::ZERO, std::iter::once(cycle), Liar::<L>::make).run().violation
}

/// Its name.
pub(crate) fn caught<L: Lie>(faults: &[(f64, Fault)]) -> Option<&'static str> {
    violation::<L>(faults).map(|violation| violation.invariant)
}

/// Says the truth.
#[derive(Default)]
pub(crate) struct Honest;
impl Lie for Honest {}
