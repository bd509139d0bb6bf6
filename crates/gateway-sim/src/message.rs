//! WebSocket messages with a description for the trace.

/// A WebSocket message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Whether this is a binary message; otherwise a text message.
    pub binary: bool,
    /// The payload.
    pub payload: Vec<u8>,
    /// The number of frames in which it is sent, at least 1.
    pub fragments: usize,
    /// A description for the trace.
    pub about: About,
}

/// The description of a message, for the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The opcode.
    pub op: Option<u64>,
    /// The event name of a dispatch.
    pub name: Option<String>,
    /// The sequence of a dispatch.
    pub sequence: Option<u64>,
    /// The `d` of opcode 9: whether the session is resumable.
    pub resumable: Option<bool>,
}
