//! One TCP connection that two threads share: one reads, the other writes, either ends it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use super::tls;

/// How long a write may wait for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection. Clones are the same connection; it is closed when the last one is gone.
#[derive(Clone)]
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tls::Session>>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self {
            tcp: Arc::new(tcp),
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// The same connection with TLS over it.
    #[cfg(feature = "tls")]
    pub(super) fn sealed(mut self, identity: &tls::Identity) -> io::Result<Self> {
        self.tls = Some(Arc::new(tls::Session::new(&identity.config)?));
        Ok(self)
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.read(&self.tcp, buffer);
        }
        (&*self.tcp).read(buffer)
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.write_all(&self.tcp, bytes);
        }
        (&*self.tcp).write_all(bytes)
    }

    /// Bounds the time that the next reads wait.
    pub(super) fn read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    /// Ends our half in an orderly way; reading goes on.
    pub(super) fn finish(&self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.close_notify(&self.tcp);
        }
        self.half_close();
    }

    /// Sends the end of the TCP stream, under TLS without the word that belongs before it; reading goes on.
    pub(super) fn half_close(&self) {
        // It may have ended already, which is as good.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Ends both directions and wakes whoever reads or writes.
    pub(super) fn end(&self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    /// Makes the close a reset, and wakes whoever reads so that he lets go of it.
    pub(super) fn reset(&self) {
        let _ = socket2::SockRef::from(&*self.tcp).set_linger(Some(Duration::ZERO));
        let _ = self.tcp.shutdown(Shutdown::Read);
    }
}
