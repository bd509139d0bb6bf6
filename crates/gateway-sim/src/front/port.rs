//! Ports that stay this process's while nothing listens on them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A port on which connects are refused until [`listen`](Self::listen), and again once that listener is dropped.
///
/// On Unix no other process can be given the port meanwhile: a socket is bound to it for as long as this lives.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _bound: Option<Socket>,
}

impl ReservedPort {
    /// Reserves this address; port 0 stands for any free port.
    ///
    /// # Errors
    ///
    /// Where the address cannot be bound.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        // Without SO_REUSEADDR, or the system would hand the port out while nothing listens on it.
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        share(&socket)?;
        socket.bind(&address.into())?;
        let bound = socket.local_addr()?.as_socket();
        let address = bound.ok_or_else(|| io::Error::other("the socket has no address"))?;
        Ok(Self { address, _bound: cfg!(unix).then_some(socket) })
    }

    /// The address, with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        // Connections of the listener before may still be closing.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        share(&socket)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

/// Lets this process bind more sockets to the port, and no other user's.
fn share(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    let _ = socket;
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the front owns sockets")]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn the_port_is_kept_while_nothing_listens() {
        let port = ReservedPort::new((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let refused = || TcpStream::connect(port.address()).map_err(|error| error.kind()).unwrap_err();
        assert_eq!(refused(), io::ErrorKind::ConnectionRefused);
        for _ in 0..2 {
            assert!(TcpListener::bind(port.address()).is_err(), "it is taken");
            let listener = port.listen().unwrap();
            let client = TcpStream::connect(port.address()).unwrap();
            drop((listener.accept().unwrap(), client, listener));
            assert_eq!(refused(), io::ErrorKind::ConnectionRefused);
        }
    }
}
