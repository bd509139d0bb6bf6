//! The trace: a record for each event on the wire.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use crate::io::ConnectionId;
use crate::message::About;

/// An event on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The time.
    pub at: Instant,
    /// The connection; `None` for events of the whole gateway.
    pub connection: Option<ConnectionId>,
    /// The session of the connection.
    pub session: Option<u64>,
    /// The sender.
    pub direction: Direction,
    /// `open`, `accept`, `refuse`, `message`, `close`, `drop`, `abort`, `gone`, `ping`, or a note in words with
    /// underscores.
    pub kind: &'static str,
    /// Opcode, event name and sequence of a message.
    pub about: About,
    /// The close code or HTTP status.
    pub code: Option<u16>,
    /// The size of the payload on the wire in bytes.
    pub bytes: Option<usize>,
    /// The payload of a message on the wire, or the target of an upgrade request, if
    /// [`Config::payloads`](crate::Config::payloads) is on. Not part of [`Record::to_json`].
    pub payload: Option<Vec<u8>>,
}

/// The sender of a recorded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    In,
    /// The gateway.
    Out,
    /// Neither: an event within the gateway.
    Note,
}

impl Record {
    /// The record as a JSON object with the time in seconds since `start`. The README lists the fields.
    pub fn to_json(&self, start: Instant) -> Value {
        let mut line = json!({
            "t": self.at.saturating_duration_since(start).as_secs_f64(),
            "dir": match self.direction {
                Direction::In => "in",
                Direction::Out => "out",
                Direction::Note => "note",
            },
            "kind": self.kind,
        });
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                line[key] = value;
            }
        };
        put("conn", self.connection.map(|connection| connection.0.into()));
        put("session", self.session.map(Value::from));
        put("op", self.about.op.map(Value::from));
        put("name", self.about.name.clone().map(Value::from));
        put("seq", self.about.sequence.map(Value::from));
        put("code", self.code.map(Value::from));
        put("bytes", self.bytes.map(Value::from));
        line
    }
}

/// The records that were not taken yet.
#[derive(Default)]
pub(crate) struct Records {
    /// Whether traffic is recorded.
    pub(crate) on: bool,
    /// Whether payloads are recorded.
    pub(crate) payloads: bool,
    pub(crate) queue: VecDeque<Record>,
}
