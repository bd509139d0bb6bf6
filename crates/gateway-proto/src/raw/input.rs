//! The inputs of a [`Connection`](crate::raw::Connection) from its driver.

use std::fmt;
use std::time::Duration;

use crate::ConnectError;
use crate::identify::IdentifyRefused;

/// One thing that happened outside the state machine. Bytes go in through
/// [`Connection::handle_bytes`](crate::raw::Connection::handle_bytes).
///
/// Exhaustive: these are all of them. Any input may be passed in any state; one that does not apply is ignored.
#[derive(Clone)]
pub enum Input {
    /// The byte stream asked for by [`Output::Connect`](crate::raw::Output::Connect) is open, TLS included.
    Opened,
    /// The byte stream asked for by [`Output::Connect`](crate::raw::Output::Connect) could not be opened.
    ConnectFailed(ConnectError),
    /// The byte stream ended: a read returned zero bytes, or TLS received `close_notify`. Pass in the bytes before it first.
    EndOfStream,
    /// Reading the byte stream failed, for instance with a reset. Later bytes are ignored.
    ///
    /// The text is for the application. The host of the connection is removed from it.
    Failed(String),
    /// The permit requested by [`Output::AcquireIdentify`](crate::raw::Output::AcquireIdentify) was granted.
    IdentifyGranted,
    /// That permit was refused. See [`crate::Input::IdentifyRefused`].
    IdentifyRefused(IdentifyRefused),
    /// The driver has stopped reading by itself. Until [`Input::ReadingResumed`] silence does not mean a dead connection.
    ReadingPaused,
    /// The driver reads again.
    ReadingResumed,
    /// The wall clock, as the time since the beginning of 1970. Pass it in at least whenever an
    /// [`Output::Timeout`](crate::raw::Output::Timeout) has passed, or never.
    ///
    /// It reveals a suspended machine: if it has advanced over 5 s more than the monotonic clock, the connection is replaced. A
    /// clock that is set back changes nothing, and nothing else depends on it.
    WallClock(Duration),
    /// Time has passed; nothing else happened.
    Timeout,
}

/// Prints no text of the system: it may contain the host.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("Opened"),
            Self::ConnectFailed(error) => crate::Input::ConnectFailed(error.clone()).fmt(f),
            Self::EndOfStream => f.write_str("EndOfStream"),
            Self::Failed(_) => f.write_str("Failed(…)"),
            Self::IdentifyGranted => f.write_str("IdentifyGranted"),
            Self::IdentifyRefused(refused) => f.debug_tuple("IdentifyRefused").field(refused).finish(),
            Self::ReadingPaused => f.write_str("ReadingPaused"),
            Self::ReadingResumed => f.write_str("ReadingResumed"),
            Self::WallClock(since_1970) => f.debug_tuple("WallClock").field(since_1970).finish(),
            Self::Timeout => f.write_str("Timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Input::Failed("secret".to_owned())), "Failed(…)");
    }
}
