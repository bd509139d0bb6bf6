//! What goes out on a connection.

/// A WebSocket message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// A binary message; a text message otherwise.
    pub binary: bool,
    /// What it carries.
    pub payload: Vec<u8>,
    /// In how many frames it goes out, at least 1.
    pub fragments: usize,
    /// What is in it.
    pub about: About,
}

/// What a message is, for the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The opcode.
    pub op: Option<u64>,
    /// The event name of a dispatch.
    pub name: Option<String>,
    /// The sequence of a dispatch.
    pub sequence: Option<u64>,
    /// What op 9 says: whether the session may be resumed.
    pub resumable: Option<bool>,
}
