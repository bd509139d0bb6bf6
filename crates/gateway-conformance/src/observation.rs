//! Observations: of the client by the server, of the shard by the application, and the lines of the trace.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use gateway_driver::proto::codec::{self, Encoding};
use gateway_driver::proto::{Event, StopReason};
use gateway_sim::{ConnectionId, Direction, Record};
use serde_json::Value;

/// An observation and its time: since the start of the scenario, by the shard's clock.
#[derive(Debug, Clone)]
pub(crate) struct Observed<T> {
    pub(crate) at: Duration,
    pub(crate) what: T,
}

/// An action of the client, as the server sees it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientAct {
    /// It requests a WebSocket. The target is a whole URL if it is at the address for Resume.
    Opens {
        /// Path and query, or URL.
        target: String,
    },
    /// It sends a payload, here as JSON for any encoding.
    Sends {
        /// The opcode.
        op: u64,
        /// The data.
        data: Value,
    },
    /// It sends a message that is not a payload in the encoding of the connection.
    SendsInvalid {
        /// Why it is not a payload.
        problem: String,
    },
    /// It begins to close the WebSocket.
    Closes {
        /// The close code.
        code: Option<u16>,
    },
    /// It answers a close frame.
    Echoes {
        /// The close code.
        code: Option<u16>,
    },
    /// It answers a ping.
    Pong,
    /// It ends the TCP stream, or the stream has ended.
    EndsStream,
}

impl ClientAct {
    /// Whether this may happen at any time, and need not be awaited.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Sends { op: 1, .. } | Self::Echoes { .. } | Self::Pong | Self::EndsStream)
    }
}

/// An observation of the shard by its application.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Seen {
    /// An event.
    Event(Event),
    /// The end of the events, and its reason.
    Stopped(StopReason),
}

impl Seen {
    /// Whether this may happen at any time, and need not be awaited.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(
            self,
            Self::Event(
                Event::Connecting { .. }
                    | Event::Connected
                    | Event::Hello { .. }
                    | Event::Identifying
                    | Event::Resuming { .. }
                    | Event::HeartbeatAcknowledged { .. }
            )
        )
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => write!(f, "{event:?}"),
            Self::Stopped(reason) => write!(f, "Stopped({reason:?})"),
        }
    }
}

impl fmt::Display for ClientAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The port differs between runs.
            Self::Opens { target } => match target.split_once("://") {
                Some((_, rest)) => {
                    let path = rest.find('/').map_or("", |start| &rest[start..]);
                    write!(f, "opens {path} at the resume URL")
                }
                None => write!(f, "opens {target}"),
            },
            Self::Sends { op, data } => write!(f, "sends op {op} {data}"),
            Self::SendsInvalid { problem } => write!(f, "sends a message that is not a payload: {problem}"),
            Self::Closes { code: Some(code) } => write!(f, "closes with {code}"),
            Self::Closes { code: None } => f.write_str("closes without a code"),
            Self::Echoes { .. } => f.write_str("answers the close frame"),
            Self::Pong => f.write_str("answers a ping"),
            Self::EndsStream => f.write_str("ends the stream"),
        }
    }
}

/// Converts the records of a server to observations and to lines of a trace.
pub(crate) struct Wire {
    started: Instant,
    encoding: Encoding,
    /// The connections on which the server sent its close frame first.
    closing: BTreeSet<ConnectionId>,
}

/// One line of the trace of a scenario: `#1 >` is what the client did on the first connection, `#1 <` what the server did,
/// `=` what the application saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceLine {
    /// The time since the start of the scenario, by the shard's clock.
    pub at: Duration,
    /// What happened.
    pub text: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {}", self.at.as_secs_f64(), self.text)
    }
}

impl Wire {
    pub(crate) fn new(started: Instant, encoding: Encoding) -> Self {
        Self { started, encoding, closing: BTreeSet::new() }
    }

    /// The observation in a record, if it concerns the client, and its line.
    pub(crate) fn read(&mut self, record: &Record) -> (Option<Observed<ClientAct>>, TraceLine) {
        let at = record.at.saturating_duration_since(self.started);
        let connection = record.connection.map_or(0, |connection| connection.0);
        let act = match record.direction {
            Direction::In => self.act(record),
            Direction::Out | Direction::Note => {
                if record.kind == "close" {
                    self.closing.extend(record.connection);
                }
                None
            }
        };
        let text = match &act {
            Some(act) => format!("#{connection} > {act}"),
            None => format!("#{connection} < {}", sent(record)),
        };
        (act.map(|what| Observed { at, what }), TraceLine { at, text })
    }

    fn act(&self, record: &Record) -> Option<ClientAct> {
        let payload = record.payload.as_deref().unwrap_or_default();
        Some(match record.kind {
            "open" => ClientAct::Opens { target: String::from_utf8_lossy(payload).into_owned() },
            "message" => self.payload(payload),
            "close" if record.connection.is_some_and(|id| self.closing.contains(&id)) => {
                ClientAct::Echoes { code: record.code }
            }
            "close" => ClientAct::Closes { code: record.code },
            "pong" => ClientAct::Pong,
            "gone" => ClientAct::EndsStream,
            _ => return None,
        })
    }

    fn payload(&self, payload: &[u8]) -> ClientAct {
        let value: Value = match codec::decode(payload, self.encoding) {
            Ok(value) => value,
            Err(error) => return ClientAct::SendsInvalid { problem: error.to_string() },
        };
        if self.encoding == Encoding::Etf && !is_written_as_clients_must(payload) {
            return ClientAct::SendsInvalid {
                problem: "its keys are not binaries, or its lists are texts".to_owned(),
            };
        }
        match (value["op"].as_u64(), value.as_object().map(serde_json::Map::len)) {
            (Some(op), Some(2)) if value.get("d").is_some() => {
                ClientAct::Sends { op, data: value["d"].clone() }
            }
            _ => ClientAct::SendsInvalid { problem: "its keys are not op and d".to_owned() },
        }
    }
}

/// Whether a term has binaries for keys and no STRING_EXT: then encoding it again in the client's style changes nothing.
fn is_written_as_clients_must(term: &[u8]) -> bool {
    let options = codec::convert::Options::default();
    codec::convert::convert(term, Encoding::Etf, Encoding::Etf, &options).is_ok_and(|written| written == term)
}

/// The description of a message of the server.
fn sent(record: &Record) -> String {
    let mut text = record.kind.to_owned();
    if let Some(op) = record.about.op {
        text = format!("op {op}");
    }
    if let Some(name) = &record.about.name {
        text = format!("{text} {name}");
    }
    if let Some(sequence) = record.about.sequence {
        text = format!("{text} s={sequence}");
    }
    if let Some(code) = record.code {
        text = format!("{text} {code}");
    }
    if let Some(bytes) = record.bytes {
        text = format!("{text} ({bytes} bytes)");
    }
    text
}
