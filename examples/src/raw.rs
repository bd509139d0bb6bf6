//! Shared by the bots with their own sockets: TCP with optional TLS, blocking or non-blocking.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_driver::rustls::pki_types::ServerName;
use gateway_driver::rustls::{ClientConfig, ClientConnection, Stream};
use gateway_driver::tls::TlsSettings;
use gateway_proto::identify::IdentifyRefused;
use gateway_proto::raw::{Connection, Input};
use gateway_proto::{ConnectError, GatewayUrl, ShardId};

use crate::{Options, Report};

/// The time limit for a write before the bot does other work. A server that does not read, or reads a byte now and then,
/// must not delay timers.
pub const WRITE_PATIENCE: Duration = Duration::from_millis(100);

/// An interrupt takes effect within this time.
pub const INTERRUPT_LATENCY: Duration = Duration::from_secs(1);

/// The most bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// The connection for this shard, as configured by the flags.
///
/// # Errors
///
/// A sentence, if the flags contradict each other.
pub fn connection(options: &Options, shard: ShardId) -> Result<Connection, String> {
    let mut config = options.config.clone();
    config.shard = shard;
    // The standard library's only source of randomness.
    config.seed.get_or_insert_with(|| RandomState::new().build_hasher().finish());
    let connection = match options.open_transcript(shard).map_err(|error| error.to_string())? {
        Some(writer) => Connection::with_transcript(config, Instant::now(), writer),
        None => Connection::new(config, Instant::now()),
    };
    connection.map_err(|error| error.to_string())
}

/// With `--ack`, acknowledges the dispatch whose line has just been written.
pub fn acknowledge<O: Write, E: Write>(connection: &mut Connection, report: &mut Report<O, E>) {
    if let Some(sequence) = report.take_written()
        && let Err(error) = connection.ack(sequence)
    {
        report.log(&error);
    }
}

/// The earlier of two times, of which one may be absent.
pub fn earlier(moment: Instant, other: Option<Instant>) -> Instant {
    other.map_or(moment, |other| other.min(moment))
}

/// The input for an answer of the gate.
pub fn permit(answer: Result<(), IdentifyRefused>) -> Input {
    match answer {
        Ok(()) => Input::IdentifyGranted,
        Err(refused) => Input::IdentifyRefused(refused),
    }
}

/// The TLS configuration of the flags.
///
/// # Errors
///
/// A sentence, if there are no roots to trust.
pub fn tls_config(options: &Options) -> Result<Arc<ClientConfig>, String> {
    match options.tls().map_err(|error| error.to_string())? {
        Some(config) => Ok(config),
        None => TlsSettings::default().client_config().map_err(|error| error.to_string()),
    }
}

/// A flag that Ctrl-C sets from now on. Call it once.
///
/// # Errors
///
/// If the system rejects the handler.
pub fn interrupted() -> Result<Arc<AtomicBool>, String> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed)).map_err(|error| error.to_string())?;
    Ok(flag)
}

/// Bytes that were read and not taken by the connection: a buffer of fixed size, filled by one read at a time.
pub struct Incoming {
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// The result of a read.
pub enum Filled {
    /// Bytes for [`Incoming::feed`].
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The end of the stream, as an input for the connection.
    End(Input),
}

impl Default for Incoming {
    fn default() -> Self {
        Self::with_capacity(READ_BYTES)
    }
}

impl Incoming {
    /// Reads at most this many bytes at once.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], unread: 0..0 }
    }

    /// Passes the bytes up to the end of the next message to the connection. Returns false if there are none. Poll the
    /// outputs after each call.
    pub fn feed(&mut self, connection: &mut Connection) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        let mut bytes = &self.buffer[self.unread.clone()];
        connection.handle_bytes(&mut bytes, Instant::now());
        self.unread.start = self.unread.end - bytes.len();
        true
    }

    /// Reads once, after all bytes are taken.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Filled {
        match read(&mut self.buffer) {
            Ok(0) => Filled::End(Input::EndOfStream),
            Ok(count) => {
                self.unread = 0..count;
                Filled::Bytes
            }
            Err(error) if is_wait(&error) => Filled::Nothing,
            // TLS has ended without close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Filled::End(Input::EndOfStream),
            Err(error) => Filled::End(Input::Failed(error.to_string())),
        }
    }

    /// Drops the remaining bytes of an ended stream.
    pub fn clear(&mut self) {
        self.unread = 0..0;
    }
}

/// A blocking TCP connection whose reads and writes fail with [`ErrorKind::WouldBlock`] once a deadline has passed.
///
/// The timeouts of a socket limit one system call each. TLS reads until it has a whole record: with a server that sends a
/// byte now and then it would read forever. Therefore the deadline is checked before each call.
pub struct Timed {
    tcp: TcpStream,
    deadline: Instant,
}

impl Timed {
    /// The deadline for all later reads and writes.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The connection itself.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The remaining time as a timeout.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::WouldBlock.into()),
            // A socket rounds the timeout, and zero would mean no timeout.
            left => Ok(Some(left.max(Duration::from_millis(1)))),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(self.left()?)?;
        self.tcp.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(self.left()?)?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// A TCP connection with or without TLS, blocking or non-blocking depending on `S`.
pub struct Socket<S> {
    tcp: S,
    tls: Option<Box<ClientConnection>>,
}

impl Socket<Timed> {
    /// Opens a blocking connection, including TLS, before the deadline. The look-up of the name has no time limit.
    ///
    /// # Errors
    ///
    /// The error of the last address. That includes an interrupt during the TLS handshake.
    pub fn open(
        url: &GatewayUrl,
        tls: &Arc<ClientConfig>,
        deadline: Instant,
        interrupted: &AtomicBool,
    ) -> Result<Self, ConnectError> {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses(url)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(tcp) => {
                    tcp.set_nodelay(true).map_err(|error| ConnectError::Tcp(error.to_string()))?;
                    return Self::secure(Timed { tcp, deadline }, url, tls, interrupted);
                }
                Err(error) => failure = error,
            }
        }
        Err(ConnectError::Tcp(failure.to_string()))
    }

    /// Performs the whole TLS handshake before the set deadline.
    fn secure(
        tcp: Timed,
        url: &GatewayUrl,
        tls: &Arc<ClientConfig>,
        interrupted: &AtomicBool,
    ) -> Result<Self, ConnectError> {
        let deadline = tcp.deadline;
        let mut socket = Self::new(tcp, url, tls)?;
        loop {
            let now = Instant::now();
            if deadline <= now {
                return Err(ConnectError::Tls("the handshake took too long".to_owned()));
            }
            if interrupted.load(Ordering::Relaxed) {
                return Err(ConnectError::Tls("the handshake was interrupted".to_owned()));
            }
            socket.tcp.set_deadline(deadline.min(now + INTERRUPT_LATENCY));
            if socket.handshake()? {
                return Ok(socket);
            }
        }
    }

    /// Reads once, until the deadline at most.
    ///
    /// # Errors
    ///
    /// As [`Read::read`]; [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`] at the deadline.
    pub fn read_until(&mut self, deadline: Instant, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_deadline(deadline);
        self.read(buffer)
    }

    /// Writes the connection's bytes, as many as possible within [`WRITE_PATIENCE`].
    pub fn write_in_time(&mut self, connection: &mut Connection) {
        self.tcp.set_deadline(Instant::now() + WRITE_PATIENCE);
        self.write_from(connection);
    }

    /// Flushes what can be written without blocking, and sends TLS close_notify.
    pub fn close_blocking(mut self, connection: &mut Connection) {
        self.tcp.set_deadline(Instant::now() + WRITE_PATIENCE);
        // If that fails, there is nothing to close.
        if self.tcp.tcp.set_nonblocking(true).is_ok() {
            self.close_nonblocking(connection);
        }
    }
}

impl<S: Read + Write> Socket<S> {
    /// Adds TLS to a connection if the URL requires it. The handshake is still to be performed.
    ///
    /// # Errors
    ///
    /// If the host is not a name that a certificate can have.
    pub fn new(tcp: S, url: &GatewayUrl, tls: &Arc<ClientConfig>) -> Result<Self, ConnectError> {
        if !url.is_tls() {
            return Ok(Self { tcp, tls: None });
        }
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| ConnectError::Tls("the host is no name that a certificate can have".to_owned()))?;
        let session =
            ClientConnection::new(tls.clone(), name).map_err(|error| ConnectError::Tls(error.to_string()))?;
        Ok(Self { tcp, tls: Some(Box::new(session)) })
    }

    /// Continues the TLS handshake without blocking. Returns whether it is complete.
    ///
    /// # Errors
    ///
    /// If the handshake fails.
    pub fn handshake(&mut self) -> Result<bool, ConnectError> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.is_handshaking() {
            match tls.complete_io(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_wait(&error) => return Ok(false),
                Err(error) => return Err(ConnectError::Tls(error.to_string())),
            }
        }
        Ok(true)
    }

    /// Writes the connection's bytes, as many as possible. After a permanent failure the next read reports the end of the
    /// stream.
    pub fn write_from(&mut self, connection: &mut Connection) {
        while !connection.transmit().is_empty() {
            match self.write(connection.transmit()) {
                Ok(0) | Err(_) => return,
                Ok(count) => connection.transmitted(count),
            }
        }
        // TLS may hold bytes back.
        let _ = self.flush();
    }

    /// Flushes what can be written without blocking, and sends TLS close_notify. For non-blocking connections.
    pub fn close_nonblocking(&mut self, connection: &mut Connection) {
        self.write_from(connection);
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.flush();
    }

    /// The same TLS state over another stream for the same connection.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> Socket<T> {
        Socket { tcp: change(self.tcp), tls: self.tls }
    }

    /// The TCP connection itself.
    pub fn tcp(&mut self) -> &mut S {
        &mut self.tcp
    }
}

impl<S: Read + Write> Read for Socket<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => Stream::new(&mut **tls, &mut self.tcp).read(buffer),
            None => self.tcp.read(buffer),
        }
    }
}

impl<S: Read + Write> Write for Socket<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => Stream::new(&mut **tls, &mut self.tcp).write(bytes),
            None => self.tcp.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => Stream::new(&mut **tls, &mut self.tcp).flush(),
            None => self.tcp.flush(),
        }
    }
}

/// The addresses of a URL's host. Blocks during the look-up.
///
/// # Errors
///
/// If the name is unknown.
pub fn addresses(
    url: &GatewayUrl,
) -> Result<impl Iterator<Item = std::net::SocketAddr> + use<>, ConnectError> {
    (url.host(), url.port()).to_socket_addrs().map_err(|error| ConnectError::Dns(error.to_string()))
}

/// Whether an error only means that the call would block.
fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
