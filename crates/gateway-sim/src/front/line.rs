//! One connection below HTTP and WebSocket: writes bytes in order, with the gateway's faults applied.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smol::Timer;
use smol::future;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::net::TcpStream;
use socket2::SockRef;

use super::clock::Clock;
use crate::bytes_fault::{ByteFault, BytePlan, ByteStep};

/// The time limit for a write without progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The time in which the client must end its half after ours has ended.
const LINGER: Duration = Duration::from_secs(10);

/// A connection, with TLS or without.
///
/// A write always succeeds at once, so that the layer above buffers nothing. [`poll_drain`](Self::poll_drain) writes to
/// the socket. The layer above keeps this buffer small: it writes when everything is drained.
pub(super) struct Line {
    stream: Box<dyn Transport>,
    /// The same connection below TLS.
    tcp: TcpStream,
    clock: Clock,
    plan: BytePlan,
    silent: bool,
    steps: VecDeque<ByteStep>,
    /// How many bytes of the first step are written.
    written: usize,
    /// Whether the stream may hold back written bytes.
    unflushed: bool,
    /// Runs while the first step is a wait.
    pause: Option<Timer>,
    /// Runs while a write makes no progress.
    patience: Option<Timer>,
}

pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

impl Line {
    pub(super) fn new(stream: impl Transport + 'static, tcp: TcpStream, clock: Clock) -> Self {
        Self {
            stream: Box::new(stream),
            tcp,
            clock,
            plan: BytePlan::default(),
            silent: false,
            steps: VecDeque::new(),
            written: 0,
            unflushed: false,
            pause: None,
            patience: None,
        }
    }

    /// The TCP connection below TLS.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Adds a fault, counted from the bytes pushed so far.
    pub(super) fn disturb(&mut self, fault: ByteFault) {
        self.plan.add(fault);
    }

    /// Drops everything that is pushed from now on.
    pub(super) fn silence(&mut self) {
        self.silent = true;
    }

    /// Takes bytes to write.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.silent {
            self.steps.extend(self.plan.write(bytes));
        }
    }

    /// Resets the connection after what was pushed so far. [`poll_drain`](Self::poll_drain) then fails.
    pub(super) fn push_reset(&mut self) {
        self.steps.push_back(ByteStep::Reset);
    }

    /// Writes the pushed bytes. Ready once all of them are written.
    ///
    /// # Errors
    /// If the stream has failed, was reset by a fault, or the client has not read for too long.
    pub(super) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.unflushed {
                let flushed = Pin::new(&mut self.stream).poll_flush(context);
                ready!(self.in_time(flushed, context))?;
                self.unflushed = false;
            }
            match self.steps.front() {
                None => return Poll::Ready(Ok(())),
                Some(ByteStep::Write(bytes)) => {
                    let written = Pin::new(&mut self.stream).poll_write(context, &bytes[self.written..]);
                    let length = bytes.len();
                    self.written += match ready!(self.in_time(written, context))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        count => count,
                    };
                    if self.written < length {
                        continue;
                    }
                    self.written = 0;
                    self.unflushed = true;
                }
                Some(ByteStep::Wait(time)) => {
                    let time = self.clock.wait(*time);
                    let pause = self.pause.get_or_insert_with(|| Timer::after(time));
                    ready!(Pin::new(pause).poll(context));
                    self.pause = None;
                }
                // Without close_notify of TLS.
                Some(ByteStep::HalfClose) => self.tcp.shutdown(Shutdown::Write)?,
                Some(ByteStep::Reset) => {
                    // Makes the close of the socket that follows a reset.
                    SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO))?;
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
            self.steps.pop_front();
        }
    }

    /// [`poll_drain`](Self::poll_drain) as a future.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_drain(context)).await
    }

    /// Whether a fault delays the next bytes.
    pub(super) fn is_delayed(&self) -> bool {
        self.pause.is_some()
    }

    /// Writes the pushed bytes and ends our half; then waits for the client to end its half, unless it has.
    pub(super) async fn finish(mut self, client_ended: bool) -> io::Result<()> {
        self.drain().await?;
        let end = async {
            self.stream.close().await?;
            let mut rest = [0; 512];
            while !client_ended && self.stream.read(&mut rest).await? > 0 {
                future::yield_now().await;
            }
            Ok(())
        };
        within(LINGER, end).await
    }

    /// The result of a write, or an error if there was no progress for too long.
    fn in_time<T>(&mut self, result: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            let patience = self.patience.get_or_insert_with(|| Timer::after(WRITE_TIMEOUT));
            return Pin::new(patience).poll(context).map(|_| Err(io::ErrorKind::TimedOut.into()));
        }
        self.patience = None;
        result
    }
}

/// The result of `work`, or an error after `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        Timer::after(limit).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    future::or(work, late).await
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// Accepts everything without blocking: see [`Line`].
impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
