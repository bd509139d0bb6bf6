//! A custom adapter: shards on threads and blocking sockets, checked by the conformance suite.
//!
//! `cargo run --example custom_runtime` runs the whole table, `cargo run --example custom_runtime -- op-7` the scenarios
//! with that in their name.

use std::collections::{BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use gateway_conformance::{Report, Suite};
use gateway_driver::{Runtime, Spawn, net};
use gateway_examples::options::is_answered;

const HELP: &str = "\
Runs the conformance table on a runtime of one's own, and prints the matrix.

Usage: custom_runtime [PART OF A SCENARIO'S NAME]

  -h, --help     this text
  -V, --version  the version
";

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    let part = std::env::args().nth(1).unwrap_or_default();
    let report = prove(&part);
    println!("{report}");
    ExitCode::from(u8::from(report.failures().next().is_some()))
}

/// Runs the scenarios whose names contain this.
pub(crate) fn prove(part: &str) -> Report {
    let mut suite = Suite::new();
    suite.only(|name| name.contains(part));
    suite.live("threads", ThreadRuntime, block_on).clusters("threads", ThreadRuntime, block_on);
    suite.run()
}

// ---- The adapter -------------------------------------------------------------------------------------------------------

/// A runtime without an executor, a reactor or a selector: blocking calls run on separate threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadRuntime;

impl Runtime for ThreadRuntime {
    type Stream = ThreadStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<ThreadStream> {
        let name = host.to_owned();
        let addresses =
            in_thread(move || Ok((name.as_str(), port).to_socket_addrs()?.collect::<Vec<_>>())).await;
        let addresses = addresses.map_err(net::resolve_error)?;
        let stream =
            net::connect_any(self, addresses, |address| in_thread(move || TcpStream::connect(address)))
                .await?;
        stream.set_nodelay(true)?;
        ThreadStream::new(stream)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let mut known: Option<Waker> = None;
        poll_fn(move |context| {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            // A task that is polled often needs one timer.
            if !known.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                TIMERS.add(deadline, context.waker().clone());
                known = Some(context.waker().clone());
            }
            Poll::Pending
        })
    }
}

/// A thread for each task. This suits some shards; for a thousand use a runtime with an executor. If the system cannot
/// start a thread, the process panics, as with `std::thread::spawn`.
impl Spawn for ThreadRuntime {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        thread::spawn(|| block_on(task));
    }
}

/// Runs a blocking call on another thread.
async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    struct State<T> {
        result: Option<io::Result<T>>,
        waker: Option<Waker>,
    }
    let state = Arc::new(Mutex::new(State { result: None, waker: None }));
    let worker = state.clone();
    thread::Builder::new().spawn(move || {
        let result = work();
        let mut state = lock(&worker);
        state.result = Some(result);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    })?;
    poll_fn(move |context| {
        let mut state = lock(&state);
        state.waker = Some(context.waker().clone());
        state.result.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

// ---- Streams -----------------------------------------------------------------------------------------------------------

/// The most buffered bytes in each direction.
const ROOM: usize = 64 << 10;
/// How long a write waits for a peer that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A blocking socket with a thread that reads and one that writes.
pub(crate) struct ThreadStream {
    socket: Arc<TcpStream>,
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
}

/// Buffered bytes between a thread and a future.
#[derive(Default)]
struct Channel {
    state: Mutex<ChannelState>,
    changed: Condvar,
}

#[derive(Default)]
struct ChannelState {
    bytes: VecDeque<u8>,
    /// Whether the thread is writing.
    busy: bool,
    /// Whether no more bytes will come.
    ended: bool,
    failure: Option<io::ErrorKind>,
    waker: Option<Waker>,
}

impl ThreadStream {
    fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let (socket, incoming, outgoing) = (Arc::new(socket), Arc::default(), Arc::default());
        let stream = Self { socket, incoming, outgoing };
        let (socket, incoming) = (stream.socket.clone(), stream.incoming.clone());
        thread::Builder::new().spawn(move || incoming.fill_from(&socket))?;
        let (socket, outgoing) = (stream.socket.clone(), stream.outgoing.clone());
        thread::Builder::new().spawn(move || outgoing.empty_into(&socket))?;
        Ok(stream)
    }
}

impl Channel {
    /// Runs on the reading thread, until the stream ends or its receiver is dropped.
    fn fill_from(&self, mut socket: &TcpStream) {
        let mut buffer = [0; 16 << 10];
        loop {
            let result = socket.read(&mut buffer);
            let mut state = lock(&self.state);
            match result {
                Ok(0) => state.ended = true,
                Ok(count) => state.bytes.extend(&buffer[..count]),
                Err(error) => state.failure = Some(error.kind()),
            }
            wake(&mut state);
            while state.bytes.len() >= ROOM && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended || state.failure.is_some() {
                return;
            }
        }
    }

    /// Runs on the writing thread, until everything is written.
    fn empty_into(&self, mut socket: &TcpStream) {
        let mut state = lock(&self.state);
        loop {
            while state.bytes.is_empty() && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.bytes.is_empty() {
                break;
            }
            let bytes: Vec<u8> = state.bytes.drain(..).collect();
            state.busy = true;
            drop(state);
            let result = socket.write_all(&bytes);
            state = lock(&self.state);
            state.busy = false;
            state.failure = result.err().map(|error| error.kind());
            wake(&mut state);
            if state.failure.is_some() {
                break;
            }
        }
        drop(state);
        // Fails if the peer has closed, which is enough.
        let _ = socket.shutdown(Shutdown::Write);
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

impl AsyncRead for ThreadStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.incoming.state);
        if !state.bytes.is_empty() {
            let count = state.bytes.read(buffer)?;
            self.incoming.changed.notify_all();
            return Poll::Ready(Ok(count));
        }
        match state.failure {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None if state.ended => Poll::Ready(Ok(0)),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for ThreadStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.outgoing.state);
        let room = ROOM.saturating_sub(state.bytes.len());
        if let Some(kind) = state.failure {
            return Poll::Ready(Err(kind.into()));
        }
        if room == 0 {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        state.bytes.extend(&bytes[..count]);
        self.outgoing.changed.notify_all();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.outgoing.state);
        match state.failure {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None if state.bytes.is_empty() && !state.busy => Poll::Ready(Ok(())),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        self.poll_flush(context)
    }
}

impl Drop for ThreadStream {
    /// Bytes written before are still sent. Reading ends at once.
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.end();
        let _ = self.socket.shutdown(Shutdown::Read);
    }
}

fn wake(state: &mut ChannelState) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

// ---- Time --------------------------------------------------------------------------------------------------------------

static TIMERS: LazyLock<Timers> = LazyLock::new(|| {
    // Without this thread no timer would fire.
    thread::Builder::new()
        .name("timers".to_owned())
        .spawn(|| TIMERS.run())
        .expect("the system gives a thread");
    Timers::default()
});

/// The wakers of all timers.
#[derive(Default)]
struct Timers {
    waiting: Mutex<BinaryHeap<Timer>>,
    changed: Condvar,
}

struct Timer {
    at: Instant,
    waker: Waker,
}

impl Timers {
    fn add(&self, at: Instant, waker: Waker) {
        lock(&self.waiting).push(Timer { at, waker });
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut waiting = lock(&self.waiting);
        loop {
            let now = Instant::now();
            while let Some(timer) = waiting.pop() {
                if timer.at > now {
                    waiting.push(timer);
                    break;
                }
                timer.waker.wake();
            }
            waiting = match waiting.peek().map(|timer| timer.at.saturating_duration_since(now)) {
                Some(time) => {
                    self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// Reversed, since a heap returns the greatest first.
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

// ---- Futures -----------------------------------------------------------------------------------------------------------

/// Runs a future on this thread, which sleeps while the future is pending.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
