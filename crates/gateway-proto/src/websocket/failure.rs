//! What a broken frame is called, and the close frame that it is answered with.

use std::borrow::Cow;

use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};

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

/// What an error in reading means. None: it does not come from what the server has sent.
///
/// tungstenite's own text may hold a payload, so it is passed on only where it cannot.
pub fn failure(error: &Error, frames: &Frames) -> Option<Failure> {
    let failure = match error {
        // Whoever reads through `Frames` was not given what breaks the rules.
        Error::Io(_) => {
            let violation = frames.violation()?;
            Failure { close: protocol_error(violation), closed: Closed::Protocol(violation.to_owned()) }
        }
        // The gateway is told as it is of a message that is too large once inflated: the session is given up.
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Failure { close: CloseFrame::resumable("message too large"), closed: Closed::MessageTooLarge }
        }
        // "[…] data within a message that was not consistent with the type of the message" (section 7.4.1).
        Error::Utf8(_) => Failure {
            close: CloseFrame { code: 1007, reason: Cow::Borrowed("not UTF-8") },
            // Where only the reason of a close frame is bad, its code counts: nobody must reconnect after some.
            closed: frames.closed().unwrap_or_else(|| Closed::Protocol("a text was not UTF-8".to_owned())),
        },
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
            return None;
        }
        Error::Protocol(error) => {
            Failure { close: protocol_error("protocol error"), closed: Closed::Protocol(describe(error)) }
        }
        _ => return None,
    };
    Some(failure)
}

/// "1002 indicates that an endpoint is terminating the connection due to a protocol error" (section 7.4.1).
fn protocol_error(reason: &'static str) -> CloseFrame {
    CloseFrame { code: 1002, reason: Cow::Borrowed(reason) }
}

/// What a protocol error of tungstenite's means, in words of a reader of RFC 6455.
fn describe(error: &ProtocolError) -> String {
    match error {
        ProtocolError::NonZeroReservedBits => "a frame had reserved bits set".to_owned(),
        ProtocolError::MaskedFrameFromServer => "a frame was masked".to_owned(),
        ProtocolError::FragmentedControlFrame => "a control frame was fragmented".to_owned(),
        ProtocolError::InvalidOpcode(opcode) => format!("a frame had the reserved opcode {opcode}"),
        ProtocolError::UnexpectedContinueFrame => "a fragment continued nothing".to_owned(),
        ProtocolError::ExpectedFragment(_) => "a message began within another".to_owned(),
        ProtocolError::InvalidCloseSequence => "a close frame had half a code".to_owned(),
        other => other.to_string(),
    }
}
