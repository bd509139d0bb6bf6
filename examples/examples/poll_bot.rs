//! Several shards on one thread over non-blocking sockets: `cargo run --example poll_bot -- --shards 4`.
//!
//! The event loop is `mio`. In each turn every ready socket is read once and its messages are handled one by one; then
//! timers, other sockets and the interrupt are handled. If a socket were read until it is empty, a server that sends
//! faster than the bot works would starve everything else.
//!
//! Names are looked up on the same thread, which blocks it. A bot for which that matters looks them up on another thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_driver::rustls::ClientConfig;
use gateway_examples::keeping::{Gate, Session};
use gateway_examples::raw::{self, Filled, INTERRUPT_LATENCY, Incoming, Socket};
use gateway_examples::report::{Next, REFUSED};
use gateway_examples::{Options, Report};
use gateway_proto::health::Stats;
use gateway_proto::identify::Ticket;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{ConnectError, Event, GatewayUrl, ShardId, StopReason};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

#[expect(clippy::print_stderr, reason = "a program talks to its user")]
fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(status) => return status,
    };
    match raw::interrupted() {
        Ok(interrupted) => ExitCode::from(run(&mut Report::to_terminal(options), &interrupted)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all shards until they have printed the requested events, are interrupted, or are refused. Returns the exit
/// status.
pub(crate) fn run<O: Write, E: Write>(report: &mut Report<O, E>, interrupted: &AtomicBool) -> u8 {
    let ended = Loop::new(report.options()).and_then(|mut bot| {
        let stop = bot.run(report, interrupted).map_err(|error| error.to_string())?;
        let stats = bot.stats();
        // Only a bot with one shard stores its session.
        let session = bot.session.end(&bot.shards[0].connection, report);
        Ok((stop, stats, session))
    });
    match ended {
        Ok((stop, stats, session)) => report.finish(&stop, &stats, session.as_ref()),
        Err(error) => {
            report.log(&error);
            REFUSED
        }
    }
}

/// All shards and their shared state.
struct Loop {
    poll: Poll,
    shards: Vec<Shard>,
    /// Whether `--shards` was given: each line then names its shard.
    is_many: bool,
    /// The buffer of the shard that is being read. Empty between turns.
    incoming: Incoming,
    tls: Arc<ClientConfig>,
    identify: Gate,
    session: Session,
    until: Option<Instant>,
}

struct Shard {
    connection: Connection,
    stream: Stream,
    /// Whether the socket may have more to read: it is reported only once.
    readable: bool,
    ticket: Option<Ticket>,
    deadline: Instant,
    stopped: Option<StopReason>,
}

/// The state of a shard's socket.
enum Stream {
    None,
    /// TCP is connecting; these addresses were not tried yet.
    Connecting {
        tcp: TcpStream,
        url: GatewayUrl,
        left: VecDeque<SocketAddr>,
    },
    /// The TLS handshake is in progress.
    Securing(Socket<TcpStream>),
    Open(Socket<TcpStream>),
}

impl Loop {
    fn new(options: &Options) -> Result<Self, String> {
        let ids = match options.shards {
            None => vec![options.config.shard],
            Some(_) if options.session_file.is_some() => {
                return Err("--session keeps one session: run a single shard with it".to_owned());
            }
            Some(count) => (0..count)
                .map(|id| ShardId::new(id, count))
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
        };
        let shards = ids.into_iter().map(|id| {
            Ok(Shard {
                connection: raw::connection(options, id)?,
                stream: Stream::None,
                readable: false,
                ticket: None,
                deadline: Instant::now(),
                stopped: None,
            })
        });
        Ok(Self {
            poll: Poll::new().map_err(|error| error.to_string())?,
            shards: shards.collect::<Result<_, String>>()?,
            is_many: options.shards.is_some(),
            incoming: Incoming::default(),
            tls: raw::tls_config(options)?,
            identify: Gate::new(options)?,
            session: Session::new(options)?,
            until: options.duration.map(|duration| Instant::now() + duration),
        })
    }

    fn run<O: Write, E: Write>(
        &mut self,
        report: &mut Report<O, E>,
        interrupted: &AtomicBool,
    ) -> io::Result<StopReason> {
        let mut events = Events::with_capacity(128);
        loop {
            let mut enough = self.until.is_some_and(|until| until <= Instant::now());
            enough |= interrupted.swap(false, Ordering::Relaxed);
            for index in 0..self.shards.len() {
                enough |= self.turn(index, report);
            }
            self.session.report_errors(report);
            self.identify.report_errors(report);
            if let Some(stop) = self.stop() {
                return Ok(stop);
            }
            if enough {
                self.until = None;
                for shard in &mut self.shards {
                    shard.connection.shutdown(report.shutdown());
                    shard.connection.handle_input(Input::Timeout, Instant::now());
                }
            }
            // The outputs of a shutdown are handled in the next turn.
            let wait = if enough { Duration::ZERO } else { self.wait() };
            self.poll.poll(&mut events, Some(wait)).or_else(unless_interrupted)?;
            for event in &events {
                if let Some(shard) = self.shards.get_mut(event.token().0) {
                    shard.ready(event.token(), self.poll.registry(), &self.tls);
                }
            }
            self.tick();
        }
    }

    /// Performs a shard's outputs, and reads its socket once if it is ready. Returns whether the application has received
    /// enough.
    fn turn<O: Write, E: Write>(&mut self, index: usize, report: &mut Report<O, E>) -> bool {
        let mut enough = self.drain(index, report);
        let shard = &mut self.shards[index];
        if let (true, Stream::Open(socket)) = (shard.readable, &mut shard.stream) {
            match self.incoming.fill(|buffer| socket.read(buffer)) {
                Filled::Bytes => {}
                Filled::Nothing => shard.readable = false,
                Filled::End(input) => {
                    shard.readable = false;
                    shard.connection.handle_input(input, Instant::now());
                    enough |= self.drain(index, report);
                }
            }
        }
        while self.incoming.feed(&mut self.shards[index].connection) {
            enough |= self.drain(index, report);
        }
        enough
    }

    /// Performs a shard's outputs until it waits. Returns whether the application has received enough.
    fn drain<O: Write, E: Write>(&mut self, index: usize, report: &mut Report<O, E>) -> bool {
        let shard = &mut self.shards[index];
        let mut enough = false;
        loop {
            match shard.connection.poll_output() {
                Output::Connect(url) => shard.connect(Token(index), self.poll.registry(), url),
                Output::ShutDown => {
                    self.incoming.clear();
                    shard.close_blocking();
                }
                Output::AcquireIdentify => {
                    shard.ticket = Some(self.identify.request(shard.connection.config().shard));
                }
                Output::CancelIdentify => {
                    if let Some(ticket) = shard.ticket.take() {
                        self.identify.cancel(ticket);
                    }
                }
                Output::Event(event) => {
                    if matches!(event, Event::Identifying) {
                        self.identify.used(shard.connection.config().shard);
                    }
                    let name = self.is_many.then_some(shard.connection.config().shard);
                    let next = report.event_of(name, &event);
                    raw::acknowledge(&mut shard.connection, report);
                    self.session.after(&event, &shard.connection);
                    if next == Next::Enough {
                        self.session.enough(&shard.connection);
                        enough = true;
                    }
                }
                Output::Timeout(deadline) => {
                    self.session.in_time(&shard.connection);
                    shard.deadline = deadline;
                    break;
                }
                Output::Stopped(reason) => {
                    // If one shard is refused, all of them stop.
                    enough |= shard.stopped.is_none() && is_refusal(&reason);
                    shard.stopped = Some(reason);
                    break;
                }
            }
        }
        shard.write();
        enough
    }

    /// The time until the next deadline.
    fn wait(&self) -> Duration {
        if self.shards.iter().any(|shard| shard.readable && matches!(shard.stream, Stream::Open(_))) {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let waiting = self.shards.iter().filter(|shard| shard.stopped.is_none());
        let wakes =
            waiting.map(|shard| shard.deadline).chain(self.until).chain(self.identify.next_deadline(now));
        wakes
            .min()
            .map_or(INTERRUPT_LATENCY, |wake| wake.saturating_duration_since(now))
            .min(INTERRUPT_LATENCY)
    }

    /// Handles deadlines and permits.
    fn tick(&mut self) {
        let now = Instant::now();
        while let Some((ticket, answer)) = self.identify.poll(now) {
            if let Some(shard) = self.shards.iter_mut().find(|shard| shard.ticket == Some(ticket)) {
                shard.ticket = None;
                shard.connection.handle_input(raw::permit(answer), now);
            }
        }
        for shard in self.shards.iter_mut().filter(|shard| shard.deadline <= now) {
            shard.connection.handle_input(Input::Timeout, now);
        }
    }

    /// The reason once all shards have stopped; a refusal takes precedence.
    fn stop(&self) -> Option<StopReason> {
        let mut stops = self.shards.iter().map(|shard| shard.stopped.clone()).collect::<Option<Vec<_>>>()?;
        stops.sort_by_key(|stop| !is_refusal(stop));
        stops.into_iter().next()
    }

    fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.shards.iter().map(|shard| shard.connection.stats()) {
            sum.connects += stats.connects;
            sum.identifies += stats.identifies;
            sum.resumes += stats.resumes;
        }
        sum
    }
}

impl Shard {
    fn connect(&mut self, token: Token, registry: &Registry, url: GatewayUrl) {
        match raw::addresses(&url) {
            Ok(left) => {
                let failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                self.connect_next(token, registry, url, left.collect(), failure);
            }
            Err(error) => self.connection.handle_input(Input::ConnectFailed(error), Instant::now()),
        }
    }

    /// Tries the next address. `failure` is the result of the last one.
    fn connect_next(
        &mut self,
        token: Token,
        registry: &Registry,
        url: GatewayUrl,
        mut left: VecDeque<SocketAddr>,
        mut failure: io::Error,
    ) {
        while let Some(address) = left.pop_front() {
            let connecting = TcpStream::connect(address).and_then(|mut tcp| {
                registry.register(&mut tcp, token, Interest::READABLE | Interest::WRITABLE)?;
                Ok(tcp)
            });
            match connecting {
                Ok(tcp) => return self.stream = Stream::Connecting { tcp, url, left },
                Err(error) => failure = error,
            }
        }
        let error = ConnectError::Tcp(failure.to_string());
        self.connection.handle_input(Input::ConnectFailed(error), Instant::now());
    }

    /// Handles a ready socket. Continues to open its connection; reading is left to the shard's turns.
    fn ready(&mut self, token: Token, registry: &Registry, tls: &Arc<ClientConfig>) {
        self.readable = true;
        self.stream = match std::mem::replace(&mut self.stream, Stream::None) {
            Stream::Connecting { tcp, url, left } => match outcome(&tcp) {
                Ok(true) => match Socket::new(tcp, &url, tls) {
                    Ok(socket) => Stream::Securing(socket),
                    Err(error) => {
                        return self.connection.handle_input(Input::ConnectFailed(error), Instant::now());
                    }
                },
                Ok(false) => Stream::Connecting { tcp, url, left },
                Err(failure) => return self.connect_next(token, registry, url, left, failure),
            },
            other => other,
        };
        self.stream = match std::mem::replace(&mut self.stream, Stream::None) {
            Stream::Securing(mut socket) => match socket.handshake() {
                Ok(true) => {
                    self.connection.handle_input(Input::Opened, Instant::now());
                    Stream::Open(socket)
                }
                Ok(false) => Stream::Securing(socket),
                Err(error) => {
                    return self.connection.handle_input(Input::ConnectFailed(error), Instant::now());
                }
            },
            other => other,
        };
        self.write();
    }

    fn write(&mut self) {
        if let Stream::Open(socket) = &mut self.stream {
            socket.write_from(&mut self.connection);
        }
    }

    fn close_blocking(&mut self) {
        if let Stream::Open(mut socket) = std::mem::replace(&mut self.stream, Stream::None) {
            socket.close_nonblocking(&mut self.connection);
        }
    }
}

/// Whether a shard has stopped because the gateway or the gate refused it.
fn is_refusal(stop: &StopReason) -> bool {
    matches!(stop, StopReason::Rejected(_) | StopReason::IdentifyRefused(_))
}

/// The result of a connection attempt: connected, pending, or failed.
fn outcome(tcp: &TcpStream) -> io::Result<bool> {
    if let Some(error) = tcp.take_error()? {
        return Err(error);
    }
    match tcp.peer_addr() {
        Ok(_) => tcp.set_nodelay(true).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// An interrupted wait is not an error.
fn unless_interrupted(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
