//! What a client owes RFC 6455 beyond what tungstenite does for it.
//!
//! For those who put tungstenite over a byte stream: [`raw::Connection`](crate::raw) and the async driver are built on it,
//! so that both see the same in the same bytes. [`Frames`] follows the bytes on their way to tungstenite, [`failure`] tells
//! what an error of tungstenite's means.

mod failure;
mod frames;

pub use failure::{Failure, failure};
pub use frames::Frames;
