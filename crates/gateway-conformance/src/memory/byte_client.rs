//! The whole client over bytes, given what the stream gave in one piece or byte by byte.

use std::collections::VecDeque;
use std::time::Instant;

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::raw::{Connection, Input, Output};
use gateway_driver::proto::session::AckError;
use gateway_driver::proto::{Command, Reconnect, ShardConfig, Shutdown};

use super::client::{Act, Client, News, Order};
use super::server_bytes::Receiving;
use crate::probe::Probe;

/// Above this, what has come is read in pieces of some kilobytes at least.
const LARGE: usize = 1 << 20;

/// Reads give all there is.
pub(crate) type WholeReads = ByteClient<{ usize::MAX }>;
/// Reads and writes move one byte.
pub(crate) type OneByteAtATime = ByteClient<1>;

/// The client, whose reads give and whose writes take at most so many bytes.
pub(crate) struct ByteClient<const BYTES: usize> {
    connection: Connection,
    /// The other end of the stream.
    server: Receiving,
    orders: VecDeque<Order>,
    writes_stopped: bool,
}

impl<const BYTES: usize> Client for ByteClient<BYTES> {
    fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let connection = Connection::new(config, now)?;
        Ok(Self { connection, server: Receiving::default(), orders: VecDeque::new(), writes_stopped: false })
    }

    fn poll(&mut self) -> Order {
        if self.orders.is_empty() {
            let last = self.poll_connection();
            self.orders.push_back(last);
        }
        self.orders.pop_front().expect("an order was just put there")
    }

    fn tell(&mut self, news: News, now: Instant) {
        let input = match news {
            News::StreamOpen => Input::Opened,
            News::ConnectFailed(error) => Input::ConnectFailed(error),
            News::Bytes(bytes) => {
                // A message of many megabytes byte by byte would take minutes, and show nothing that a small one does not.
                let size = if bytes.len() > LARGE { BYTES.max(4093) } else { BYTES };
                for mut part in bytes.chunks(size) {
                    while !part.is_empty() {
                        self.connection.handle_bytes(&mut part, now);
                        self.drain();
                    }
                }
                return;
            }
            News::End => Input::EndOfStream,
            News::Reset => Input::Failed("reset".to_owned()),
            News::IdentifyGranted => Input::IdentifyGranted,
            News::ReadingPaused => Input::ReadingPaused,
            News::ReadingResumed => Input::ReadingResumed,
            News::WallClock(time) => Input::WallClock(time),
            News::Timeout => Input::Timeout,
        };
        self.connection.handle_input(input, now);
    }

    fn stop_writes(&mut self) {
        self.writes_stopped = true;
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.connection.send(command)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.connection.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.connection.reconnect(how);
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.connection.ack(sequence)
    }

    fn probe(&self) -> Probe {
        Probe {
            health: self.connection.health(),
            stats: self.connection.stats().clone(),
            session: self.connection.session(),
        }
    }
}

impl<const BYTES: usize> ByteClient<BYTES> {
    /// The next order of the connection. Behind those in the queue, which may have become more by what was written.
    fn poll_connection(&mut self) -> Order {
        self.write();
        let output = self.connection.poll_output();
        // What is left for a socket that is shut down goes before the shutting down.
        self.write();
        match output {
            Output::Connect(url) => {
                (self.server, self.writes_stopped) = (Receiving::default(), false);
                Order::Connect(url)
            }
            Output::AcquireIdentify => Order::AcquireIdentify,
            Output::CancelIdentify => Order::CancelIdentify,
            Output::Event(event) => Order::Event(event),
            Output::ShutDown => Order::Disconnect,
            Output::Timeout(deadline) => Order::Timeout(deadline),
            Output::Stopped(reason) => Order::Stopped(reason),
        }
    }

    /// Takes the orders that a message has caused, so that the connection takes the next one.
    fn drain(&mut self) {
        loop {
            match self.poll_connection() {
                // Asked for again once everything is handed in.
                Order::Timeout(_) | Order::Stopped(_) => return,
                order => self.orders.push_back(order),
            }
        }
    }

    /// Writes what waits to be written, and lets the server read it.
    fn write(&mut self) {
        while !self.writes_stopped && !self.connection.transmit().is_empty() {
            let bytes = self.connection.transmit();
            let count = bytes.len().min(BYTES);
            let acts = self.server.acts(&bytes[..count]);
            self.connection.transmitted(count);
            self.orders.extend(acts.into_iter().map(order));
        }
    }
}

fn order(act: Act) -> Order {
    Order::Act(act)
}
