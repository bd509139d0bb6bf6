//! The inputs of a [`Shard`](crate::Shard) from its driver.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use gateway_codec::text::escape;

use crate::identify::IdentifyRefused;

/// One thing that happened outside the state machine.
///
/// Exhaustive: these are all of them. Any input may be passed in any state; one that does not apply is ignored.
///
/// `Debug` prints no text of the server: only the shard knows the secrets that must be removed from it.
#[derive(Clone)]
pub enum Input {
    /// The WebSocket asked for by [`Output::Connect`](crate::Output::Connect) is open: the upgrade was answered with 101.
    Opened,
    /// The WebSocket asked for by [`Output::Connect`](crate::Output::Connect) could not be opened.
    ConnectFailed(ConnectError),
    /// A whole WebSocket message arrived.
    Message(Message),
    /// Bytes of the open WebSocket arrived that complete no message. Not needed after [`Input::Message`].
    ///
    /// They prove that the connection is alive, and extend the wait for a message, up to
    /// [`Timeouts::message`](crate::config::Timeouts::message). Without this input, connections are lost on which one message takes
    /// longer than two heartbeats.
    ///
    /// The only input that does not move the clock, so that it makes no difference how a stream is cut. Due deadlines are
    /// handled at the next other input.
    Progress {
        /// Whether a message has begun and not ended. False for a ping or a pong.
        message: bool,
    },
    /// The WebSocket has ended. Pass in nothing more of this connection.
    Closed(Closed),
    /// The permit requested by [`Output::AcquireIdentify`](crate::Output::AcquireIdentify) was granted.
    IdentifyGranted,
    /// That permit was refused: no session start may be spent. The shard stops with this reason.
    ///
    /// If the gate could not be reached ([`RefusalCause::Unreachable`](crate::identify::RefusalCause::Unreachable)), the shard does not
    /// stop: it closes, connects again after its back-off, and asks again.
    IdentifyRefused(IdentifyRefused),
    /// The driver has stopped reading the socket by itself, for instance because its event queue is full.
    ///
    /// Until [`Input::ReadingResumed`] silence does not mean a dead connection. Heartbeats continue.
    ReadingPaused,
    /// The driver reads the socket again.
    ReadingResumed,
    /// The wall clock, as the time since the beginning of 1970. Pass it in at least whenever an
    /// [`Output::Timeout`](crate::Output::Timeout) has passed, or never.
    ///
    /// It reveals a suspended machine: if it has advanced over 5 s more than the monotonic clock, the connection is replaced. A
    /// clock that is set back changes nothing, and nothing else depends on it.
    WallClock(Duration),
    /// Time has passed; nothing else happened.
    Timeout,
}

/// A WebSocket data message, without its framing. Exhaustive: these are the two kinds (RFC 6455, section 5.6).
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message: UTF-8 JSON.
    Text(Bytes),
    /// A binary message: ETF, or anything compressed.
    Binary(Bytes),
}

impl Message {
    /// The payload, of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// Why a WebSocket could not be opened.
///
/// In an event the texts name neither the host nor any other secret, are escaped, and have a few hundred bytes at most.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name could not be resolved.
    Dns(String),
    /// No TCP connection could be made.
    Tcp(String),
    /// The TLS handshake failed.
    Tls(String),
    /// The server answered the upgrade with something other than 101.
    Refused(Refused),
    /// The answer to the upgrade was not a WebSocket handshake (RFC 6455, section 4.1).
    Handshake(String),
}

/// A refused upgrade.
///
/// In an event, token, session id and resume URL are removed from headers and body. Otherwise both are as received: escape them
/// ([`codec::text::escape`](gateway_codec::text::escape)) before you print them.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The HTTP status code.
    pub status: u16,
    /// The headers, names and values as received and in order; bytes that are not UTF-8 are replaced. The whole head of an
    /// answer has at most 16 KiB and 100 headers.
    pub headers: Vec<(String, String)>,
    /// The `Retry-After` header, if there was one.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, at most a few kilobytes, for diagnosis.
    pub body: Vec<u8>,
}

impl Refused {
    /// A refusal with this status, without headers and body. Set the other fields as needed.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The value of the first header with this name, which is compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    /// Reads a `Retry-After` value that is a number of seconds (RFC 9110, section 10.2.3), whole or with a fraction.
    ///
    /// The date form is not read, since it needs a wall clock. The back-off applies instead.
    pub fn parse_retry_after(value: &str) -> Option<Duration> {
        let seconds: f64 = value.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// How a WebSocket ended.
///
/// In an event the texts hold no secret, are escaped, and have a few hundred bytes at most.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The server sent a close frame (RFC 6455, section 5.5.1). A frame without a code has `code: None`.
    Frame {
        /// The close code.
        code: Option<u16>,
        /// The server's reason. Empty if there is none.
        reason: String,
    },
    /// The stream ended without a close frame.
    Eof,
    /// The stream failed: reset, or any other I/O error.
    Failed(String),
    /// The server broke the WebSocket protocol.
    Protocol(String),
    /// A message was larger than [`ShardLimits::message_bytes`](crate::config::ShardLimits::message_bytes).
    MessageTooLarge,
}

/// Prints the kind and the length: the content may be an Identify or a READY.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => write!(f, "Text({} bytes)", bytes.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// Prints the number of headers and the length of the body: their content is unknown.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("retry_after", &self.retry_after)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, text) = match self {
            Self::Dns(text) => ("Dns", text),
            Self::Tcp(text) => ("Tcp", text),
            Self::Tls(text) => ("Tls", text),
            Self::Refused(refused) => return f.debug_tuple("Refused").field(refused).finish(),
            Self::Handshake(text) => ("Handshake", text),
        };
        f.debug_tuple(name).field(&escape(text)).finish()
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { code, reason } => {
                f.debug_struct("Frame").field("code", code).field("reason", &escape(reason)).finish()
            }
            Self::Eof => f.write_str("Eof"),
            Self::Failed(text) => f.debug_tuple("Failed").field(&escape(text)).finish(),
            Self::Protocol(text) => f.debug_tuple("Protocol").field(&escape(text)).finish(),
            Self::MessageTooLarge => f.write_str("MessageTooLarge"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(detail) => write!(f, "the host name could not be resolved: {}", escape(detail)),
            Self::Tcp(detail) => write!(f, "no TCP connection: {}", escape(detail)),
            Self::Tls(detail) => write!(f, "the TLS handshake failed: {}", escape(detail)),
            Self::Refused(refused) => write!(f, "the upgrade was refused with {refused}"),
            Self::Handshake(detail) => write!(f, "the WebSocket handshake failed: {}", escape(detail)),
        }
    }
}

impl std::error::Error for ConnectError {}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { code: Some(code), reason } if reason.is_empty() => {
                write!(f, "closed with code {code}")
            }
            Self::Frame { code: Some(code), reason } => {
                write!(f, "closed with code {code}: {}", escape(reason))
            }
            Self::Frame { code: None, .. } => f.write_str("closed without a code"),
            Self::Eof => f.write_str("the stream ended without a close frame"),
            Self::Failed(detail) => write!(f, "the connection failed: {}", escape(detail)),
            Self::Protocol(detail) => {
                write!(f, "the server broke the WebSocket protocol: {}", escape(detail))
            }
            Self::MessageTooLarge => f.write_str("a message was larger than the limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds() {
        assert_eq!(Refused::parse_retry_after("60"), Some(Duration::from_secs(60)));
        assert_eq!(Refused::parse_retry_after(" 0.5 "), Some(Duration::from_millis(500)));
        for odd in ["", "-1", "NaN", "inf", "1e300", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(Refused::parse_retry_after(odd), None, "{odd}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let message = Message::Text(Bytes::from_static(b"{\"token\":\"secret\"}"));
        assert_eq!(format!("{:?}", Input::Message(message)), "Message(Text(18 bytes))");
        let headers = vec![("Set-Cookie".to_owned(), "secret".to_owned())];
        let refused = Refused { status: 403, headers, body: b"secret".to_vec(), ..Refused::default() };
        assert_eq!(refused.header("set-cookie"), Some("secret"));
        let text = format!("{:?}", ConnectError::Refused(refused));
        assert!(
            text.contains("headers: 1") && !text.contains("Set-Cookie") && !text.contains("secret"),
            "{text}"
        );
        let closed = Closed::Frame { code: Some(4000), reason: "secret".to_owned() };
        assert_eq!(format!("{:?}", Input::Closed(closed)), "Closed(close-4000)");
        let failed = ConnectError::Tls("secret".to_owned());
        assert_eq!(format!("{:?}", Input::ConnectFailed(failed)), "ConnectFailed(tls)");
    }
}
