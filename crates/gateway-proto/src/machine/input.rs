//! The inputs of the machine.

use std::time::Duration;

use crate::identify::IdentifyRefused;
use crate::payload::ReadMessage;
use crate::{Closed, ConnectError};

/// One thing that happened outside the machine: an [`Input`](crate::Input), with its message read.
#[repr(u8)]
pub(crate) enum MachineInput {
    Opened,
    ConnectFailed(ConnectError),
    Message(ReadMessage),
    /// A WebSocket message that is not read in this state. Only time passes.
    UnreadMessage {
        /// Its size in bytes, before it is inflated.
        bytes: usize,
    },
    Progress {
        message: bool,
    },
    Closed(Closed),
    IdentifyGranted,
    IdentifyRefused(IdentifyRefused),
    ReadingPaused,
    ReadingResumed,
    WallClock(Duration),
    Timeout,
}
