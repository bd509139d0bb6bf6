//! What the byte-level tests share: a server that a test writes by hand.

#![allow(dead_code, reason = "no test file uses all of it")]

pub(crate) mod broken_frames;
pub(crate) mod peer;
pub(crate) mod wire;

use gateway_proto::{Compression, Intents, ShardConfig};

/// A configuration whose every wait is reproducible.
pub(crate) fn config() -> ShardConfig {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.compression = Compression::None;
    config.url = "ws://gateway.example".to_owned();
    config.seed = Some(7);
    config
}
