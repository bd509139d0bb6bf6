//! Inputs and outputs of a gateway.

use std::fmt;

use crate::bytes_fault::ByteFault;
use crate::message::Message;
use crate::response::Response;

/// Identifies a connection: 1 for the first of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A message that was too large to be read.
    TooLarge,
    /// The answer to a ping.
    Pong,
    /// A close frame, with its code.
    Close(Option<u16>),
    /// The connection ended without a close frame.
    Gone,
}

/// What to do on a connection. `Refuse`, `Drop`, `Abort` and `Cut` are the last output of a connection.
///
/// Exhaustive on purpose: code that performs outputs must handle a new one.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Answer the upgrade request with 101.
    Accept,
    /// Answer the upgrade request with this response instead, and end the connection.
    Refuse(Response),
    /// Send a WebSocket message.
    Send(Message),
    /// Send a ping.
    Ping,
    /// Send a close frame with this code and reason, or an empty one. The connection stays open for the echo.
    Close(Option<u16>, String),
    /// End the TCP stream.
    Drop,
    /// Reset the TCP stream.
    Abort,
    /// Send half of this message, then reset the TCP stream.
    Cut(Message),
    /// From now on send nothing, not even a pong.
    Silence,
    /// Apply this fault to the bytes that follow.
    Bytes(ByteFault),
}
