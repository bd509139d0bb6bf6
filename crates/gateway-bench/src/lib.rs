#![doc = include_str!("../README.md")]
// The macro that builds a guild needs it.
#![recursion_limit = "256"]

pub mod client;
#[cfg(feature = "ours")]
pub mod corpus;
#[cfg(feature = "ours")]
pub mod decode;
#[cfg(feature = "ours")]
pub mod frames;
pub mod limits;
pub mod mode;
pub mod program;
#[cfg(feature = "ours")]
pub mod run;
#[cfg(feature = "ours")]
pub mod serve;
