//! The events of a shard for the application.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_codec::text::escape;
use gateway_codec::{Encoding, Envelope, Error, Place, Raw, RawRef, known_event_name};
use serde::Deserialize;

use crate::disconnect::Disconnected;
use crate::dispatch_key::SessionKey;
use crate::session::DispatchKey;

/// An event of a shard. Events come in the order in which they happened.
// Events are moved often. With a tag of one byte each move would copy 103 unaligned bytes.
#[repr(u64)]
#[derive(Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection is being opened.
    Connecting {
        /// Whether the shard will resume a session on it.
        resuming: bool,
        /// How many connections in a row have failed before this one; 0 after a stable connection.
        attempt: u32,
    },
    /// The WebSocket is open; Hello was not received yet.
    Connected,
    /// Hello was received (opcode 10).
    Hello {
        /// How often a heartbeat is sent.
        heartbeat_interval: Duration,
    },
    /// Identify (opcode 2) is sent: a new session, counted against the daily limit.
    Identifying,
    /// Resume (opcode 6) is sent.
    Resuming {
        /// The newest sequence number received, or acknowledged: the server replays the dispatches after it.
        sequence: u64,
    },
    /// An event of the gateway (opcode 0).
    Dispatch(Dispatch),
    /// A new session has begun. Follows the `READY` dispatch.
    Ready,
    /// The session was resumed. Follows the `RESUMED` dispatch.
    Resumed {
        /// How many dispatches the server replayed.
        replayed: u64,
    },
    /// A heartbeat was acknowledged (opcode 11).
    ///
    /// An acknowledgement does not say which heartbeat it is for. It is counted for the oldest that was sent on this connection and
    /// not acknowledged. So it proves that the server has read a heartbeat that was sent at this time or later, and that
    /// everything that the server sent before it read that heartbeat has arrived.
    HeartbeatAcknowledged {
        /// When the heartbeat was sent: the time that was handed in with the input after which it was given out. The event may be read
        /// long after the acknowledgement arrived, which this does not depend on.
        sent: Instant,
        /// From sending the heartbeat to its acknowledgement.
        latency: Duration,
    },
    /// A connection, or an attempt at one, has ended. Comes exactly once for each [`Event::Connecting`].
    Disconnected(Disconnected),
    /// A message with an opcode that this crate does not know or does not expect from a server.
    Unknown(UnknownMessage),
    /// Something unusual that needs no action.
    Notice(Notice),
}

/// Leaves out `sent` of an acknowledgement: an `Instant` has no meaning outside of its process, and equal inputs print equal events.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { resuming, attempt } => {
                f.debug_struct("Connecting").field("resuming", resuming).field("attempt", attempt).finish()
            }
            Self::Connected => f.write_str("Connected"),
            Self::Hello { heartbeat_interval } => {
                f.debug_struct("Hello").field("heartbeat_interval", heartbeat_interval).finish()
            }
            Self::Identifying => f.write_str("Identifying"),
            Self::Resuming { sequence } => f.debug_struct("Resuming").field("sequence", sequence).finish(),
            Self::Dispatch(dispatch) => f.debug_tuple("Dispatch").field(dispatch).finish(),
            Self::Ready => f.write_str("Ready"),
            Self::Resumed { replayed } => f.debug_struct("Resumed").field("replayed", replayed).finish(),
            Self::HeartbeatAcknowledged { latency, .. } => {
                f.debug_struct("HeartbeatAcknowledged").field("latency", latency).finish_non_exhaustive()
            }
            Self::Disconnected(disconnected) => f.debug_tuple("Disconnected").field(disconnected).finish(),
            Self::Unknown(unknown) => f.debug_tuple("Unknown").field(unknown).finish(),
            Self::Notice(notice) => f.debug_tuple("Notice").field(notice).finish(),
        }
    }
}

/// One event of the gateway: its name, its sequence number and its data, not yet decoded.
///
/// It owns the bytes it came in, and a clone shares them.
// A number and a flag instead of an `Option`, so that the key does not make an event larger.
#[derive(Clone)]
pub struct Dispatch {
    payload: Bytes,
    /// Borrowed if the event is documented.
    name: Cow<'static, str>,
    /// The place of `d` in the payload: the parts of a [`Place`]. Empty if there is none.
    data: Range<usize>,
    /// Meaningless if `numbered` is false.
    sequence: u64,
    session: Option<SessionKey>,
    encoding: Encoding,
    is_exact: bool,
    numbered: bool,
}

/// The fields of a dispatch and their places in its payload.
pub(crate) struct Fields {
    name: Cow<'static, str>,
    sequence: Option<u64>,
    data: Option<Place>,
}

impl Fields {
    /// The fields of a dispatch that was stored.
    pub(crate) fn new(name: &str, sequence: Option<u64>, data: Option<Place>) -> Self {
        let known = known_event_name(name.as_bytes());
        let name = known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        Self { name, sequence, data }
    }

    /// The fields of an envelope. Copies nothing of a documented event.
    pub(crate) fn of(payload: &[u8], envelope: &Envelope<'_>) -> Self {
        // A missing `d` is not a part of the payload.
        Self::new(envelope.t.as_deref().unwrap_or_default(), envelope.s, envelope.d.place_in(payload))
    }
}

impl Dispatch {
    /// Takes over a payload whose fields are known.
    pub(crate) fn new(payload: Bytes, encoding: Encoding, fields: Fields) -> Self {
        let Fields { name, sequence, data } = fields;
        let (sequence, numbered) = (sequence.unwrap_or_default(), sequence.is_some());
        let (data, is_exact) = data.map_or((0..0, true), |place| (place.start..place.end, place.is_exact));
        Self { payload, name, data, sequence, session: None, encoding, is_exact, numbered }
    }

    /// Sets the session that it belongs to.
    pub(crate) fn with_session(mut self, session: Option<SessionKey>) -> Self {
        self.session = session;
        self
    }

    /// Its name, if it is not documented.
    pub(crate) fn unknown_name(&mut self) -> Option<&mut String> {
        match &mut self.name {
            Cow::Borrowed(_) => None,
            Cow::Owned(name) => Some(name),
        }
    }

    /// The event's name, such as `MESSAGE_CREATE` (`t`). Empty if the server sent none.
    ///
    /// A name that Discord does not document is text of the server: secrets are removed from it, and it is truncated after
    /// 4096 bytes. It may contain control characters; `Display` and `Debug` of the dispatch escape them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sequence number within the session (`s`). None if the server sent none.
    pub fn sequence(&self) -> Option<u64> {
        self.numbered.then_some(self.sequence)
    }

    /// The key of this dispatch: unique in any process, and the same for the same dispatch after a Resume and after a restart.
    /// `None` if it has no sequence number, or no session that can be resumed.
    pub fn key(&self) -> Option<DispatchKey> {
        Some(DispatchKey::new(self.session?, self.sequence()?))
    }

    pub(crate) fn session_key(&self) -> Option<SessionKey> {
        self.session
    }

    /// The encoding of `d`.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The event's data (`d`), encoded.
    pub fn data(&self) -> RawRef<'_> {
        let (Range { start, end }, is_exact, encoding) = (self.data.clone(), self.is_exact, self.encoding);
        let place = Place { start, end, is_exact, encoding };
        let data = if self.data.is_empty() { None } else { place.value_in(&self.payload) };
        data.unwrap_or_else(|| RawRef::null(encoding))
    }

    /// The event's data (`d`) as an owned value. Shares the bytes of the whole payload.
    pub fn raw(&self) -> Raw {
        let data = self.data();
        match data.range_in(&self.payload) {
            Some(range) => Raw::new(self.payload.slice(range), self.encoding),
            None => data.to_raw(),
        }
    }

    /// Decodes the event's data (`d`).
    ///
    /// # Errors
    ///
    /// If `d` does not fit the type. The shard is not affected.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.data().decode()
    }
}

/// Prints no data: it contains messages of users, or a session id.
impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("name", &escape(self.name()))
            .field("sequence", &self.sequence())
            .field("data_bytes", &self.data().as_bytes().len())
            .finish()
    }
}

/// A message with an opcode that servers do not send to bots.
#[derive(Clone)]
#[non_exhaustive]
pub struct UnknownMessage {
    /// The opcode (`op`).
    pub op: u64,
    /// The data (`d`).
    pub data: Raw,
}

impl fmt::Debug for UnknownMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnknownMessage").field("op", &self.op).finish_non_exhaustive()
    }
}

/// Something unusual that the shard has handled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The heartbeat interval of Hello was out of range, so another is used.
    HeartbeatIntervalClamped {
        /// The interval of Hello in milliseconds. `None` if it was not a number.
        asked_ms: Option<u64>,
        /// The interval that is used.
        used: Duration,
    },
    /// READY names no session, so this one cannot be resumed.
    SessionNotResumable,
    /// READY, or a saved session, has a resume URL that cannot be used: it is not a gateway URL, has no TLS although the base
    /// URL has, or has a host that [`ShardConfig::resume_hosts`](crate::ShardConfig::resume_hosts) does not allow. The base URL
    /// is used instead.
    ResumeUrlUnusable,
    /// The server skipped sequence numbers: events may be lost.
    ///
    /// If the connection then ends with [`DisconnectReason::SequenceGap`](crate::disconnect::DisconnectReason::SequenceGap), a Resume
    /// brings the events, and none is delivered twice. If the dispatch follows instead, the gap is accepted: a Resume did not
    /// bring these numbers, a lost RESUMED may have had them, or a recent Resume for other numbers brought nothing.
    SequenceGap {
        /// The newest number before.
        after: u64,
        /// The number received.
        got: u64,
    },
    /// The server replayed a dispatch from before the Resume. It was not delivered again.
    DuplicateDropped {
        /// Its sequence number.
        sequence: u64,
    },
    /// A plain message was received where a compressed one was expected, or JSON where ETF was. It was read.
    UnexpectedFormat,
    /// Bytes followed a payload in ETF. They were ignored, as Discord's own decoder ignores them.
    TrailingBytes {
        /// The number of bytes.
        count: usize,
    },
    /// The session was given up after this many Resumes in a row that failed, with neither RESUMED nor a replay, for
    /// [`ShardLimits::resume_timeout`](crate::config::ShardLimits::resume_timeout) at least.
    ResumeGivenUp {
        /// The number of Resumes.
        attempts: u32,
    },
    /// The session was given up because a Resume would bring a message again that the shard cannot read: it could not be
    /// decoded twice, or is larger than the limits. [`Event::Disconnected`] follows with the reason.
    ReplayGivenUp {
        /// The newest sequence number before that message.
        after: u64,
    },
    /// The upgrade was refused repeatedly with a status (401, 403, 404) that waiting may not change.
    RefusedRepeatedly {
        /// The HTTP status code.
        status: u16,
        /// How many times in a row.
        times: u32,
    },
    /// The shard was called late. Silence in that time does not count as missed heartbeats.
    NotDriven {
        /// How late the call was.
        late: Duration,
    },
    /// Writing the transcript failed, and the transcript ends. The shard is not affected.
    TranscriptEnded {
        /// The kind of the writer's error.
        kind: std::io::ErrorKind,
    },
    /// The saved session was not used, because it belongs to another shard id or shard count.
    SavedSessionForOtherShard,
}
