//! The gateway behind a TCP port: threads, the clock and sockets around the sans-I/O core.
//!
//! Three kinds of threads share the gateway behind one lock. One waits for its next deadline. One accepts. Each connection
//! has one that reads and feeds the gateway, and one that writes what the gateway put in its queue, so that a client that
//! does not read holds up nobody.

mod http;
mod listener;
mod reader;
mod server;
mod socket;
mod state;
#[cfg(feature = "tls")]
mod tls;
mod writer;

pub use server::{Server, ServerConfig};
pub use state::Observer;
#[cfg(feature = "tls")]
pub use tls::Tls;
