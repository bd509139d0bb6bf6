//! Shared by the byte-level tests: a scripted server.

#![allow(dead_code, reason = "no test file uses all of it")]

pub(crate) mod broken_frames;
pub(crate) mod peer;
pub(crate) mod wire;

use gateway_proto::{Compression, Intents, ShardConfig};

/// A configuration with reproducible waits.
pub(crate) fn config() -> ShardConfig {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.compression = Compression::None;
    config.url = "ws://gateway.example".to_owned();
    config.seed = Some(7);
    config
}
