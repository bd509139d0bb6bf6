//! What a [`Connection`](crate::raw::Connection) tells the owner of the byte stream.

use std::time::Instant;

use crate::{Event, GatewayUrl, StopReason};

/// One thing to do, in the order in which they are given out.
///
/// Bytes to send are not among them: they wait in [`Connection::transmit`](crate::raw::Connection::transmit).
///
/// Exhaustive on purpose: a new output must be noticed by whoever drives a connection.
#[derive(Debug, Clone)]
pub enum Output {
    /// Open a byte stream to [`GatewayUrl::host`] and [`GatewayUrl::port`], with TLS if [`GatewayUrl::is_tls`]; answer
    /// with [`Input::Opened`](crate::raw::Input::Opened) or [`Input::ConnectFailed`](crate::raw::Input::ConnectFailed).
    ///
    /// No other stream is open at this moment. The upgrade request follows once it is open.
    Connect(GatewayUrl),
    /// Ask the identify gate for a permit; answer with [`Input::IdentifyGranted`](crate::raw::Input::IdentifyGranted).
    AcquireIdentify,
    /// The permit is no longer needed: the connection that wanted it is gone.
    CancelIdentify,
    /// Something for the application.
    Event(Event),
    /// Write what [`Connection::transmit`](crate::raw::Connection::transmit) still holds as far as that goes without
    /// waiting, then shut the socket down and drop it, or give up opening it.
    ///
    /// Comes once for each [`Output::Connect`], unless that was answered with
    /// [`Input::ConnectFailed`](crate::raw::Input::ConnectFailed). What the old socket still gives is ignored until the
    /// next [`Input::Opened`](crate::raw::Input::Opened).
    ShutDown,
    /// Nothing more to do before this time, unless there is an [`Input`](crate::raw::Input). May lie in the past: then
    /// hand in [`Input::Timeout`](crate::raw::Input::Timeout) at once.
    Timeout(Instant),
    /// The shard has ended for good. Repeats for ever.
    Stopped(StopReason),
}
