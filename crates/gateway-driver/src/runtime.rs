//! The interface to a runtime: connections and a clock.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_io::{AsyncRead, AsyncWrite};

/// An async runtime, as far as a shard needs one. An adapter implements two methods.
///
/// [`net`](crate::net) contains what most adapters share: trying every address of a name, and marking a failed name
/// look-up.
///
/// # Threads
///
/// Streams and futures must be `Send`: a shard is then `Send` too, and can be spawned on a runtime that moves tasks between threads.
/// Wakers must work from any thread, because a [`Sender`](crate::Sender) wakes its shard from whichever thread it is used on;
/// gateway-conformance has a scenario for that.
///
/// On a thread-per-core runtime, whose sockets and timers are not `Send` (monoio, glommio, compio), either
///
/// - run the shards on a thread of their own, with one of the runtimes that have an adapter (a `current_thread` runtime of tokio,
///   or `smol::block_on`), and pass the events to the cores through a channel; commands come back through
///   [`Sender`](crate::Sender), which works from any thread; or
/// - drive `gateway_proto::raw::Connection` (feature `raw` of gateway-proto) with the core's own socket and timer. It is a plain
///   value without tasks or wakers: bytes and the time go in, bytes, events and a deadline come out.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A connected byte stream. `Send`: see [Threads](Runtime#threads).
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens a TCP connection, without TLS. The host is a name, an IPv4 address, or an IPv6 address without brackets.
    ///
    /// No timeout is necessary: the shard drops the future when its own timeout expires.
    ///
    /// # Errors
    ///
    /// Any error. Mark a failed name look-up with [`net::resolve_error`](crate::net::resolve_error), so that it is
    /// reported as one.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Waits until this time, as measured by [`Runtime::now`]. Returns immediately for a time in the past.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static;

    /// The current time. Override it in tests with their own clock.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// The wall clock, as the time since the beginning of 1970. Used to detect that the machine was suspended, and to
    /// determine the age of the session starts of earlier processes (see
    /// [`LocalIdentifyGate::kept_in`](crate::gate::LocalIdentifyGate::kept_in)). `None` if there is none that can be
    /// trusted.
    fn wall_clock(&self) -> Option<Duration> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok()
    }
}
