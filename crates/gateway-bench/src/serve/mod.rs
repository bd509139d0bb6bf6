//! A server that sends files of frames to whole clients over loopback, on plain threads.
//!
//! The bytes of every message are prepared before a client connects, and shared by all connections. It implements only as
//! much of the protocol as a client needs to start: the upgrade, Hello, and READY after an Identify.

mod connection;
mod http;
mod play;
mod prepared;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use serde::Serialize;
use socket2::{Domain, Socket, Type};

use crate::frames::Frames;
use crate::mode::Mode;
use play::Stage;
use prepared::Prepared;

/// The most connections that wait to be accepted: a process opens up to 1000 at once.
const BACKLOG: i32 = 2048;
/// Small, since each of a thousand connections has a thread.
const STACK_BYTES: usize = 256 << 10;

/// What a connection receives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// READY, and nothing more.
    Ready,
    /// READY and the guilds.
    Guilds,
    /// READY, the guilds, and the small events.
    #[default]
    Events,
}

/// The options of the server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// What a connection receives.
    pub extent: Extent,
    /// The number of GUILD_CREATEs that follow READY in the frames.
    pub guilds: usize,
    /// The number of small events, over all connections that take turns.
    pub events: usize,
    /// The number of connections that take turns: the small events begin once all of them have their READY.
    pub shards: usize,
    /// The number of events that a connection receives in one turn.
    pub burst: usize,
    /// The heartbeat interval in Hello, in milliseconds. Heartbeats are then acknowledged. Only for plain JSON.
    pub heartbeat_ms: Option<u64>,
    /// Whether a client that requests no compression receives payload compression.
    pub payload: bool,
    /// Whether to speak TLS.
    pub tls: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            extent: Extent::default(),
            guilds: 0,
            events: 0,
            shards: 1,
            burst: usize::MAX,
            heartbeat_ms: None,
            payload: false,
            tls: false,
        }
    }
}

/// What the connections that took turns were sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// The mode that they requested.
    pub mode: String,
    /// The number of connections.
    pub connections: usize,
    /// The number of small events over all of them.
    pub events: usize,
    /// The bytes of their WebSocket frames.
    pub bytes: usize,
    /// The duration in seconds, determined by the slower of server and client.
    pub seconds: f64,
}

/// A listening server. It serves until the process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    root: Option<String>,
}

/// The state that the threads share.
struct Shared {
    options: ServeOptions,
    address: SocketAddr,
    frames: BTreeMap<Mode, Prepared>,
    tls: Option<Arc<rustls::ServerConfig>>,
    stage: Stage,
    sent: Sender<Sent>,
}

impl Server {
    /// Prepares the frames, listens on a free port of 127.0.0.1, and serves. Reports sent messages to `sent`.
    ///
    /// # Errors
    ///
    /// If the options do not match each other or the frames, or no port is available.
    pub fn start(
        frames: impl IntoIterator<Item = (Mode, Frames)>,
        options: ServeOptions,
        sent: Sender<Sent>,
    ) -> io::Result<Self> {
        let mut prepared = BTreeMap::new();
        for (mode, frames) in frames {
            prepared.insert(mode, Prepared::new(&frames, mode, &options)?);
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let identity = options.tls.then(tls::Identity::new).transpose()?;
        let (tls, root) = identity.map(|identity| (identity.config, identity.root)).unzip();
        let stage = Stage::new(options.shards);
        let shared = Arc::new(Shared { options, address, frames: prepared, tls, stage, sent });
        spawn(move || accept(&listener, &shared))?;
        Ok(Self { address, root })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root certificate that clients must trust, as PEM. `None` without TLS.
    pub fn root_pem(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// The URL for clients. The certificate is for this name.
    pub fn url(&self) -> String {
        url(self.address, self.root.is_some())
    }
}

fn url(address: SocketAddr, tls: bool) -> String {
    match tls {
        true => format!("wss://localhost:{}", address.port()),
        false => format!("ws://{address}"),
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        // If there is no room for another connection, its client reports that it could not connect.
        if let Ok((tcp, _)) = listener.accept() {
            let shared = shared.clone();
            let _ = spawn(move || serve(tcp, &shared));
        }
    }
}

fn serve(tcp: TcpStream, shared: &Arc<Shared>) {
    // A client that disconnects early, or requests an unknown path, notices that itself.
    if let Ok(Some(player)) = connection::open(tcp, shared) {
        let _ = player.play(shared);
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(run).map(|_| ())
}
