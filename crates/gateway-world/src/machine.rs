//! What the world drives: a shard, or in the tests of the invariants something that only pretends to be a good one.

use std::time::Instant;

use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::health::{Phase, Stats};
use gateway_proto::session::{AckError, SessionSnapshot};
use gateway_proto::{Command, Input, Output, Reconnect, Shard, ShardConfig, Shutdown};

/// A shard as the world sees it. The methods mean what they mean for [`Shard`].
pub trait Machine: Sized {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be used.
    fn start(config: ShardConfig, now: Instant) -> Result<Self, ConfigError>;
    /// [`Shard::handle_input`].
    fn handle_input(&mut self, input: Input, now: Instant);
    /// [`Shard::poll_output`].
    fn poll_output(&mut self) -> Output;
    /// [`Shard::send`].
    ///
    /// # Errors
    ///
    /// Where the command is not taken.
    fn send(&mut self, command: Command) -> Result<(), SendError>;
    /// [`Shard::ack`].
    ///
    /// # Errors
    ///
    /// Where there is no such dispatch to acknowledge.
    fn ack(&mut self, sequence: u64) -> Result<(), AckError>;
    /// [`Shard::shutdown`].
    fn shutdown(&mut self, how: Shutdown);
    /// [`Shard::reconnect`].
    fn reconnect(&mut self, how: Reconnect);
    /// [`Shard::session`].
    fn session(&self) -> Option<SessionSnapshot>;
    /// [`Shard::stats`].
    fn stats(&self) -> &Stats;
    /// [`Shard::phase`].
    fn phase(&self) -> Phase;
    /// How many commands wait.
    fn queued_commands(&self) -> usize;
}

impl Machine for Shard {
    fn start(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        Self::new(config, now)
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        self.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        self.poll_output()
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.send(command)
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.ack(sequence)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.session()
    }

    fn stats(&self) -> &Stats {
        self.stats()
    }

    fn phase(&self) -> Phase {
        self.phase()
    }

    fn queued_commands(&self) -> usize {
        self.health().queued_commands
    }
}
