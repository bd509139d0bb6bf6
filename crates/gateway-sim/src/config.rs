//! What a simulated gateway is like: its token, its guilds, its limits.

use std::fmt;
use std::time::Duration;

use crate::framing::{FrameMode, KeyOrder};
use crate::script::ScriptStep;

/// The properties of a [`Gateway`](crate::Gateway). Start from `Default` and assign fields.
///
/// ```
/// let mut config = gateway_sim::Config::default();
/// config.guilds = 3;
/// config.seed = 42;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The one token that is accepted, without the `Bot ` prefix.
    pub token: String,
    /// What READY and `GET /gateway` say: scheme, host and port, no slash at the end. [`Server`](crate::Server) fills it in.
    pub url: String,
    /// The `resume_gateway_url` of READY, if it is to differ from `url`.
    pub resume_url: Option<String>,
    /// Same seed, same inputs at the same times: same outputs.
    pub seed: u64,
    /// Guilds that the bot is in, over all shards.
    pub guilds: u32,
    /// Members of each guild, at least 2 (the owner and the bot).
    pub members: u32,
    /// Background events a second over all guilds; 0 for none.
    pub rate: f64,
    /// `heartbeat_interval` of Hello.
    pub heartbeat_interval: Duration,
    /// Close with 4009 after so many intervals without a heartbeat; `None` for never.
    pub missed_heartbeats: Option<u32>,
    /// How long after the connection opened Hello is sent.
    pub hello_delay: Duration,
    /// How long after a heartbeat its ACK is sent.
    pub ack_delay: Duration,
    /// Dispatches kept for a Resume. `None`: 75 for each guild of the session, at least 100 and at most 3500.
    pub replay_limit: Option<usize>,
    /// How long a session lives without a connection.
    pub session_expiry: Duration,
    /// Identify buckets ("Discord Docs, Gateway > Rate Limiting": `max_concurrency`).
    pub max_concurrency: u32,
    /// Time that must pass between two Identifies of one bucket.
    pub identify_interval: Duration,
    /// Session starts in 24 hours. An Identify beyond them is closed with 4004, as a reset token would be.
    pub session_starts: u32,
    /// `shards` of `GET /gateway/bot`.
    pub recommended_shards: u32,
    /// Guilds that one shard may have; more close with 4011.
    pub guilds_per_shard: u32,
    /// Client messages that are allowed in each `send_window`; one more closes with 4008.
    pub send_limit: usize,
    /// The window of `send_limit`.
    pub send_window: Duration,
    /// Bytes that a client message may have; more close with 4002.
    pub payload_limit: usize,
    /// Intent bits that are not enabled for this bot; asking for one closes with 4014.
    pub disallowed_intents: u64,
    /// Under payload compression, messages from this many bytes on are compressed.
    pub compress_from: usize,
    /// How messages are cut into WebSocket frames.
    pub frame_mode: FrameMode,
    /// The order of the keys of JSON and ETF envelopes.
    pub key_order: KeyOrder,
    /// Milliseconds since 1970 at the start, for the times within payloads.
    pub unix_time_ms: u64,
    /// What is to happen when.
    pub script: Vec<ScriptStep>,
    /// Record every dispatch in the [`Ledger`](crate::Ledger): 32 bytes for each, never given back.
    pub ledger: bool,
    /// Record what goes over the wire, which is kept until it is fetched with [`Gateway::poll_record`](crate::Gateway::poll_record).
    pub trace: bool,
    /// Put what was sent and received into the records of the trace, tokens and all.
    pub payloads: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token: "simulated-token".to_owned(),
            url: "ws://127.0.0.1".to_owned(),
            resume_url: None,
            seed: 0,
            guilds: 2,
            members: 10,
            rate: 0.0,
            heartbeat_interval: Duration::from_millis(41_250),
            missed_heartbeats: Some(3),
            hello_delay: Duration::ZERO,
            ack_delay: Duration::ZERO,
            replay_limit: None,
            session_expiry: Duration::from_secs(300),
            max_concurrency: 1,
            identify_interval: Duration::from_secs(5),
            session_starts: 1000,
            recommended_shards: 1,
            guilds_per_shard: 2500,
            send_limit: 120,
            send_window: Duration::from_secs(60),
            payload_limit: 4096,
            disallowed_intents: 0,
            compress_from: 512,
            frame_mode: FrameMode::Whole,
            key_order: KeyOrder::Usual,
            unix_time_ms: 1_780_000_000_000,
            script: Vec::new(),
            ledger: true,
            trace: false,
            payloads: false,
        }
    }
}

impl Config {
    /// Whether `token`, with or without `Bot `, is the accepted one.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        token.strip_prefix("Bot ").unwrap_or(token) == self.token
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("url", &self.url)
            .field("seed", &self.seed)
            .field("guilds", &self.guilds)
            .field("rate", &self.rate)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .finish_non_exhaustive()
    }
}
