//! How a violation of RFC 6455 is reported, and the close frame for it.

use crate::{CloseFrame, Closed};

/// A violation of the protocol. "The endpoint MUST _Fail the WebSocket Connection_" (RFC 6455, section 7.1.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What to send, unless a close frame has been sent already. No such code ends the session.
    pub(crate) close: CloseFrame,
    /// What to report to the shard.
    pub(crate) closed: Closed,
}

impl Failure {
    /// "1002 indicates that an endpoint is terminating the connection due to a protocol error" (section 7.4.1).
    pub(super) fn protocol(what: impl Into<String>) -> Self {
        let close = CloseFrame { code: 1002, reason: "protocol error".into() };
        Self { close, closed: Closed::Protocol(what.into()) }
    }

    /// "[…] data within a message that was not consistent with the type of the message" (section 7.4.1).
    pub(super) fn not_utf8() -> Self {
        let close = CloseFrame { code: 1007, reason: "not UTF-8".into() };
        Self { close, closed: Closed::Protocol("a text was not UTF-8".to_owned()) }
    }

    /// A Resume would bring a message of that size again, so the session is given up.
    pub(super) fn too_large() -> Self {
        Self { close: CloseFrame::resumable("message too large"), closed: Closed::MessageTooLarge }
    }
}
