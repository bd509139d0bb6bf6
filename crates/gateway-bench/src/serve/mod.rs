//! A server that plays files of frames to whole clients, over loopback, on plain threads.
//!
//! It has the bytes of every message ready before a client connects, and shares them among all connections. It knows as
//! much of the protocol as a client needs to begin: the upgrade, Hello, READY after an Identify.

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

/// Connections that may wait to be accepted: a process opens up to 1000 at once.
const BACKLOG: i32 = 2048;
/// A thousand connections have a thousand threads, none of which goes deep.
const STACK_BYTES: usize = 256 << 10;

/// How far the server goes with a connection.
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

/// What is served, and how.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// How far the server goes.
    pub extent: Extent,
    /// How many GUILD_CREATEs follow READY in the frames.
    pub guilds: usize,
    /// How many small events are sent, over all connections that take turns.
    pub events: usize,
    /// How many connections take turns: the small events begin once so many have their READY.
    pub shards: usize,
    /// How many events a connection gets in one turn.
    pub burst: usize,
    /// What Hello says instead, in milliseconds; heartbeats are acknowledged then. For plain JSON alone.
    pub heartbeat_ms: Option<u64>,
    /// Who asks for no compression gets payload compression.
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

/// What connections that took turns were sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// The mode that they asked for.
    pub mode: String,
    /// How many there were.
    pub connections: usize,
    /// Small events, over all of them.
    pub events: usize,
    /// Bytes of WebSocket frames for these.
    pub bytes: usize,
    /// How long it took, in seconds: as long as the slowest of server and client.
    pub seconds: f64,
}

/// A listening server. It serves until the process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    root: Option<String>,
}

/// What the threads share.
struct Shared {
    options: ServeOptions,
    address: SocketAddr,
    frames: BTreeMap<Mode, Prepared>,
    tls: Option<Arc<rustls::ServerConfig>>,
    stage: Stage,
    sent: Sender<Sent>,
}

impl Server {
    /// Prepares the frames, listens on a free port of 127.0.0.1, and serves. Sent messages are counted in `sent`.
    ///
    /// # Errors
    ///
    /// If the options do not fit together or to the frames, or there is no port.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root certificate that clients must trust, as PEM, if it speaks TLS.
    pub fn root_pem(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// What clients connect to. The certificate is for this name.
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
        // Where there is no room for another connection just now, its client will say that it could not connect.
        if let Ok((tcp, _)) = listener.accept() {
            let shared = shared.clone();
            let _ = spawn(move || serve(tcp, &shared));
        }
    }
}

fn serve(tcp: TcpStream, shared: &Arc<Shared>) {
    // A client that leaves early, or asks for what is not there, sees it by itself.
    if let Ok(Some(player)) = connection::open(tcp, shared) {
        let _ = player.play(shared);
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(run).map(|_| ())
}
