//! How a shard is set up.

use std::time::Duration;

use gateway_codec::{Compression, Encoding};
use serde::{Deserialize, Serialize};

use crate::command::Presence;
use crate::config::{BackoffConfig, ConfigError, Delivery, ResumeHosts};
use crate::retry::{IDENTIFY_CAP, identifies_in_a_day};
use crate::session::SessionSnapshot;
use crate::{GatewayUrl, Intents, ShardId, Token};

/// The URL of the gateway, for a bot that does not call `GET /gateway`.
pub const DEFAULT_URL: &str = "wss://gateway.discord.gg/";

/// The configuration of one shard. Build it with [`ShardConfig::new`] and assign the fields that should differ.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShardConfig {
    /// The bot's token.
    pub token: Token,
    /// Which events the bot wants (Discord Docs, Gateway > Gateway Intents).
    pub intents: Intents,
    /// The shard id and the shard count. Default: the only shard.
    pub shard: ShardId,
    /// The base URL, as `GET /gateway/bot` returns it. Default: [`DEFAULT_URL`].
    pub url: String,
    /// The encoding of messages. Default: JSON.
    pub encoding: Encoding,
    /// The compression of received messages. Default: [`Compression::best`], the best that is compiled in.
    ///
    /// [`Compression::None`] costs less processor time, at five to ten times the traffic.
    pub compression: Compression,
    /// The properties in Identify. Default: this library's name.
    pub properties: IdentifyProperties,
    /// Above this many members, 50 to 250, a guild's offline members are left out of GUILD_CREATE. Default: Discord's, 50.
    pub large_threshold: Option<u8>,
    /// The initial presence.
    pub presence: Option<Presence>,
    /// A session to resume, from an earlier [`Shard::session`](crate::Shard::session). It is used only if it belongs to
    /// the same shard id and shard count.
    pub session: Option<SessionSnapshot>,
    /// The hosts that a Resume, and with it the token, may go to. Default: the host of [`url`](Self::url) and those that
    /// belong to it. For any other host in READY or the saved session, the base URL is used instead.
    pub resume_hosts: ResumeHosts,
    /// When a dispatch counts as handled. Default: when it is received.
    pub delivery: Delivery,
    /// The seed of all randomness: jitter, and over plain bytes the masks of frames, which the server must not guess
    /// (RFC 6455, section 5.3). Give every shard its own; the drivers do so when it is None.
    pub seed: Option<u64>,
    /// Timeouts of the server's answers.
    pub timeouts: Timeouts,
    /// The waits between connections.
    pub backoff: BackoffConfig,
    /// Limits on messages in both directions, on queued commands and on Resumes.
    pub limits: ShardLimits,
}

impl ShardConfig {
    /// A configuration with the defaults.
    pub fn new(token: impl Into<Token>, intents: Intents) -> Self {
        Self {
            token: token.into(),
            intents,
            shard: ShardId::ONE,
            url: DEFAULT_URL.to_owned(),
            encoding: Encoding::default(),
            compression: Compression::best(),
            properties: IdentifyProperties::default(),
            large_threshold: None,
            presence: None,
            session: None,
            resume_hosts: ResumeHosts::default(),
            delivery: Delivery::default(),
            seed: None,
            timeouts: Timeouts::default(),
            backoff: BackoffConfig::default(),
            limits: ShardLimits::default(),
        }
    }

    /// The URL to resume at, if it may be used. It must not send the token without TLS: `ws` is accepted only if the base URL is
    /// `ws` too. Nor may it send the token to a host that does not belong to the base URL.
    pub(crate) fn resume_url(&self, base: &GatewayUrl, text: &str) -> Option<GatewayUrl> {
        let url = GatewayUrl::parse(text).ok()?;
        let keeps_tls = url.is_tls() || !base.is_tls();
        (keeps_tls && self.resume_hosts.allow(base, &url)).then_some(url)
    }

    /// Checks every field.
    pub(crate) fn validate(&self) -> Result<GatewayUrl, ConfigError> {
        self.token.validate()?;
        if self.seed.is_none() {
            return Err(ConfigError::new("seed", "give one, from the system's source of randomness"));
        }
        if self.large_threshold.is_some_and(|threshold| !(50..=250).contains(&threshold)) {
            return Err(ConfigError::new("large_threshold", "it must be between 50 and 250"));
        }
        if self.encoding == Encoding::Etf && self.compression == Compression::Payload {
            return Err(ConfigError::new(
                "compression",
                "payload compression is for JSON; use a stream with ETF",
            ));
        }
        if !self.compression.is_supported() {
            let problem = format!("{} was not compiled in: enable its cargo feature", self.compression);
            return Err(ConfigError::new("compression", problem));
        }
        self.timeouts.validate()?;
        self.backoff.validate()?;
        self.limits.validate()?;
        GatewayUrl::parse(&self.url).map_err(|error| ConfigError::new("url", error.to_string()))
    }
}

/// The properties in Identify (Discord Docs, Gateway Events > Identify > Identify Connection Properties).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IdentifyProperties {
    /// The operating system.
    pub os: String,
    /// The library.
    pub browser: String,
    /// The library.
    pub device: String,
}

impl Default for IdentifyProperties {
    fn default() -> Self {
        let library = "gateway-proto".to_owned();
        Self { os: std::env::consts::OS.to_owned(), browser: library.clone(), device: library }
    }
}

/// Timeouts after which a connection is closed. None may be zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Timeouts {
    /// From [`Output::Connect`](crate::Output::Connect) to an open WebSocket: DNS, TCP, TLS and upgrade. Default 10 s.
    pub connect: Duration,
    /// From the open WebSocket to Hello. Default 20 s.
    pub hello: Duration,
    /// From Identify, or the newest acknowledgement after it, to READY. Default 60 s. Extended while the bytes of a message
    /// arrive: see [`message`](Self::message).
    ///
    /// In an outage the gateway may acknowledge heartbeats for a long time before it sends READY. The shard waits for that, up
    /// to [`ready_at_most`](Self::ready_at_most).
    pub ready: Duration,
    /// From Identify to READY, even if the server acknowledges heartbeats. Default 1 h: long enough for an outage, and a bound
    /// for a server that has lost the Identify.
    pub ready_at_most: Duration,
    /// From Resume, or the newest replayed dispatch, to RESUMED. Default 60 s. Extended while the bytes of a message arrive:
    /// see [`message`](Self::message).
    pub resumed: Duration,
    /// How long one message may take while its bytes arrive. Default 10 min: 64 MiB at 112 kB/s, 5 MB at 8 kB/s.
    ///
    /// No other message can arrive before its end. So while its bytes arrive, a heartbeat may go unacknowledged for this long,
    /// and so may the next event of a replay take. When the bytes stop, the usual timeouts apply.
    pub message: Duration,
    /// From our close frame to the server's. Default 5 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            hello: Duration::from_secs(20),
            ready: Duration::from_secs(60),
            ready_at_most: Duration::from_secs(3600),
            resumed: Duration::from_secs(60),
            message: Duration::from_secs(600),
            close: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    fn validate(&self) -> Result<(), ConfigError> {
        let all = [
            ("timeouts.connect", self.connect),
            ("timeouts.hello", self.hello),
            ("timeouts.ready", self.ready),
            ("timeouts.ready_at_most", self.ready_at_most),
            ("timeouts.resumed", self.resumed),
            ("timeouts.message", self.message),
            ("timeouts.close", self.close),
        ];
        all.into_iter().try_for_each(|(field, value)| reasonable(field, value))
    }
}

impl BackoffConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        reasonable("backoff.base", self.base)?;
        reasonable("backoff.cap", self.cap)?;
        reasonable("backoff.minimum", self.minimum)?;
        if self.base > IDENTIFY_CAP {
            return Err(ConfigError::new("backoff.base", "it must not be above ten minutes"));
        }
        if self.minimum > self.cap {
            return Err(ConfigError::new("backoff.minimum", "it must not be above backoff.cap"));
        }
        if self.stable_after > LONGEST {
            return Err(ConfigError::new("backoff.stable_after", "it must not be above a day"));
        }
        let identifies = identifies_in_a_day(self);
        if identifies > MOST_IDENTIFIES {
            let problem = format!(
                "a shard that cannot come up would identify {identifies} times in a day; it must not be more than \
                 {MOST_IDENTIFIES}"
            );
            return Err(ConfigError::new("backoff.base", problem));
        }
        Ok(())
    }
}

/// Limits of a shard: what it sends, queues, retries and receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ShardLimits {
    /// Messages sent on one connection in any 60 seconds, heartbeats included. Default 120
    /// (Discord Docs, Gateway > Rate Limiting).
    pub sends_per_minute: u16,
    /// Bytes of one message sent. Default 4096 (Discord Docs, Gateway > Sending Events).
    pub payload_bytes: usize,
    /// Commands that may wait to be sent. Default 1000.
    pub queued_commands: usize,
    /// Resumes that must have failed in a row before the session is given up. Default 5. A Resume fails if its connection ends
    /// before RESUMED and before any event with a number above the one in Resume. Waits and failed dials between two Resumes do
    /// not end the row.
    ///
    /// [`resume_timeout`](Self::resume_timeout) must have passed too. Until then the shard continues to resume.
    pub resume_attempts: u32,
    /// How long Resumes must have failed in a row, from the first that did, before the session is given up. Default 180 s:
    /// sessions were reported to be stuck for about 90 s and to continue after that
    /// (<https://github.com/discord/discord-api-docs/issues/1619>).
    pub resume_timeout: Duration,
    /// Bytes of one received message, before it is inflated. Default 64 MiB.
    pub message_bytes: usize,
    /// Bytes of one received message, inflated. Default 256 MiB.
    pub inflated_bytes: usize,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self {
            sends_per_minute: 120,
            payload_bytes: 4096,
            queued_commands: 1000,
            resume_attempts: 5,
            resume_timeout: Duration::from_secs(180),
            message_bytes: 64 << 20,
            inflated_bytes: 256 << 20,
        }
    }
}

impl ShardLimits {
    fn validate(&self) -> Result<(), ConfigError> {
        // Below this a heartbeat interval of one second would leave no slots for other messages.
        if self.sends_per_minute < 70 {
            return Err(ConfigError::new("limits.sends_per_minute", "it must be at least 70"));
        }
        if self.payload_bytes < 512 {
            return Err(ConfigError::new("limits.payload_bytes", "it must be at least 512"));
        }
        if self.resume_attempts == 0 {
            return Err(ConfigError::new("limits.resume_attempts", "it must be at least 1"));
        }
        reasonable("limits.resume_timeout", self.resume_timeout)?;
        if self.message_bytes < 1024 || self.inflated_bytes < 1024 {
            return Err(ConfigError::new(
                "limits.message_bytes",
                "it and inflated_bytes must be at least 1024",
            ));
        }
        Ok(())
    }
}

/// Half of the session starts of a day (Discord Docs, Gateway > Rate Limiting), for a single shard that never becomes ready. The
/// gate accounts for several shards: see [`IdentifyBudget`](crate::identify::IdentifyBudget).
const MOST_IDENTIFIES: u32 = 500;

/// The longest duration that any field accepts.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

fn reasonable(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(field, "it must not be zero"));
    }
    if value > LONGEST {
        return Err(ConfigError::new(field, "it must not be above a day"));
    }
    Ok(())
}
