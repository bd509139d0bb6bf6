//! Servers to which a connection is directed in place of the simulated gateway.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gateway_sim::{ReservedPort, Server, ServerConfig, Tls};

use super::runtime::Route;
use crate::scenario::DialFault;

/// A label has at most 63 bytes, so no resolver finds this name, and none sends a query for it.
const NO_NAME: &str = "a-label-of-a-host-name-that-is-longer-than-the-63-bytes-that-it-may-have.test";

/// A destination other than the simulated gateway.
pub(crate) struct Trap {
    route: Route,
    kind: Kind,
}

enum Kind {
    /// No socket.
    Empty,
    /// A port on which nothing listens, reserved so that no other scenario gets it.
    Reserved { _port: ReservedPort },
    /// A listener that is not a TLS server.
    Listener { stop: Arc<AtomicBool>, address: SocketAddr },
    /// A server with an invalid certificate.
    Server { server: Box<Server>, trusted: bool },
}

impl Trap {
    pub(crate) fn start(fault: DialFault) -> io::Result<Self> {
        match fault {
            DialFault::UnknownName => {
                Ok(Self { route: Route::To(NO_NAME.to_owned(), 443), kind: Kind::Empty })
            }
            DialFault::Unreachable => Ok(Self { route: Route::Nowhere, kind: Kind::Empty }),
            DialFault::Refused => {
                let port = ReservedPort::new((Ipv4Addr::LOCALHOST, 0).into())?;
                Ok(Self { route: to(port.address()), kind: Kind::Reserved { _port: port } })
            }
            DialFault::SilentTls => Self::listen(|stream, kept| kept.push(stream)),
            DialFault::ResetInTls => Self::listen(|stream, _| reset(stream)),
            DialFault::GarbageForTls => Self::listen(|stream, _| garbage(stream)),
            DialFault::WrongName => {
                let mut tls = Tls::default();
                tls.names = vec!["elsewhere.test".to_owned()];
                Self::serve(tls, true)
            }
            DialFault::Expired => {
                let mut tls = Tls::default();
                tls.expired = true;
                Self::serve(tls, true)
            }
            DialFault::UnknownRoot => Self::serve(Tls::default(), false),
        }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The root that the client must trust, so that it can find only the other fault.
    pub(crate) fn root_certificate(&self) -> Option<&str> {
        match &self.kind {
            Kind::Server { server, trusted: true } => server.root_certificate(),
            _ => None,
        }
    }

    fn serve(tls: Tls, trusted: bool) -> io::Result<Self> {
        let mut config = ServerConfig::default();
        config.tls = Some(tls);
        let server = Server::start(config)?;
        Ok(Self { route: to(server.address()), kind: Kind::Server { server: Box::new(server), trusted } })
    }

    /// Calls `serve` for each connection. Connections that it stores stay open as long as the trap.
    fn listen(serve: fn(TcpStream, &mut Vec<TcpStream>)) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        thread::Builder::new().name("trap".to_owned()).spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    serve(stream, &mut kept);
                }
            }
        })?;
        Ok(Self { route: to(address), kind: Kind::Listener { stop, address } })
    }
}

fn to(address: SocketAddr) -> Route {
    Route::To(address.ip().to_string(), address.port())
}

/// Waits for the first bytes of the client, and resets.
fn reset(mut stream: TcpStream) {
    let mut first = [0; 64];
    let _ = stream.read(&mut first);
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// Answers with a protocol other than TLS.
fn garbage(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    let _ = stream.write_all(b"220 mail.example ready\r\n");
    // Until the client closes.
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
}

impl Drop for Trap {
    fn drop(&mut self) {
        if let Kind::Listener { stop, address } = &self.kind {
            stop.store(true, Ordering::SeqCst);
            // Wakes the thread. It is not joined, since it may be reading from a client that hangs.
            let _ = TcpStream::connect_timeout(address, Duration::from_secs(1));
        }
    }
}
