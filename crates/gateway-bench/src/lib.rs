#![doc = include_str!("../README.md")]
// The macro that builds a guild needs it.
#![recursion_limit = "256"]

pub mod client;
pub mod corpus;
pub mod decode;
pub mod frames;
pub mod limits;
pub mod program;
pub mod run;
pub mod serve;
