//! What the simulation needs of a shard, whichever way it is driven.

use std::time::{Duration, Instant};

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::session::AckError;
use gateway_driver::proto::{
    Command, ConnectError, Event, GatewayUrl, Reconnect, ShardConfig, Shutdown, StopReason,
};

use crate::probe::Probe;

/// A shard without a socket.
pub(crate) trait Client: Sized {
    fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError>;
    /// The next thing to do; ends in [`Order::Timeout`] or [`Order::Stopped`].
    fn poll(&mut self) -> Order;
    /// Something happened.
    fn tell(&mut self, news: News, now: Instant);
    /// The network takes no more bytes on this connection.
    fn stop_writes(&mut self);
    fn send(&mut self, command: Command) -> Result<(), SendError>;
    fn shutdown(&mut self, how: Shutdown);
    fn reconnect(&mut self, how: Reconnect);
    fn ack(&mut self, sequence: u64) -> Result<(), AckError>;
    fn probe(&self) -> Probe;
}

/// What a shard wants done.
pub(crate) enum Order {
    Connect(GatewayUrl),
    AcquireIdentify,
    CancelIdentify,
    Event(Event),
    /// This reaches the server.
    Act(Act),
    /// The stream is dropped.
    Disconnect,
    Timeout(Instant),
    Stopped(StopReason),
}

/// What reaches the server.
#[derive(Debug)]
pub(crate) enum Act {
    Opens { target: String, key: String },
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Closes(Option<u16>),
    Pong,
}

/// What a shard is told.
pub(crate) enum News {
    /// The byte stream is open, TLS included.
    StreamOpen,
    ConnectFailed(ConnectError),
    /// The stream gave these bytes.
    Bytes(Vec<u8>),
    End,
    Reset,
    IdentifyGranted,
    ReadingPaused,
    ReadingResumed,
    /// The wall clock: time since 1970.
    WallClock(Duration),
    Timeout,
}
