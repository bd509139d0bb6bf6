//! The TLS configuration: the source of root certificates and the crypto provider.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Settings for the TLS configuration of shards. The default follows the features that are compiled in.
///
/// One configuration serves any number of shards, on any runtime:
///
/// ```no_run
/// use gateway_driver::tls::TlsSettings;
/// use gateway_driver::DriverConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut settings = TlsSettings::default();
/// settings.add_pem_roots(&std::fs::read("company-root.pem")?)?;
/// let mut driver = DriverConfig::default();
/// driver.tls = Some(settings.client_config()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The source of root certificates.
    pub roots: Roots,
    /// Root certificates to trust in addition.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The crypto provider. `None`: the process-wide provider if one is installed, otherwise *ring* with the feature
    /// `ring`, otherwise AWS-LC with the feature `aws-lc-rs`.
    pub provider: Option<Arc<CryptoProvider>>,
}

/// The source of root certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// The first of those below whose feature is on: Mozilla's, the system's, the platform's verifier.
    #[default]
    CompiledIn,
    /// Mozilla's, compiled into the program (feature `rustls-webpki-roots`).
    Webpki,
    /// The system's files, read once (feature `rustls-native-roots`).
    Native,
    /// The platform's own verifier (feature `rustls-platform-verifier`).
    PlatformVerifier,
    /// Only [`TlsSettings::extra_roots`].
    ExtraOnly,
}

/// Why there is no TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// No crypto provider is compiled in.
    NoProvider,
    /// No source of root certificates is compiled in, or not the selected one.
    NoRoots(Roots),
    /// The source of root certificates returned none.
    RootsUnusable(String),
    /// The provider lacks something that TLS requires.
    ProviderUnusable(String),
    /// Not a file of PEM certificates.
    Pem(String),
}

impl TlsSettings {
    /// Adds root certificates from the text of a PEM file, for servers with a private certificate authority.
    ///
    /// # Errors
    ///
    /// If the text contains no certificate, or an invalid one. Nothing is added then.
    pub fn add_pem_roots(&mut self, pem: &[u8]) -> Result<(), TlsError> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Pem(error.to_string()))?;
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|error| TlsError::Pem(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Pem("it contains no certificate".to_owned()));
        }
        self.extra_roots.extend(roots);
        Ok(())
    }

    /// Builds the configuration.
    ///
    /// # Errors
    ///
    /// If no crypto provider or no root certificates are compiled in, or if they cannot be used.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = match &self.provider {
            Some(provider) => provider.clone(),
            None => default_provider().ok_or(TlsError::NoProvider)?,
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::ProviderUnusable(error.to_string()))?;
        let roots = match self.roots {
            Roots::CompiledIn => compiled_in_roots(),
            asked => asked,
        };
        let config = match roots {
            Roots::PlatformVerifier => {
                let verifier = platform_verifier(self.extra_roots.clone(), provider)?;
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            roots => builder.with_root_certificates(self.store(roots)?).with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// All root certificates, for rustls's own verifier.
    fn store(&self, roots: Roots) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match roots {
            Roots::Webpki => add_webpki_roots(&mut store)?,
            Roots::Native => add_native_roots(&mut store)?,
            _ => {}
        }
        store.add_parsable_certificates(self.extra_roots.iter().cloned());
        if store.is_empty() {
            return Err(TlsError::NoRoots(roots));
        }
        Ok(store)
    }
}

/// The configuration of all shards that were given none. Built once.
pub(crate) fn default_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    static DEFAULT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = DEFAULT.get() {
        return Ok(config.clone());
    }
    let config = TlsSettings::default().client_config()?;
    Ok(DEFAULT.get_or_init(|| config).clone())
}

fn default_provider() -> Option<Arc<CryptoProvider>> {
    CryptoProvider::get_default().cloned().or_else(compiled_in_provider)
}

#[cfg(feature = "ring")]
fn compiled_in_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
fn compiled_in_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn compiled_in_provider() -> Option<Arc<CryptoProvider>> {
    None
}

fn compiled_in_roots() -> Roots {
    if cfg!(feature = "rustls-webpki-roots") {
        Roots::Webpki
    } else if cfg!(feature = "rustls-native-roots") {
        Roots::Native
    } else if cfg!(feature = "rustls-platform-verifier") {
        Roots::PlatformVerifier
    } else {
        Roots::ExtraOnly
    }
}

#[cfg(feature = "rustls-webpki-roots")]
fn add_webpki_roots(store: &mut RootCertStore) -> Result<(), TlsError> {
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(())
}

#[cfg(not(feature = "rustls-webpki-roots"))]
fn add_webpki_roots(_: &mut RootCertStore) -> Result<(), TlsError> {
    Err(TlsError::NoRoots(Roots::Webpki))
}

#[cfg(feature = "rustls-native-roots")]
fn add_native_roots(store: &mut RootCertStore) -> Result<(), TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(());
    }
    let first = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
    Err(TlsError::RootsUnusable(first))
}

#[cfg(not(feature = "rustls-native-roots"))]
fn add_native_roots(_: &mut RootCertStore) -> Result<(), TlsError> {
    Err(TlsError::NoRoots(Roots::Native))
}

type Verifier = Arc<dyn rustls::client::danger::ServerCertVerifier>;

#[cfg(all(feature = "rustls-platform-verifier", not(target_os = "android")))]
fn platform_verifier(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, TlsError> {
    match rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots, provider) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => Err(TlsError::RootsUnusable(error.to_string())),
    }
}

/// Android's verifier accepts no extra roots.
#[cfg(all(feature = "rustls-platform-verifier", target_os = "android"))]
fn platform_verifier(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, TlsError> {
    if !extra_roots.is_empty() {
        return Err(TlsError::RootsUnusable("Android's verifier takes no extra roots".to_owned()));
    }
    match rustls_platform_verifier::Verifier::new(provider) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => Err(TlsError::RootsUnusable(error.to_string())),
    }
}

#[cfg(not(feature = "rustls-platform-verifier"))]
fn platform_verifier(_: Vec<CertificateDer<'static>>, _: Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    Err(TlsError::NoRoots(Roots::PlatformVerifier))
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProvider => f.write_str(
                "no crypto provider: switch on the feature `ring` or `aws-lc-rs`, or supply a ClientConfig",
            ),
            Self::NoRoots(Roots::Webpki) => {
                f.write_str("switch on the feature `rustls-webpki-roots` for these roots")
            }
            Self::NoRoots(Roots::Native) => {
                f.write_str("switch on the feature `rustls-native-roots` for these roots")
            }
            Self::NoRoots(Roots::PlatformVerifier) => {
                f.write_str("switch on the feature `rustls-platform-verifier` for this verifier")
            }
            Self::NoRoots(_) => f.write_str(
                "no root certificates: switch on the feature `rustls-webpki-roots`, `rustls-native-roots` or \
                 `rustls-platform-verifier`, add roots, or supply a ClientConfig",
            ),
            Self::RootsUnusable(detail) => write!(f, "no usable root certificates: {detail}"),
            Self::ProviderUnusable(detail) => write!(f, "the crypto provider cannot be used: {detail}"),
            Self::Pem(detail) => write!(f, "not a file of PEM certificates: {detail}"),
        }
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// With any features, the result is a configuration or an error that names the missing feature, never a panic.
    #[test]
    fn every_source_of_roots_works_or_the_error_names_what_is_missing() {
        let provider = cfg!(any(feature = "ring", feature = "aws-lc-rs"));
        let cases = [
            (Roots::Webpki, cfg!(feature = "rustls-webpki-roots")),
            (Roots::ExtraOnly, false),
            (Roots::CompiledIn, cfg!(feature = "rustls-webpki-roots")),
        ];
        for (roots, there) in cases {
            let settings = TlsSettings { roots, ..TlsSettings::default() };
            match settings.client_config() {
                Ok(_) => assert!(provider, "{roots:?}"),
                Err(TlsError::NoProvider) => assert!(!provider, "{roots:?}"),
                Err(error) => assert!(!there, "{roots:?}: {error}"),
            }
        }
    }

    #[test]
    fn a_source_that_is_not_compiled_in_is_named() {
        for (roots, feature) in [
            (Roots::Webpki, "rustls-webpki-roots"),
            (Roots::Native, "rustls-native-roots"),
            (Roots::PlatformVerifier, "rustls-platform-verifier"),
        ] {
            assert!(TlsError::NoRoots(roots).to_string().contains(feature));
        }
    }

    #[test]
    fn what_is_no_pem_is_refused() {
        let mut settings = TlsSettings::default();
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in [&b""[..], b"hello", broken, b"-----BEGIN CERTIFICATE-----\nAA"] {
            assert!(matches!(settings.add_pem_roots(text), Err(TlsError::Pem(_))));
        }
        assert!(settings.extra_roots.is_empty());
    }
}
