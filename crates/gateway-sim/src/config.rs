//! The configuration of a simulated gateway: its token, its guilds, its limits.

use std::fmt;
use std::time::Duration;

use crate::framing::{FrameMode, KeyOrder};
use crate::script::ScriptStep;

/// The configuration of a [`Gateway`](crate::Gateway). Start from `Default` and assign fields.
///
/// ```
/// let mut config = gateway_sim::Config::default();
/// config.guilds = 3;
/// config.seed = 42;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The only token that is accepted, without the prefix `Bot `.
    pub token: String,
    /// The URL in READY and `GET /gateway`: scheme, host and port, without a trailing slash. [`Server`](crate::Server)
    /// sets it.
    pub url: String,
    /// The `resume_gateway_url` of READY. `None`: `url`.
    pub resume_url: Option<String>,
    /// The same seed and the same inputs at the same times give the same outputs.
    pub seed: u64,
    /// The number of guilds that the bot is in, over all shards.
    pub guilds: u32,
    /// The number of members of each guild, at least 2 (the owner and the bot).
    pub members: u32,
    /// Background events per second over all guilds; 0 for none.
    pub rate: f64,
    /// The `heartbeat_interval` of Hello.
    pub heartbeat_interval: Duration,
    /// The number of intervals without a heartbeat after which the gateway closes with 4009; `None` for never.
    pub missed_heartbeats: Option<u32>,
    /// The delay of Hello after the connection is open.
    pub hello_delay: Duration,
    /// The delay of an ACK after its heartbeat.
    pub ack_delay: Duration,
    /// The number of dispatches kept for a Resume. `None`: 75 for each guild of the session, at least 100 and at most
    /// 3500.
    pub replay_limit: Option<usize>,
    /// How long a session lives without a connection.
    pub session_expiry: Duration,
    /// The number of Identify buckets: `max_concurrency`
    /// ([Discord Docs, Gateway > Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting)).
    pub max_concurrency: u32,
    /// The shortest time between two Identifies of one bucket.
    pub identify_interval: Duration,
    /// Session starts in 24 hours. An Identify beyond them is closed with 4004, as after Discord's reset of the token.
    pub session_starts: u32,
    /// The `shards` of `GET /gateway/bot`.
    pub recommended_shards: u32,
    /// The most guilds of one shard; more are closed with 4011.
    pub guilds_per_shard: u32,
    /// The most client messages in each `send_window`; one more is closed with 4008.
    pub send_limit: usize,
    /// The window of `send_limit`.
    pub send_window: Duration,
    /// The largest size of a client message in bytes; a larger one is closed with 4002.
    pub payload_limit: usize,
    /// Intents that are not enabled for this bot; requesting one is closed with 4014.
    pub disallowed_intents: u64,
    /// The size in bytes from which messages are compressed under payload compression.
    pub compress_from: usize,
    /// How messages are split into WebSocket frames.
    pub frame_mode: FrameMode,
    /// The order of the keys of JSON and ETF envelopes.
    pub key_order: KeyOrder,
    /// The start time in milliseconds since 1970, for the times within payloads.
    pub unix_time_ms: u64,
    /// The script of events and faults.
    pub script: Vec<ScriptStep>,
    /// Whether to record every dispatch in the [`Ledger`](crate::Ledger): 32 bytes each, never freed.
    pub ledger: bool,
    /// Whether to record the traffic. Records are kept until [`Gateway::poll_record`](crate::Gateway::poll_record)
    /// returns them.
    pub trace: bool,
    /// Whether the records of the trace contain payloads, including tokens.
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
    /// Whether `token`, with or without the prefix `Bot `, is the accepted one.
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
