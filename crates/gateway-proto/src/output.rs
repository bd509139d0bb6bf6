//! The outputs of a [`Shard`](crate::Shard) for its driver.

use std::borrow::Cow;
use std::time::Instant;

use crate::{Event, GatewayUrl, Message, StopReason};

/// One thing for the driver to do, in order.
///
/// Exhaustive, so that a new output breaks the build of drivers that do not handle it.
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
    /// Pass this event to the application.
    Event(Event),
    /// Send this close frame and continue to read until the server's close frame arrives, then pass in
    /// [`Input::Closed`](crate::Input::Closed). No output sends anything after it.
    Close(CloseFrame),
    /// Drop the socket, or stop opening it, at once. Pass in nothing more of it.
    ///
    /// Still write a close frame from the output before, if that is possible without blocking.
    Disconnect,
    /// Nothing more to do before this time, unless there is an [`Input`](crate::Input). May be in the past: then pass in
    /// [`Input::Timeout`](crate::Input::Timeout) at once.
    Timeout(Instant),
    /// The shard has stopped. Every further poll returns this again.
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

    /// Keeps the session, so that it can be resumed, with this reason.
    ///
    /// Any code except 1000 and 1001 does (Discord Docs, Gateway > Initiating a Disconnect).
    pub const fn resumable(reason: &'static str) -> Self {
        Self { code: 4000, reason: Cow::Borrowed(reason) }
    }
}
