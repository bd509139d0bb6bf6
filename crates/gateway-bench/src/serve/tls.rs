//! A certificate generated at the start.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The configuration of the server, and the root that clients must trust.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// The root certificate as PEM.
    pub(super) root: String,
}

impl Identity {
    pub(super) fn new() -> io::Result<Self> {
        let mut root = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        root.distinguished_name.push(DnType::CommonName, "gateway-bench root");
        let root_key = KeyPair::generate().map_err(io::Error::other)?;
        let root = CertifiedIssuer::self_signed(root, root_key).map_err(io::Error::other)?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut leaf = CertificateParams::new(names).map_err(io::Error::other)?;
        leaf.distinguished_name.push(DnType::CommonName, "gateway-bench");
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = leaf.signed_by(&key, &root).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), root: root.pem() })
    }
}
