//! TLS with generated certificates.

use std::io;
use std::sync::Arc;

use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// TLS for a [`Server`](crate::Server). Start from `Default` and assign fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tls {
    /// The names and addresses in the certificate. Default `localhost`, `127.0.0.1` and `::1`.
    pub names: Vec<String>,
    /// Whether the certificate has expired.
    pub expired: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(), expired: false }
    }
}

/// The configuration of a listener, and the root that clients must trust.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    /// The root certificate as PEM.
    pub(super) root: String,
}

impl Identity {
    /// Generates a root and a certificate signed by it.
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
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(io::Error::other)?;
        Ok(Self { acceptor: Arc::new(config).into(), root: root.pem() })
    }
}
