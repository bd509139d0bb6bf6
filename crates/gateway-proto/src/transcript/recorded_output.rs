//! An output without its content.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use gateway_codec::Envelope;
use gateway_codec::text::escape;
use serde::{Deserialize, Serialize};

use crate::{Dispatch, Event, Message, Output};

/// An output as a transcript records it: its kind and its times, without content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordedOutput {
    /// [`Output::Connect`].
    Connect,
    /// [`Output::AcquireIdentify`].
    AcquireIdentify,
    /// [`Output::CancelIdentify`].
    CancelIdentify,
    /// [`Output::Send`].
    Send {
        /// The opcode.
        op: u64,
    },
    /// [`Output::Event`], in words.
    Event(String),
    /// [`Output::Close`].
    Close {
        /// The close code.
        code: u16,
    },
    /// [`Output::Disconnect`].
    Disconnect,
    /// [`Output::Timeout`].
    Wait {
        /// Nanoseconds since the start.
        until: u64,
    },
    /// [`Output::Stopped`], in words.
    Stopped(String),
}

impl RecordedOutput {
    pub(super) fn of(output: &Output, start: Instant) -> Self {
        match output {
            Output::Connect(_) => Self::Connect,
            Output::AcquireIdentify => Self::AcquireIdentify,
            Output::CancelIdentify => Self::CancelIdentify,
            Output::Send(message) => Self::Send { op: opcode(message) },
            Output::Event(event) => Self::Event(in_words(event)),
            Output::Close(frame) => Self::Close { code: frame.code },
            Output::Disconnect => Self::Disconnect,
            Output::Timeout(deadline) => {
                Self::Wait { until: nanoseconds(deadline.saturating_duration_since(start)) }
            }
            Output::Stopped(reason) => Self::Stopped(format!("{reason:?}")),
        }
    }
}

/// Escaped, since the texts come from a file.
impl fmt::Display for RecordedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::AcquireIdentify => f.write_str("request a permit to identify"),
            Self::CancelIdentify => f.write_str("cancel that request"),
            Self::Send { op } => write!(f, "send opcode {op}"),
            Self::Event(words) => write!(f, "event: {}", escape(words)),
            Self::Close { code } => write!(f, "close with code {code}"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Wait { until } => write!(f, "wait until {}", seconds(Duration::from_nanos(*until))),
            Self::Stopped(words) => write!(f, "stopped: {}", escape(words)),
        }
    }
}

/// The opcode of a message that the shard sends.
fn opcode(message: &Message) -> u64 {
    let encoding = match message {
        Message::Text(_) => gateway_codec::Encoding::Json,
        Message::Binary(_) => gateway_codec::Encoding::Etf,
    };
    Envelope::parse(message.as_bytes(), encoding).map_or(u64::MAX, |envelope| envelope.op)
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Connecting { resuming: false, attempt } => format!("connecting, attempt {attempt}"),
        Event::Connecting { resuming: true, attempt } => format!("connecting to resume, attempt {attempt}"),
        Event::Connected => "connected".to_owned(),
        Event::Hello { heartbeat_interval } => format!("hello, a heartbeat every {heartbeat_interval:?}"),
        Event::Identifying => "identifying".to_owned(),
        Event::Resuming { sequence } => format!("resuming from {sequence}"),
        Event::Dispatch(dispatch) => dispatched(dispatch),
        Event::Ready => "ready".to_owned(),
        Event::Resumed { replayed } => format!("resumed, {replayed} replayed"),
        Event::HeartbeatAcknowledged { latency, .. } => format!("acknowledged after {latency:?}"),
        Event::Disconnected(end) => {
            let session = if end.resumable { "resumable" } else { "no session" };
            let next = match end.retry_in {
                Some(wait) => format!("retry in {wait:?}"),
                None => "for good".to_owned(),
            };
            format!("disconnected, {:?}, {session}, {next}", end.reason.kind())
        }
        Event::Unknown(unknown) => format!("unknown opcode {}", unknown.op),
        Event::Notice(notice) => format!("notice, {notice:?}"),
    }
}

fn dispatched(dispatch: &Dispatch) -> String {
    let name = event_name(dispatch.name());
    match dispatch.sequence() {
        Some(sequence) => format!("dispatch {name}, number {sequence}"),
        None => format!("dispatch {name}, no number"),
    }
}

/// For texts about times.
pub(super) fn seconds(at: Duration) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

/// The name of an event if it has the usual form. It comes from the server and may be any text.
pub(super) fn event_name(name: &str) -> Cow<'_, str> {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    match name {
        "" => Cow::Borrowed(""),
        name if name.len() <= 64 && name.bytes().all(usual) => Cow::Borrowed(name),
        _ => Cow::Borrowed("(UNUSUAL)"),
    }
}

/// Saturates after 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
