//! What outlives a connection: configuration, sessions, limits, counters, and what waits to be given out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use gateway_codec::{Encoding, known_event_name};

use super::sessions::Sessions;
use crate::outbox::Outbox;
use crate::presence::LatestPresence;
use crate::retry::Retry;
use crate::text::Secrets;
use crate::{Event, GatewayUrl, Message, Notice, Output, ShardConfig, Stats};

/// What a connection works with and leaves to the next one.
pub(crate) struct Context {
    pub(crate) config: ShardConfig,
    pub(crate) base_url: GatewayUrl,
    pub(crate) sessions: Sessions,
    pub(crate) retry: Retry,
    pub(crate) rng: Rng,
    pub(crate) commands: Outbox,
    /// The presence to identify with: the one last asked for.
    pub(crate) presence: Option<LatestPresence>,
    /// The owner of the socket does not read it, so silence proves nothing.
    pub(crate) reading_paused: bool,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    pub(crate) last_dispatch: Option<Instant>,
}

impl Context {
    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.event(Event::Notice(notice));
    }

    /// Gives out a message.
    pub(crate) fn send(&mut self, payload: Bytes) {
        self.outputs.push_back(Output::Send(match self.config.encoding {
            Encoding::Json => Message::Text(payload),
            Encoding::Etf => Message::Binary(payload),
        }));
    }

    /// The texts that must not be printed: the token, and what belongs to the session and to the one before it.
    pub(crate) fn secrets(&self) -> Secrets<'_> {
        Secrets::of(&self.config.token, &self.base_url, self.sessions.known())
    }

    /// The name of an event, redacted and cut unless it is a known one.
    pub(crate) fn event_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match known_event_name(name.as_bytes()) {
            Some(_) => Cow::Borrowed(name),
            None => self.secrets().redact(name),
        }
    }

    /// A URL to resume at. None: it is none, or may not be used.
    pub(crate) fn usable_resume_url(&self, url: &str) -> Option<GatewayUrl> {
        self.config.resume_url(&self.base_url, url)
    }

    /// A Resume would replay the message after this sequence number: only a new session gets past it.
    pub(crate) fn give_up_replay(&mut self, after: u64) {
        self.sessions.end();
        self.notice(Notice::ReplayGivenUp { after });
    }
}
