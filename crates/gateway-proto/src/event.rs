//! What a shard has to say to the application.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use gateway_codec::{Encoding, Envelope, Error, Raw, RawRef, known_event_name};
use serde::Deserialize;

use crate::Disconnected;

/// Something the application may want to know, in the order in which it happened.
// Events are handed on a lot: with a tag of one byte each time 103 bytes would be moved from an odd place.
#[repr(u64)]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection is being opened.
    Connecting {
        /// Whether a session is to be resumed on it.
        resuming: bool,
        /// How many connections in a row have failed before this one; 0 after a stable connection.
        attempt: u32,
    },
    /// The WebSocket is open; Hello has not come yet.
    Connected,
    /// The server has said Hello (opcode 10).
    Hello {
        /// How often a heartbeat is sent.
        heartbeat_interval: Duration,
    },
    /// Identify (opcode 2) goes out: a new session, counted against the daily limit.
    Identifying,
    /// Resume (opcode 6) goes out.
    Resuming {
        /// The newest sequence number received, or acknowledged: the server replays what came after it.
        sequence: u64,
    },
    /// An event of the gateway (opcode 0).
    Dispatch(Dispatch),
    /// A new session has begun. Follows the `READY` dispatch.
    Ready,
    /// The session goes on. Follows the `RESUMED` dispatch.
    Resumed {
        /// How many dispatches the server replayed.
        replayed: u64,
    },
    /// A heartbeat was acknowledged (opcode 11).
    HeartbeatAcknowledged {
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

/// One event of the gateway: its name, its sequence number and its data, not yet decoded.
///
/// It owns the bytes it came in, and a clone shares them.
#[derive(Clone)]
pub struct Dispatch {
    payload: Bytes,
    encoding: Encoding,
    /// Borrowed of an event that is known.
    name: Cow<'static, str>,
    sequence: Option<u64>,
    data: Range<usize>,
}

/// Where the fields of a dispatch stand in its payload.
pub(crate) struct Fields {
    name: Cow<'static, str>,
    sequence: Option<u64>,
    data: Range<usize>,
}

impl Fields {
    /// Copies nothing of an event that is known.
    pub(crate) fn of(payload: &[u8], envelope: &Envelope<'_>) -> Self {
        let name = envelope.t.as_deref().unwrap_or_default();
        let known = known_event_name(name.as_bytes());
        let name = known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        // A `d` that was missing stands outside the payload: an empty range says so.
        let data = envelope.d.range_in(payload).unwrap_or_default();
        Self { name, sequence: envelope.s, data }
    }
}

impl Dispatch {
    /// Takes over a payload whose fields are known.
    pub(crate) fn new(payload: Bytes, encoding: Encoding, fields: Fields) -> Self {
        let Fields { name, sequence, data } = fields;
        Self { payload, encoding, name, sequence, data }
    }

    /// The event's name, such as `MESSAGE_CREATE` (`t`). Empty if the server sent none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sequence number within the session (`s`). None if the server sent none.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How `d` is written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The event's data (`d`), as it came.
    pub fn data(&self) -> RawRef<'_> {
        if self.data.is_empty() {
            return RawRef::null(self.encoding);
        }
        RawRef::new(&self.payload[self.data.clone()], self.encoding)
    }

    /// The event's data (`d`), to keep. Shares the bytes of the whole payload.
    pub fn raw(&self) -> Raw {
        if self.data.is_empty() {
            return RawRef::null(self.encoding).to_raw();
        }
        Raw::new(self.payload.slice(self.data.clone()), self.encoding)
    }

    /// Decodes the event's data (`d`).
    ///
    /// # Errors
    ///
    /// Where `d` does not fit the type. The shard goes on all the same.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.data().decode()
    }
}

/// Prints no data: it is the content of people's messages, or a session id.
impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("name", &self.name())
            .field("sequence", &self.sequence)
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// A message with an opcode outside the ones that a server sends to a bot.
#[derive(Clone)]
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

/// Something unusual that the shard has dealt with by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The heartbeat interval of Hello was absurd; another is used.
    HeartbeatIntervalClamped {
        /// What the server asked for, in milliseconds. None if it was not a number.
        asked_ms: Option<u64>,
        /// What is used.
        used: Duration,
    },
    /// READY names no session, so this one cannot be resumed.
    SessionNotResumable,
    /// READY, or a saved session, names a resume URL that cannot be used: it is none, would leave TLS, or has a host that
    /// [`ShardConfig::resume_hosts`](crate::ShardConfig::resume_hosts) does not allow. The base URL is used instead.
    ResumeUrlUnusable,
    /// The server skipped sequence numbers: events may have been lost on their way.
    ///
    /// Where the connection then ends with [`DisconnectReason::SequenceGap`](crate::DisconnectReason::SequenceGap), a Resume
    /// brings them, and nothing comes twice. Where the dispatch follows, the gap is taken as it is: a Resume has not brought
    /// these numbers, they are those of a RESUMED that was lost, or lately a Resume for others brought nothing.
    SequenceGap {
        /// The newest number before.
        after: u64,
        /// The number that came.
        got: u64,
    },
    /// The server replayed a dispatch that it was not asked for. It was not delivered again.
    DuplicateDropped {
        /// Its sequence number.
        sequence: u64,
    },
    /// A plain message came where a compressed one was expected, or JSON where ETF was. It was read all the same.
    UnexpectedFormat,
    /// Bytes followed a payload in ETF. They were ignored, as Discord's own decoder ignores them.
    TrailingBytes {
        /// How many there were.
        count: usize,
    },
    /// The session was given up after this many Resumes in a row that came to nothing: neither RESUMED nor a replay.
    ResumeGivenUp {
        /// How many there were.
        attempts: u32,
    },
    /// The edge has refused the upgrade this many times in a row with a status (401, 403, 404) that waiting may not cure.
    RefusedRepeatedly {
        /// The HTTP status code.
        status: u16,
        /// How many times in a row.
        times: u32,
    },
    /// The shard was not driven for this long; silence in that time is not held against the server.
    NotDriven {
        /// How late it was called.
        late: Duration,
    },
    /// The transcript could not be written on. The shard is not concerned.
    TranscriptEnded {
        /// The kind of the writer's error.
        kind: std::io::ErrorKind,
    },
    /// The saved session was not used, because it belongs to another shard id or shard count.
    SavedSessionForOtherShard,
}
