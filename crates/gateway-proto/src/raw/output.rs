//! The outputs of a [`Connection`](crate::raw::Connection) for its driver.

use std::time::Instant;

use crate::{Event, GatewayUrl, StopReason};

/// One thing for the driver to do, in order.
///
/// Bytes to send are not among them: they wait in [`Connection::transmit`](crate::raw::Connection::transmit).
///
/// Exhaustive, so that a new output breaks the build of drivers that do not handle it.
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
    /// Pass this event to the application.
    Event(Event),
    /// Write the bytes in [`Connection::transmit`](crate::raw::Connection::transmit) as far as possible without blocking, then
    /// shut the socket down and drop it, or stop opening it.
    ///
    /// Comes once for each [`Output::Connect`], unless that was answered with
    /// [`Input::ConnectFailed`](crate::raw::Input::ConnectFailed). Bytes and ends of the old socket are ignored until the next
    /// [`Input::Opened`](crate::raw::Input::Opened).
    ShutDown,
    /// Nothing more to do before this time, unless there is an [`Input`](crate::raw::Input). May be in the past: then pass in
    /// [`Input::Timeout`](crate::raw::Input::Timeout) at once.
    Timeout(Instant),
    /// The shard has stopped. Every further poll returns this again.
    Stopped(StopReason),
}
