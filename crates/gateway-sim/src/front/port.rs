//! Ports that are reserved for this process while nothing listens on them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// The most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A port on which connects are refused until [`listen`](Self::listen), and again once that listener is dropped.
///
/// On Unix no other process can get the port meanwhile: a socket stays bound to it as long as this value exists.
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
    /// If the address cannot be bound.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        // With SO_REUSEADDR the system would give the port to others while nothing listens on it.
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

    /// Listens on the port.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        // Connections of an earlier listener may still be closing.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        share(&socket)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

/// Lets this process bind more sockets to the port, but no other user.
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
