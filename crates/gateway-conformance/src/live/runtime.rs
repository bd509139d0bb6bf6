//! A runtime with a fast clock and a network that can be made to fail.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use gateway_driver::Runtime;

use super::stage::Clock;
use super::trap::Trap;
use crate::memory::wall_clock;

/// The destinations of connections, and the offset of the wall clock.
pub(crate) struct Routes {
    /// The destinations of the next connections that are not the default.
    next: Mutex<VecDeque<Route>>,
    /// The switch of the newest connection: whether it blocks writes.
    newest: Mutex<Arc<AtomicBool>>,
    /// The seconds by which the wall clock is ahead of the true time.
    wall_offset: AtomicI64,
    has_wall_clock: bool,
}

/// The destination of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this host and port.
    To(String, u16),
    /// None: the connection never opens, and never fails.
    Nowhere,
}

impl Routes {
    pub(crate) fn new(has_wall_clock: bool) -> Self {
        Self {
            next: Mutex::default(),
            newest: Mutex::default(),
            wall_offset: AtomicI64::new(0),
            has_wall_clock,
        }
    }

    /// Directs this many of the next connections into a trap.
    pub(crate) fn add(&self, trap: &Trap, count: u32) {
        lock(&self.next).extend((0..count).map(|_| trap.route().clone()));
    }

    /// Sets the wall clock this many seconds ahead.
    pub(crate) fn set_wall_clock(&self, ahead: i64) {
        self.wall_offset.store(ahead, Ordering::SeqCst);
    }

    /// Blocks writes on the newest connection.
    pub(crate) fn stop_writes(&self) {
        lock(&self.newest).store(true, Ordering::SeqCst);
    }
}

/// A runtime, its time and its connections under the scenario's control.
#[derive(Clone)]
pub(crate) struct Faulty<R> {
    runtime: R,
    clock: Clock,
    routes: Arc<Routes>,
}

impl<R: Runtime> Faulty<R> {
    pub(crate) fn new(runtime: R, clock: Clock, routes: Arc<Routes>) -> Self {
        Self { runtime, clock, routes }
    }
}

impl<R: Runtime> Runtime for Faulty<R> {
    type Stream = FaultyStream<R::Stream>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let route = lock(&self.routes.next).pop_front();
        let stream = match route {
            None => self.runtime.connect(host, port).await?,
            Some(Route::To(host, port)) => self.runtime.connect(&host, port).await?,
            Some(Route::Nowhere) => pending().await,
        };
        let stuck = Arc::new(AtomicBool::new(false));
        *lock(&self.routes.newest) = stuck.clone();
        Ok(FaultyStream { stream, stuck })
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.runtime.sleep_until(self.clock.wall_at(deadline))
    }

    fn now(&self) -> Instant {
        self.clock.at_wall(self.runtime.now())
    }

    fn wall_clock(&self) -> Option<Duration> {
        if !self.routes.has_wall_clock {
            return None;
        }
        let time = self.now() - self.clock.started();
        Some(wall_clock(time, self.routes.wall_offset.load(Ordering::SeqCst)))
    }
}

/// A stream whose writes can be blocked.
pub(crate) struct FaultyStream<S> {
    stream: S,
    stuck: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for FaultyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FaultyStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The task is not woken: the stream never accepts a byte again.
        if self.stuck.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stuck.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
