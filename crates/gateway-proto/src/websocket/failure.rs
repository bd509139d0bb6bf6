//! What a broken frame is called, and the close frame that it is answered with.

use tungstenite::Error;
use tungstenite::error::ProtocolError;

use super::Frames;
use crate::{CloseFrame, Closed};

/// A server that broke the rules. "The endpoint MUST _Fail the WebSocket Connection_" (RFC 6455, section 7.1.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to send to it, unless a close frame has been sent already. No such code ends the session.
    pub close: CloseFrame,
    /// What to tell the shard.
    pub closed: Closed,
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

    /// The gateway is told as it is of a message that is too large once inflated: the session is given up.
    pub(super) fn too_large() -> Self {
        Self { close: CloseFrame::resumable("message too large"), closed: Closed::MessageTooLarge }
    }
}

/// What an error of tungstenite's means, which was handed a control frame. None: it does not come from what the server has
/// sent.
pub fn failure(error: &Error, frames: &Frames) -> Option<Failure> {
    match error {
        // Only the reason of a close frame is text. Its code counts all the same: nobody must reconnect after some.
        Error::Utf8(_) => {
            let failure = Failure::not_utf8();
            Some(Failure { closed: frames.closed().unwrap_or(failure.closed), ..failure })
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
            None
        }
        Error::Protocol(ProtocolError::InvalidCloseSequence) => {
            Some(Failure::protocol("a close frame had half a code"))
        }
        // It prints no payload.
        Error::Protocol(error) => Some(Failure::protocol(error.to_string())),
        _ => None,
    }
}
