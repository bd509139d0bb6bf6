//! The gateway behind a TCP port: an executor, the clock and sockets around the sans-I/O core.
//! One thread runs an executor with these tasks: one for each address, which accepts; one for each connection, which
//! reads and writes; and one that waits for the next deadline of the gateway. They share the gateway behind a lock with
//! the threads that call [`Server`]. Outputs go into the queue of their connection, so that a client that does not read
//! delays no other.
//! delays no other.

mod clock;
mod connection;
mod executor;
mod line;
mod listener;
mod port;
mod request;
mod server;
mod shared;
#[cfg(feature = "tls")]
mod tls;
mod websocket;

pub use port::ReservedPort;
pub use server::{Server, ServerConfig};
pub use shared::Observer;
#[cfg(feature = "tls")]
pub use tls::Tls;
