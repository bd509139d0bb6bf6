//! With any features `ws` works, and `wss` works or the error names the missing feature.

mod support;

use gateway_driver::rustls::ClientConnection;
use gateway_driver::rustls::pki_types::ServerName;
use gateway_driver::tls::{Roots, TlsError, TlsSettings};
use gateway_driver::{BuildError, DriverConfig, Shard};
use support::clock::VirtualRuntime;
use support::{Client, config};

fn provider() -> bool {
    cfg!(any(feature = "ring", feature = "aws-lc-rs"))
}

fn build(url: &str, driver: DriverConfig) -> Result<Shard<VirtualRuntime>, BuildError> {
    let mut config = config();
    config.url = url.to_owned();
    Shard::with(VirtualRuntime::default(), config, driver)
}

#[test]
fn a_wss_shard_is_created_or_the_error_names_what_is_missing() {
    // The system may have no roots, so only the compiled-in ones are certain.
    let sure = cfg!(feature = "rustls-webpki-roots");
    let any = sure || cfg!(any(feature = "rustls-native-roots", feature = "rustls-platform-verifier"));
    match build("wss://gateway.example", DriverConfig::default()) {
        Ok(_) => assert!(provider() && any),
        Err(BuildError::Tls(TlsError::NoProvider)) => assert!(!provider()),
        Err(BuildError::Tls(TlsError::NoRoots(_))) => assert!(provider() && !any),
        Err(BuildError::Tls(TlsError::RootsUnusable(_))) => assert!(provider() && any && !sure),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_ws_shard_needs_nothing() {
    let mut client = Client::new(config());
    client.connect_and_identify();
}

#[test]
fn every_source_of_roots_gives_a_working_configuration_or_an_error() {
    for roots in [Roots::CompiledIn, Roots::Webpki, Roots::Native, Roots::PlatformVerifier, Roots::ExtraOnly]
    {
        let mut settings = TlsSettings::default();
        settings.roots = roots;
        let Ok(config) = settings.client_config() else { continue };
        assert!(provider());
        let name = ServerName::try_from("gateway.example").unwrap();
        assert!(ClientConnection::new(config.clone(), name).unwrap().wants_write(), "{roots:?}");

        let mut driver = DriverConfig::default();
        driver.tls = Some(config);
        build("wss://gateway.example", driver).unwrap();
    }
}

/// With a custom configuration no feature is needed.
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#[test]
fn a_custom_configuration_is_used_unchanged() {
    #[cfg(feature = "ring")]
    let compiled_in = gateway_driver::rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    let compiled_in = gateway_driver::rustls::crypto::aws_lc_rs::default_provider();
    let own = gateway_driver::rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(compiled_in))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(gateway_driver::rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut driver = DriverConfig::default();
    driver.tls = Some(std::sync::Arc::new(own));
    build("wss://gateway.example", driver).unwrap();
}

#[test]
fn a_bad_field_of_the_configuration_is_named() {
    let error = build("http://gateway.example", DriverConfig::default()).unwrap_err();
    assert!(matches!(&error, BuildError::Config(error) if error.field() == "url"), "{error}");
}
