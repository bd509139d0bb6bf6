//! The small bot with two threads: one reads, the other sends commands. Each line on standard input becomes the bot's custom
//! status: `echo hello | cargo run --example threads_bot -- FLAGS`.
//!
//! Both drive the same connection, behind a lock that neither holds while it blocks. The thread whose input causes bytes to send
//! writes them, so the threads exchange no messages.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway_driver::rustls::ClientConfig;
use gateway_examples::keeping::{Gate, Session};
use gateway_examples::raw::{self, Filled, INTERRUPT_LATENCY, Incoming, Socket, Timed, WRITE_PATIENCE};
use gateway_examples::report::{Next, REFUSED};
use gateway_examples::{Options, Report};
use gateway_proto::command::{Activity, Presence, Status};
use gateway_proto::identify::Ticket;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Command, Event, GatewayUrl, StopReason};

#[expect(clippy::print_stderr, reason = "a program talks to its user")]
fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(status) => return status,
    };
    match raw::interrupted() {
        Ok(interrupted) => {
            let lines = io::BufReader::new(io::stdin());
            ExitCode::from(run(&mut Report::to_terminal(options), &interrupted, lines))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the bot until it has printed the requested events, is interrupted, or is refused. Returns the exit status.
pub(crate) fn run<O: Write, E: Write>(
    report: &mut Report<O, E>,
    interrupted: &AtomicBool,
    lines: impl BufRead + Send + 'static,
) -> u8 {
    let reader = match Reader::new(report.options()) {
        Ok(reader) => reader,
        Err(error) => {
            report.log(&error);
            return REFUSED;
        }
    };
    let shared = reader.shared.clone();
    // It ends with the input or with the process.
    std::thread::spawn(move || send_lines(&shared, lines));
    let shared = reader.shared.clone();
    let (stop, session) = reader.run(report, interrupted);
    let connection = &lock(&shared).connection;
    let session = session.end(connection, report);
    report.finish(&stop, connection.stats(), session.as_ref())
}

/// The state that both threads use.
struct Shared {
    connection: Connection,
    socket: Option<Socket<Half>>,
    /// Errors of the sending thread for the user.
    errors: Vec<String>,
}

/// A TCP connection for writing. Reads return bytes that were received before, without the lock.
struct Half {
    tcp: Timed,
    /// The result of the last read, until TLS takes it.
    arrived: Option<io::Result<Vec<u8>>>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs on the sending thread.
fn send_lines(shared: &Mutex<Shared>, lines: impl BufRead) {
    for line in lines.lines().map_while(Result::ok) {
        let presence = Presence::new(Status::Online, [Activity::custom(line)]);
        let mut shared = lock(shared);
        match shared.connection.send(Command::UpdatePresence(presence)) {
            Ok(()) => {
                shared.connection.handle_input(Input::Timeout, Instant::now());
                shared.write();
            }
            Err(error) => shared.errors.push(error.to_string()),
        }
    }
}

impl Shared {
    fn write(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.tcp().tcp.set_deadline(Instant::now() + WRITE_PATIENCE);
            socket.write_from(&mut self.connection);
        }
    }
}

/// The reading thread.
struct Reader {
    shared: Arc<Mutex<Shared>>,
    /// The same connection as in `shared`, to wait for it without the lock.
    tcp: Option<TcpStream>,
    /// Decrypted bytes that the connection has not taken yet.
    incoming: Incoming,
    tls: Arc<ClientConfig>,
    identify: Gate,
    session: Session,
    ticket: Option<Ticket>,
    until: Option<Instant>,
}

/// What the reading thread does without the lock.
enum Todo {
    Connect(GatewayUrl),
    Show(Event),
    WaitUntil(Instant),
    Stop(StopReason),
}

impl Reader {
    fn new(options: &Options) -> Result<Self, String> {
        let shard = options.only_shard().map_err(|error| error.to_string())?;
        let connection = raw::connection(options, shard)?;
        let shared = Shared { connection, socket: None, errors: Vec::new() };
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
            tcp: None,
            incoming: Incoming::default(),
            tls: raw::tls_config(options)?,
            identify: Gate::new(options)?,
            session: Session::new(options)?,
            ticket: None,
            until: options.duration.map(|duration| Instant::now() + duration),
        })
    }

    fn run<O: Write, E: Write>(
        mut self,
        report: &mut Report<O, E>,
        interrupted: &AtomicBool,
    ) -> (StopReason, Session) {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match self.next() {
                Todo::Connect(url) => self.connect(&url, interrupted),
                Todo::Show(event) => {
                    if matches!(event, Event::Identifying) {
                        self.identify.used(lock(&self.shared).connection.config().shard);
                    }
                    let next = report.event(&event);
                    let mut shared = lock(&self.shared);
                    raw::acknowledge(&mut shared.connection, report);
                    self.session.after(&event, &shared.connection);
                    if next == Next::Enough {
                        self.session.enough(&shared.connection);
                        drop(shared);
                        self.shut_down(report);
                    }
                }
                Todo::WaitUntil(deadline) => {
                    self.session.in_time(&lock(&self.shared).connection);
                    self.session.report_errors(report);
                    self.identify.report_errors(report);
                    for error in std::mem::take(&mut lock(&self.shared).errors) {
                        report.log(&error);
                    }
                    if self.until.is_some_and(|until| until <= Instant::now())
                        || interrupted.swap(false, Ordering::Relaxed)
                    {
                        self.until = None;
                        self.shut_down(report);
                    } else {
                        self.wait(deadline, &mut buffer);
                    }
                }
                Todo::Stop(reason) => return (reason, self.session),
            }
        }
    }

    fn shut_down<O: Write, E: Write>(&self, report: &Report<O, E>) {
        let mut shared = lock(&self.shared);
        shared.connection.shutdown(report.shutdown());
        shared.connection.handle_input(Input::Timeout, Instant::now());
    }

    /// Performs the connection's outputs, as far as that is possible with the lock held.
    fn next(&mut self) -> Todo {
        let mut guard = lock(&self.shared);
        let shared = &mut *guard;
        loop {
            match shared.connection.poll_output() {
                Output::Connect(url) => return Todo::Connect(url),
                Output::ShutDown => {
                    self.tcp = None;
                    self.incoming.clear();
                    if let Some(mut socket) = shared.socket.take()
                        && socket.tcp().tcp.tcp().set_nonblocking(true).is_ok()
                    {
                        socket.tcp().tcp.set_deadline(Instant::now() + WRITE_PATIENCE);
                        socket.close_nonblocking(&mut shared.connection);
                    }
                }
                Output::AcquireIdentify => {
                    self.ticket = Some(self.identify.request(shared.connection.config().shard));
                }
                Output::CancelIdentify => {
                    if let Some(ticket) = self.ticket.take() {
                        self.identify.cancel(ticket);
                    }
                }
                Output::Event(event) => return Todo::Show(event),
                Output::Timeout(deadline) => {
                    shared.write();
                    // Message by message: the outputs of one are performed before the next.
                    if self.incoming.feed(&mut shared.connection) {
                        continue;
                    }
                    let Some(socket) = &mut shared.socket else { return Todo::WaitUntil(deadline) };
                    match self.incoming.fill(|buffer| socket.read(buffer)) {
                        Filled::Bytes => {}
                        Filled::Nothing => return Todo::WaitUntil(deadline),
                        Filled::End(input) => shared.connection.handle_input(input, Instant::now()),
                    }
                }
                Output::Stopped(reason) => return Todo::Stop(reason),
            }
        }
    }

    fn connect(&mut self, url: &GatewayUrl, interrupted: &AtomicBool) {
        let patience = lock(&self.shared).connection.config().timeouts.connect;
        let deadline = raw::earlier(Instant::now() + patience, self.until);
        let opened = Socket::open(url, &self.tls, deadline, interrupted).and_then(|mut socket| {
            let tcp = socket.tcp().tcp().try_clone();
            Ok((tcp.map_err(|error| gateway_proto::ConnectError::Tcp(error.to_string()))?, socket))
        });
        let mut shared = lock(&self.shared);
        let input = match opened {
            Ok((tcp, socket)) => {
                self.tcp = Some(tcp);
                shared.socket = Some(socket.map(|tcp| Half { tcp, arrived: None }));
                Input::Opened
            }
            Err(error) => Input::ConnectFailed(error),
        };
        shared.connection.handle_input(input, Instant::now());
    }

    /// Waits for bytes, for a permit, or for the deadline, without the lock.
    fn wait(&mut self, deadline: Instant, buffer: &mut [u8]) {
        let now = Instant::now();
        if let Some((_, answer)) = self.identify.poll(now) {
            return lock(&self.shared).connection.handle_input(raw::permit(answer), now);
        }
        if deadline <= now {
            return lock(&self.shared).connection.handle_input(Input::Timeout, now);
        }
        let wakes = [self.until, self.identify.next_deadline(now), Some(now + INTERRUPT_LATENCY)];
        let wait = wakes.into_iter().fold(deadline, raw::earlier).saturating_duration_since(now);
        let Some(tcp) = &mut self.tcp else { return std::thread::sleep(wait) };
        let read =
            tcp.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).and_then(|()| tcp.read(buffer));
        let mut guard = lock(&self.shared);
        let Some(socket) = &mut guard.socket else { return };
        // TLS takes the bytes in the next turn of the loop.
        socket.tcp().arrived = Some(read.map(|count| buffer[..count].to_vec()));
    }
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(arrived) = self.arrived.take() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let mut bytes = arrived?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        if !bytes.is_empty() {
            self.arrived = Some(Ok(bytes));
        }
        Ok(count)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
