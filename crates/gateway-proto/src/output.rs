//! What a [`Shard`](crate::Shard) tells the owner of the socket.

use std::borrow::Cow;
use std::time::Instant;

use crate::{Event, GatewayUrl, Message, StopReason};

/// One thing to do, in the order in which they are given out.
///
/// Exhaustive on purpose: a new output must be noticed by whoever drives a shard.
#[derive(Debug, Clone)]
pub enum Output {
    /// Open a WebSocket to this URL; answer with [`Input::Opened`](crate::Input::Opened) or
    /// [`Input::ConnectFailed`](crate::Input::ConnectFailed). No other connection is open at this moment.
    Connect(GatewayUrl),
    /// Ask the identify gate for a permit; answer with [`Input::IdentifyGranted`](crate::Input::IdentifyGranted).
    AcquireIdentify,
    /// The permit is no longer needed: the connection that wanted it is gone.
    CancelIdentify,
    /// Send this WebSocket message.
    Send(Message),
    /// Something for the application.
    Event(Event),
    /// Send this close frame and go on reading until the server's own arrives, then hand in
    /// [`Input::Closed`](crate::Input::Closed). Nothing will be sent after it.
    Close(CloseFrame),
    /// Drop the socket, or give up opening it, at once. Nothing of it may be handed in any more.
    ///
    /// A close frame given out just before should still be written if that is possible without waiting.
    Disconnect,
    /// Nothing more to do before this time, unless there is an [`Input`](crate::Input). May lie in the past: then
    /// hand in [`Input::Timeout`](crate::Input::Timeout) at once.
    Timeout(Instant),
    /// The shard has ended for good. Repeats for ever.
    Stopped(StopReason),
}

/// A close frame to send. Exhaustive: it has a code and a reason (RFC 6455, section 5.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// The close code.
    pub code: u16,
    /// The reason, at most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl CloseFrame {
    /// Ends the session: the bot goes offline and nothing can be resumed.
    ///
    /// "When you close the connection to the gateway with close code 1000 or 1001, your session will be
    /// invalidated and your bot will appear offline." (Discord Docs, Gateway > Initiating a Disconnect)
    pub const LOG_OFF: Self = Self { code: 1000, reason: Cow::Borrowed("logging off") };

    /// Leaves the session alive, so that it can be resumed, for the reason given.
    ///
    /// Any code but 1000 and 1001 does (Discord Docs, Gateway > Initiating a Disconnect).
    pub const fn resumable(reason: &'static str) -> Self {
        Self { code: 4000, reason: Cow::Borrowed(reason) }
    }
}
