//! The whole client over plain bytes: received bytes go in, bytes to send come out.
//!
//! [`Connection`] wraps a [`Shard`](crate::Shard) and adds the HTTP upgrade, the WebSocket framing and the close handshake. TCP and
//! TLS stay with the caller. Heartbeats, limits, back-off and the choice between Identify and Resume are the shard's.
//!
#![doc = include_str!("BRING_YOUR_OWN_SOCKET.md")]
//!
//! How the calls of the Python package `discord-gateway` map to these: [the crate's documentation](crate) has the table.

mod connection;
mod failure;
mod frames;
mod framing;
mod input;
mod outgoing;
mod output;
mod transmit;

pub use connection::Connection;
pub use input::Input;
pub use output::Output;
