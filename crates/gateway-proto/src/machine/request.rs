//! The requests of the application. A checked request cannot fail.

use crate::outbox::AcceptedCommand;
use crate::{Reconnect, Shutdown};

/// A request that was accepted.
pub(crate) enum MachineRequest {
    /// Queue a command.
    Send(AcceptedCommand),
    /// Acknowledge all dispatches up to this number.
    Ack(u64),
    /// Acknowledge all dispatches of the current session up to this number.
    AckCurrent(u64),
    /// Send a heartbeat on the open session, if there is one.
    Heartbeat,
    /// End the connection at the next input.
    End(EndRequest),
}

/// A request to end a connection, possible at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndRequest {
    Reconnect(Reconnect),
    Shutdown(Shutdown),
}
