//! The server's payloads, inflated and typed: what the state machine receives for a WebSocket message.

use bytes::Bytes;
use gateway_codec::{Encoding, Envelope, Raw, RawRef};
use serde::Deserialize;

use crate::event::Fields;
use crate::number::Number;
use crate::outgoing::opcode;
use crate::{Dispatch, UnknownMessage};

/// A WebSocket message and what it was read as.
pub(crate) struct ReadMessage {
    /// Its size in bytes, before it is inflated.
    pub(crate) bytes: usize,
    pub(crate) reading: Reading,
}

/// What a WebSocket message was read as.
// These enums have explicit tags: computing a tag from the niches of the fields costs more than it saves.
#[repr(u8)]
pub(crate) enum Reading {
    /// The payload continues in the next message.
    Part,
    Payload(InboundPayload),
    /// It exceeds the size limits. A Resume would replay it.
    TooLarge,
    /// It is not in the expected format. `detail` contains nothing of its content.
    Undecodable {
        detail: String,
        inflated_bytes: Option<usize>,
    },
}

/// One payload of the server.
pub(crate) struct InboundPayload {
    pub(crate) content: Inbound,
    /// Its size in bytes, inflated.
    pub(crate) bytes: usize,
    /// Whether it came in another format than requested, but could be read.
    pub(crate) unexpected: bool,
    /// Bytes after the payload, which were ignored.
    pub(crate) trailing: usize,
}

/// A payload by its opcode (Discord Docs, Opcodes and Status Codes > Gateway Opcodes), with the data that the machine needs.
#[repr(u8)]
pub(crate) enum Inbound {
    Dispatch(Dispatch),
    /// Its content is ignored: "the API may send opcode 1 Heartbeat" to ask for one (Discord Docs, Gateway > Heartbeat
    /// Requests).
    HeartbeatRequest,
    Reconnect,
    InvalidSession {
        resumable: bool,
    },
    Hello {
        /// `None` if it is not a number of zero or more.
        interval_ms: Option<u64>,
    },
    HeartbeatAck,
    Unknown(UnknownMessage),
}

/// How much of a payload's structure is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The envelope. Malformed data is an error of that one event: see ARCHITECTURE.md.
    Envelope,
    /// The data too.
    Whole,
}

impl ReadMessage {
    /// Reads an inflated payload. `bytes` is the size of its message.
    // Each arm builds the whole value, which is large, in the place that it is returned in.
    pub(crate) fn of(
        bytes: usize,
        payload: Bytes,
        encoding: Encoding,
        unexpected: bool,
        check: Check,
    ) -> Self {
        let inflated_bytes = payload.len();
        let envelope = match check {
            Check::Envelope => Envelope::skim(&payload, encoding),
            Check::Whole => Envelope::parse(&payload, encoding),
        };
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => {
                let (detail, inflated_bytes) = (error.to_string(), Some(inflated_bytes));
                return Self { bytes, reading: Reading::Undecodable { detail, inflated_bytes } };
            }
        };
        let trailing = envelope.trailing;
        let read = |content| {
            let payload = InboundPayload { content, bytes: inflated_bytes, unexpected, trailing };
            Self { bytes, reading: Reading::Payload(payload) }
        };
        match envelope.op {
            opcode::DISPATCH => {
                let fields = Fields::of(&payload, &envelope);
                read(Inbound::Dispatch(Dispatch::new(payload, encoding, fields)))
            }
            opcode::HEARTBEAT => read(Inbound::HeartbeatRequest),
            opcode::RECONNECT => read(Inbound::Reconnect),
            opcode::INVALID_SESSION => {
                read(Inbound::InvalidSession { resumable: envelope.d.decode().unwrap_or(false) })
            }
            opcode::HELLO => read(Inbound::Hello { interval_ms: interval_ms(envelope.d) }),
            opcode::HEARTBEAT_ACK => read(Inbound::HeartbeatAck),
            op => {
                let whole = Raw::new(payload.clone(), envelope.d.encoding());
                read(Inbound::Unknown(UnknownMessage { op, data: whole.slice(envelope.d) }))
            }
        }
    }
}

/// The "`heartbeat_interval` field that determines how often your app should send Heartbeats", in milliseconds, of the data
/// of Hello (Discord Docs, Gateway > Hello Event). None: it is not a number of zero or more.
fn interval_ms(hello: RawRef<'_>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Hello {
        heartbeat_interval: Number,
    }
    hello.decode::<Hello>().ok().map(|hello| hello.heartbeat_interval.0)
}
