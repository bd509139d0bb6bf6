//! The state that outlives a connection: configuration, sessions, limits, counters, and queued outputs.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use gateway_codec::{Encoding, known_event_name};

use super::sessions::Sessions;
use crate::config::ConfigError;
use crate::disconnect::DisconnectReason;
use crate::health::Stats;
use crate::live_session::{Session, is_usable_session_id};
use crate::outbox::Outbox;
use crate::outgoing::Identify;
use crate::presence::LatestPresence;
use crate::retry::Retry;
use crate::session::SessionSnapshot;
use crate::text::Secrets;
use crate::{Event, GatewayUrl, Message, Notice, Output, ShardConfig};

/// The state that connections share.
pub(crate) struct Context {
    pub(crate) config: ShardConfig,
    pub(crate) base_url: GatewayUrl,
    pub(crate) sessions: Sessions,
    pub(crate) retry: Retry,
    pub(crate) rng: Rng,
    pub(crate) commands: Outbox,
    /// The presence to identify with: the newest of the application.
    pub(crate) presence: Option<LatestPresence>,
    /// Whether the driver has stopped reading the socket, so that silence does not mean a dead connection.
    pub(crate) reading_paused: bool,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    pub(crate) last_dispatch: Option<Instant>,
    /// Why the last connection ended.
    pub(super) last_reason: Option<DisconnectReason>,
}

impl Context {
    pub(super) fn new(mut config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let base_url = config.validate()?;
        if config.session.as_ref().is_some_and(|session| !is_usable_session_id(&session.session_id)) {
            return Err(ConfigError::new("session", "its session id is empty or too long"));
        }
        Identify::new(&config, config.presence.as_ref())
            .encode(config.encoding)
            .map_err(|error| ConfigError::new("encoding", error.to_string()))
            .and_then(|identify| match identify.len() {
                size if size > config.limits.payload_bytes => {
                    Err(ConfigError::new("presence", format!("with it, Identify has {size} bytes")))
                }
                _ => Ok(()),
            })?;
        // Shards that were given the same seed must not move in step.
        let shard = u64::from(config.shard.id()) << 32 | u64::from(config.shard.count());
        let rng = Rng::with_seed(config.seed.unwrap_or_default() ^ shard.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let saved = config.session.take();
        let mut this = Self {
            base_url,
            sessions: Sessions::new(config.delivery),
            retry: Retry::new(config.backoff.clone(), config.shard, now),
            rng,
            commands: Outbox::default(),
            presence: config.presence.clone().map(LatestPresence::Typed),
            reading_paused: false,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            last_dispatch: None,
            last_reason: None,
            config,
        };
        if let Some(saved) = saved {
            this.take_up(saved);
        }
        Ok(this)
    }

    /// "Resume only if the count is unchanged": a session of another shard id or count has other guilds.
    fn take_up(&mut self, saved: SessionSnapshot) {
        if saved.shard != self.config.shard {
            return self.notice(Notice::SavedSessionForOtherShard);
        }
        let resume_url = saved.resume_url.as_ref().and_then(|url| self.usable_resume_url(url));
        if saved.resume_url.is_some() && resume_url.is_none() {
            self.notice(Notice::ResumeUrlUnusable);
        }
        let session = Session::new(saved.session_id, resume_url, saved.sequence, saved.sequence);
        self.sessions.begin(session.with_unusable_url(saved.resume_url.as_deref()));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.event(Event::Notice(notice));
    }

    /// Queues a message to be sent.
    pub(crate) fn send(&mut self, payload: Bytes) {
        self.outputs.push_back(Output::Send(match self.config.encoding {
            Encoding::Json => Message::Text(payload),
            Encoding::Etf => Message::Binary(payload),
        }));
    }

    /// The texts that must not be printed: the token, and the ids and URLs of the current session and the one before it.
    pub(crate) fn secrets(&self) -> Secrets<'_> {
        Secrets::of(&self.config.token, &self.base_url, self.sessions.known())
    }

    /// The name of an event, redacted and truncated unless it is documented.
    pub(crate) fn event_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match known_event_name(name.as_bytes()) {
            Some(_) => Cow::Borrowed(name),
            None => self.secrets().redact(name),
        }
    }

    /// A resume URL. `None` if it is not a URL, or must not be used.
    pub(crate) fn usable_resume_url(&self, url: &str) -> Option<GatewayUrl> {
        self.config.resume_url(&self.base_url, url)
    }

    /// A Resume would replay the message after this sequence number: only a new session gets past it.
    pub(crate) fn give_up_replay(&mut self, after: u64) {
        self.sessions.end();
        self.notice(Notice::ReplayGivenUp { after });
    }
}
