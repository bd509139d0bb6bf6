//! An open WebSocket in the client's role (RFC 6455), as far as it carries payloads.
//!
//! For those who own the byte stream: [`raw::Connection`](crate::raw) and the async driver are built on it, so that both see
//! the same in the same bytes. [`Frames`] takes apart what comes. Pings, pongs and the close handshake are tungstenite's:
//! it is handed the control frames, and [`failure`] tells what an error of its means. Messages pass it by, in both
//! directions, since it prints all that it sees at the level trace. [`write_message`] puts one on the wire.

mod control;
mod failure;
mod frames;
mod outgoing;

pub use control::{close_frame, control_config};
pub use failure::{Failure, failure};
pub use frames::{Frames, Part};
pub use outgoing::write_message;
