//! What the application asks of the machine. A request that is checked cannot fail.

use crate::outbox::AcceptedCommand;
use crate::{Reconnect, Shutdown};

/// A request that was accepted.
pub(crate) enum MachineRequest {
    /// Queue a command.
    Send(AcceptedCommand),
    /// Acknowledge all dispatches up to this number.
    Ack(u64),
    /// The same for dispatches that are known to be of the current session.
    AckCurrent(u64),
    /// Send a heartbeat on the open session, if there is one.
    Heartbeat,
    /// End the connection at the next input.
    End(EndRequest),
}

/// What the application may ask of a connection at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndRequest {
    Reconnect(Reconnect),
    Shutdown(Shutdown),
}
