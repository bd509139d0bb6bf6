//! All shards of a bot in one value.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")
)]

mod cutover;
mod generation;

pub use cutover::{CutoverTally, Switch};
pub use generation::{Generation, ShardKey};
