//! What was seen: by the server of the client, by the application of its shard, and by a reader of the trace.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use gateway_driver::proto::codec::{self, Encoding};
use gateway_driver::proto::{Event, StopReason};
use gateway_sim::{ConnectionId, Direction, Record};
use serde_json::Value;

/// Something, and when it was seen: time since the start of the scenario, by the shard's clock.
#[derive(Debug, Clone)]
pub(crate) struct Observed<T> {
    pub(crate) at: Duration,
    pub(crate) what: T,
}

/// What the server sees a client do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientAct {
    /// It asks for a WebSocket. The target is a whole URL if it is at the address for Resume.
    Opens {
        /// Path and query, or URL.
        target: String,
    },
    /// It sends a payload, here as JSON whatever the encoding.
    Says {
        /// The opcode.
        op: u64,
        /// The data.
        data: Value,
    },
    /// It sends something that is no payload in the encoding of the connection.
    Babbles {
        /// Why it is none.
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
    /// It ends the TCP stream, or had it ended.
    Leaves,
}

impl ClientAct {
    /// Whether this may happen at any time, and need not be awaited.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Says { op: 1, .. } | Self::Echoes { .. } | Self::Pong | Self::Leaves)
    }
}

/// What an application sees of its shard.
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
            // Which port it is differs from run to run.
            Self::Opens { target } => match target.split_once("://") {
                Some((_, rest)) => {
                    let path = rest.find('/').map_or("", |start| &rest[start..]);
                    write!(f, "opens {path} at the URL for Resume")
                }
                None => write!(f, "opens {target}"),
            },
            Self::Says { op, data } => write!(f, "says op {op} {data}"),
            Self::Babbles { problem } => write!(f, "sends what is no payload: {problem}"),
            Self::Closes { code: Some(code) } => write!(f, "closes with {code}"),
            Self::Closes { code: None } => f.write_str("closes without a code"),
            Self::Echoes { .. } => f.write_str("answers the close frame"),
            Self::Pong => f.write_str("answers a ping"),
            Self::Leaves => f.write_str("ends the stream"),
        }
    }
}

/// Turns the records of a server into what it saw, and into lines of a trace.
pub(crate) struct Wire {
    started: Instant,
    encoding: Encoding,
    /// The connections on which the server's close frame came first.
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

    /// What a record says, if it is about the client, and its line.
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
            "gone" => ClientAct::Leaves,
            _ => return None,
        })
    }

    fn payload(&self, payload: &[u8]) -> ClientAct {
        let value: Value = match codec::decode(payload, self.encoding) {
            Ok(value) => value,
            Err(error) => return ClientAct::Babbles { problem: error.to_string() },
        };
        if self.encoding == Encoding::Etf && !is_written_as_clients_must(payload) {
            return ClientAct::Babbles {
                problem: "its keys are not binaries, or its lists are texts".to_owned(),
            };
        }
        match (value["op"].as_u64(), value.as_object().map(serde_json::Map::len)) {
            (Some(op), Some(2)) if value.get("d").is_some() => {
                ClientAct::Says { op, data: value["d"].clone() }
            }
            _ => ClientAct::Babbles { problem: "its keys are not op and d".to_owned() },
        }
    }
}

/// Whether a term has binaries for keys and no STRING_EXT: then writing it anew in a client's habits changes nothing.
fn is_written_as_clients_must(term: &[u8]) -> bool {
    let options = codec::convert::Options::default();
    codec::convert::convert(term, Encoding::Etf, Encoding::Etf, &options).is_ok_and(|written| written == term)
}

/// What the server sent, in words.
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
