//! What went over the wire, one record for each thing.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use crate::io::ConnectionId;
use crate::message::About;

/// One thing seen or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// When.
    pub at: Instant,
    /// On which connection; `None` for what concerns the gateway as a whole.
    pub connection: Option<ConnectionId>,
    /// The session of the connection, if it has one.
    pub session: Option<u64>,
    /// Who sent it.
    pub direction: Direction,
    /// `open`, `accept`, `refuse`, `message`, `close`, `drop`, `abort`, `gone`, `ping` or a note in words with underscores.
    pub kind: &'static str,
    /// Opcode, event name and sequence of a message.
    pub about: About,
    /// Close code, or HTTP status.
    pub code: Option<u16>,
    /// Bytes of the payload on the wire.
    pub bytes: Option<usize>,
    /// The payload of a message as it went over the wire, or the target of an upgrade request, if
    /// [`Config::payloads`](crate::Config::payloads) is on. Not part of [`Record::to_json`].
    pub payload: Option<Vec<u8>>,
}

/// Who sent what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    In,
    /// The gateway.
    Out,
    /// Neither side: an event within the gateway.
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

/// The records that were not fetched yet.
#[derive(Default)]
pub(crate) struct Records {
    /// Whether anything is recorded.
    pub(crate) on: bool,
    /// Whether payloads are.
    pub(crate) payloads: bool,
    pub(crate) queue: VecDeque<Record>,
}
