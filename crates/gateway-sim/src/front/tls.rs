//! Certificates made at start, and TLS over a socket that two threads share.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

/// TLS for a [`Server`](crate::Server). Start from `Default` and assign fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tls {
    /// The names and addresses that the certificate is for. Default `localhost`, `127.0.0.1` and `::1`.
    pub names: Vec<String>,
    /// Whether the certificate has expired.
    pub expired: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(), expired: false }
    }
}

/// What a listener needs, and the root that clients must trust.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// The root certificate as PEM.
    pub(super) root: String,
}

impl Identity {
    /// Makes a root and a certificate that it signed.
    pub(super) fn new(tls: &Tls) -> io::Result<Self> {
        let mut root = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        root.distinguished_name.push(DnType::CommonName, "gateway-sim root");
        let root_key = KeyPair::generate().map_err(io::Error::other)?;
        let root = CertifiedIssuer::self_signed(root, root_key).map_err(io::Error::other)?;
        let mut leaf = CertificateParams::new(tls.names.clone()).map_err(io::Error::other)?;
        leaf.distinguished_name.push(DnType::CommonName, "gateway-sim");
        if tls.expired {
            leaf.not_before = date_time_ymd(2020, 1, 1);
            leaf.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = leaf.signed_by(&key, &root).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), root: root.pem() })
    }
}

/// The TLS state of one connection. The socket itself is passed in.
pub(super) struct Session(Mutex<ServerConnection>);

impl Session {
    pub(super) fn new(config: &Arc<ServerConfig>) -> io::Result<Self> {
        let mut connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        Ok(Self(Mutex::new(connection)))
    }

    /// Reads plain text; waits without holding the lock, so that the other thread can write meanwhile.
    pub(super) fn read(&self, mut tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut sealed = [0; 16 * 1024];
        loop {
            match self.lock().reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without close_notify is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            let count = tcp.read(&mut sealed)?;
            if count == 0 {
                return Ok(0);
            }
            let mut connection = self.lock();
            let mut rest = &sealed[..count];
            while !rest.is_empty() {
                connection.read_tls(&mut rest)?;
                let processed = connection.process_new_packets();
                // Also what says that it went wrong.
                flush(&mut connection, tcp)?;
                processed.map_err(io::Error::other)?;
            }
        }
    }

    pub(super) fn write_all(&self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut connection = self.lock();
        connection.writer().write_all(bytes)?;
        flush(&mut connection, tcp)
    }

    /// Says that nothing more will come.
    pub(super) fn close_notify(&self, tcp: &TcpStream) {
        let mut connection = self.lock();
        connection.send_close_notify();
        // The client may be gone, which is as good.
        let _ = flush(&mut connection, tcp);
    }

    fn lock(&self) -> MutexGuard<'_, ServerConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flush(connection: &mut ServerConnection, mut tcp: &TcpStream) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut tcp)?;
    }
    Ok(())
}
