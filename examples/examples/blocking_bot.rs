//! The small bot with one thread, blocking sockets and no runtime: `cargo run --example blocking_bot -- --help` lists its
//! flags.
//!
//! Heartbeats need no separate thread: a read ends at the connection's deadline. Each read fills a buffer of fixed size,
//! and each of its messages is handled before the next.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gateway_driver::rustls::ClientConfig;
use gateway_examples::keeping::{Gate, Session};
use gateway_examples::raw::{self, Filled, INTERRUPT_LATENCY, Incoming, Socket, Timed};
use gateway_examples::report::{Next, REFUSED};
use gateway_examples::{Options, Report};
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Event, StopReason};

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

/// Runs the bot until it has printed the requested events, is interrupted, or is refused. Returns the exit status.
pub(crate) fn run<O: Write, E: Write>(report: &mut Report<O, E>, interrupted: &AtomicBool) -> u8 {
    let mut bot = match Bot::new(report.options()) {
        Ok(bot) => bot,
        Err(error) => {
            report.log(&error);
            return REFUSED;
        }
    };
    let stop = bot.run(report, interrupted);
    let session = bot.session.end(&bot.connection, report);
    report.finish(&stop, bot.connection.stats(), session.as_ref())
}

struct Bot {
    connection: Connection,
    tls: Arc<ClientConfig>,
    socket: Option<Socket<Timed>>,
    identify: Gate,
    session: Session,
    incoming: Incoming,
    /// The end of the time of `--seconds`. `None` if there is none, or it has passed.
    until: Option<Instant>,
}

impl Bot {
    fn new(options: &Options) -> Result<Self, String> {
        Ok(Self {
            connection: raw::connection(options, options.only_shard().map_err(|error| error.to_string())?)?,
            tls: raw::tls_config(options)?,
            socket: None,
            identify: Gate::new(options)?,
            session: Session::new(options)?,
            incoming: Incoming::default(),
            until: options.duration.map(|duration| Instant::now() + duration),
        })
    }

    /// The run loop of the chapter "Bring your own socket".
    fn run<O: Write, E: Write>(&mut self, report: &mut Report<O, E>, interrupted: &AtomicBool) -> StopReason {
        let shard = self.connection.config().shard;
        let mut ticket = None;
        loop {
            match self.connection.poll_output() {
                Output::Connect(url) => {
                    let patience = self.connection.config().timeouts.connect;
                    let deadline = raw::earlier(Instant::now() + patience, self.until);
                    let input = match Socket::open(&url, &self.tls, deadline, interrupted) {
                        Ok(socket) => {
                            self.socket = Some(socket);
                            Input::Opened
                        }
                        Err(error) => Input::ConnectFailed(error),
                    };
                    self.connection.handle_input(input, Instant::now());
                }
                Output::ShutDown => {
                    self.incoming.clear();
                    if let Some(socket) = self.socket.take() {
                        socket.close_blocking(&mut self.connection);
                    }
                }
                Output::AcquireIdentify => ticket = Some(self.identify.request(shard)),
                Output::CancelIdentify => {
                    if let Some(ticket) = ticket.take() {
                        self.identify.cancel(ticket);
                    }
                }
                Output::Event(event) => {
                    if matches!(event, Event::Identifying) {
                        self.identify.used(shard);
                    }
                    let next = report.event(&event);
                    raw::acknowledge(&mut self.connection, report);
                    self.session.after(&event, &self.connection);
                    if next == Next::Enough {
                        self.session.enough(&self.connection);
                        self.connection.shutdown(report.shutdown());
                    }
                }
                Output::Timeout(deadline) => {
                    self.session.in_time(&self.connection);
                    self.session.report_errors(report);
                    self.identify.report_errors(report);
                    let over = self.until.is_some_and(|until| until <= Instant::now());
                    if over || interrupted.load(Ordering::Relaxed) {
                        self.until = None;
                        self.connection.shutdown(report.shutdown());
                        self.connection.handle_input(Input::Timeout, Instant::now());
                        // The first interrupt suffices.
                        interrupted.store(false, Ordering::Relaxed);
                        continue;
                    }
                    self.wait(deadline);
                }
                Output::Stopped(reason) => return reason,
            }
        }
    }

    /// Waits for bytes, for a permit, or for the deadline.
    fn wait(&mut self, deadline: Instant) {
        if let Some(socket) = &mut self.socket {
            socket.write_in_time(&mut self.connection);
        }
        if self.incoming.feed(&mut self.connection) {
            return;
        }
        let now = Instant::now();
        if let Some((_, answer)) = self.identify.poll(now) {
            return self.connection.handle_input(raw::permit(answer), now);
        }
        if deadline <= now {
            return self.connection.handle_input(Input::Timeout, now);
        }
        let wakes = [self.until, self.identify.next_deadline(now), Some(now + INTERRUPT_LATENCY)];
        let wake = wakes.into_iter().fold(deadline, raw::earlier);
        let Some(socket) = &mut self.socket else {
            return std::thread::sleep(wake.saturating_duration_since(now));
        };
        if let Filled::End(input) = self.incoming.fill(|buffer| socket.read_until(wake, buffer)) {
            self.connection.handle_input(input, Instant::now());
        }
    }
}
