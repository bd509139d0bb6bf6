//! The clients that the engine drives: shards over messages or over bytes.

use std::time::Instant;

use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::health::{Health, Stats};
use gateway_proto::raw::{self, Connection};
use gateway_proto::session::{AckError, DispatchKey, SessionSnapshot};
use gateway_proto::{Closed, Command, Input, Output, Reconnect, Shard, ShardConfig, Shutdown};

/// Creates a client that has not connected.
///
/// # Errors
///
/// If the configuration cannot be used.
pub type MakeClient = fn(ShardConfig, Instant) -> Result<Box<dyn Client>, ConfigError>;

/// Creates a [`Shard`] that exchanges messages with the engine.
///
/// # Errors
///
/// If the configuration cannot be used.
pub fn over_messages(config: ShardConfig, now: Instant) -> Result<Box<dyn Client>, ConfigError> {
    Ok(Box::new(Shard::new(config, now)?))
}

/// Creates a [`Connection`] that exchanges bytes with the engine.
///
/// # Errors
///
/// If the configuration cannot be used.
pub fn over_bytes(config: ShardConfig, now: Instant) -> Result<Box<dyn Client>, ConfigError> {
    Ok(Box::new(Connection::new(config, now)?))
}

/// A shard as seen by the engine and its application: [`Shard`], [`Connection`], or a wrapper around one. The methods
/// correspond to theirs.
#[expect(clippy::missing_errors_doc, reason = "they are those of Shard")]
pub trait Client {
    /// [`Shard::handle_input`]. A client over bytes receives no [`Input::Message`] and no [`Input::Progress`].
    fn handle_input(&mut self, input: Input, now: Instant);
    /// [`Shard::poll_output`]. A client over bytes returns no [`Output::Send`] and no [`Output::Close`].
    fn poll_output(&mut self) -> Output;
    /// The byte stream of a client over bytes. `None` for a client over messages.
    fn stream(&mut self) -> Option<&mut dyn Stream> {
        None
    }
    /// [`Shard::send`].
    fn send(&mut self, command: Command) -> Result<(), SendError>;
    /// [`Shard::ack`].
    fn ack(&mut self, sequence: u64) -> Result<(), AckError>;
    /// [`Shard::ack_up_to`].
    fn ack_up_to(&mut self, key: DispatchKey) -> Result<(), AckError>;
    /// [`Shard::heartbeat`].
    fn heartbeat(&mut self);
    /// [`Shard::shutdown`].
    fn shutdown(&mut self, how: Shutdown);
    /// [`Shard::reconnect`].
    fn reconnect(&mut self, how: Reconnect);
    /// [`Shard::session`].
    fn session(&self) -> Option<SessionSnapshot>;
    /// [`Shard::stats`].
    fn stats(&self) -> &Stats;
    /// [`Shard::health`].
    fn health(&self) -> Health;
    /// [`Shard::config`].
    fn config(&self) -> &ShardConfig;
}

/// The bytes of a client: see [`Connection`].
pub trait Stream {
    /// [`Connection::handle_bytes`].
    fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant);
    /// [`Connection::transmit`].
    fn transmit(&self) -> &[u8];
    /// [`Connection::transmitted`].
    fn transmitted(&mut self, count: usize);
}

/// The methods of [`Client`] for the application, delegated to the inner shard.
macro_rules! application_of {
    ($this:ident => $shard:expr) => {
        fn send(&mut $this, command: gateway_proto::Command) -> Result<(), gateway_proto::command::SendError> {
            $shard.send(command)
        }

        fn ack(&mut $this, sequence: u64) -> Result<(), gateway_proto::session::AckError> {
            $shard.ack(sequence)
        }

        fn ack_up_to(
            &mut $this,
            key: gateway_proto::session::DispatchKey,
        ) -> Result<(), gateway_proto::session::AckError> {
            $shard.ack_up_to(key)
        }

        fn heartbeat(&mut $this) {
            $shard.heartbeat();
        }

        fn shutdown(&mut $this, how: gateway_proto::Shutdown) {
            $shard.shutdown(how);
        }

        fn reconnect(&mut $this, how: gateway_proto::Reconnect) {
            $shard.reconnect(how);
        }

        fn session(&$this) -> Option<gateway_proto::session::SessionSnapshot> {
            $shard.session()
        }

        fn stats(&$this) -> &gateway_proto::health::Stats {
            $shard.stats()
        }

        fn health(&$this) -> gateway_proto::health::Health {
            $shard.health()
        }

        fn config(&$this) -> &gateway_proto::ShardConfig {
            $shard.config()
        }
    };
}
pub(crate) use application_of;

impl Client for Shard {
    fn handle_input(&mut self, input: Input, now: Instant) {
        self.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        self.poll_output()
    }

    application_of!(self => self);
}

impl Client for Connection {
    fn handle_input(&mut self, input: Input, now: Instant) {
        let input = match input {
            Input::Opened => raw::Input::Opened,
            Input::ConnectFailed(error) => raw::Input::ConnectFailed(error),
            Input::Closed(Closed::Eof) => raw::Input::EndOfStream,
            Input::Closed(Closed::Failed(text)) => raw::Input::Failed(text),
            Input::Closed(closed) => raw::Input::Failed(closed.to_string()),
            Input::IdentifyGranted => raw::Input::IdentifyGranted,
            Input::IdentifyRefused(refused) => raw::Input::IdentifyRefused(refused),
            Input::ReadingPaused => raw::Input::ReadingPaused,
            Input::ReadingResumed => raw::Input::ReadingResumed,
            Input::WallClock(since_1970) => raw::Input::WallClock(since_1970),
            Input::Timeout => raw::Input::Timeout,
            // Both arrive as bytes.
            Input::Message(_) | Input::Progress { .. } => return,
        };
        self.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        match self.poll_output() {
            raw::Output::Connect(url) => Output::Connect(url),
            raw::Output::AcquireIdentify => Output::AcquireIdentify,
            raw::Output::CancelIdentify => Output::CancelIdentify,
            raw::Output::Event(event) => Output::Event(event),
            raw::Output::ShutDown => Output::Disconnect,
            raw::Output::Timeout(deadline) => Output::Timeout(deadline),
            raw::Output::Stopped(reason) => Output::Stopped(reason),
        }
    }

    fn stream(&mut self) -> Option<&mut dyn Stream> {
        Some(self)
    }

    application_of!(self => self);
}

impl Stream for Connection {
    fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant) {
        self.handle_bytes(bytes, now);
    }

    fn transmit(&self) -> &[u8] {
        self.transmit()
    }

    fn transmitted(&mut self, count: usize) {
        self.transmitted(count);
    }
}
