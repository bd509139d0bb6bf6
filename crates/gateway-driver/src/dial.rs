//! Opens a byte stream for a URL: name look-up, TCP, TLS. The state machine does the WebSocket upgrade.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use gateway_proto::{ConnectError, GatewayUrl};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::net::is_resolve_error;
use crate::stream::{BoxedStream, Connector};
use crate::tls::default_client_config;
use crate::{DriverConfig, Runtime};

/// Opens byte streams.
#[derive(Clone)]
pub(crate) struct Dialer<R> {
    runtime: R,
    connector: Option<Arc<dyn Connector>>,
    tls: Option<Arc<ClientConfig>>,
}

/// A byte stream that is being opened. The texts of its errors may contain the host; the state machine redacts it.
pub(crate) type Dialing = Pin<Box<dyn Future<Output = Result<BoxedStream, ConnectError>> + Send>>;

impl<R: Runtime> Dialer<R> {
    pub(crate) fn new(runtime: R, config: &DriverConfig) -> Self {
        Self { runtime, connector: config.connector.clone(), tls: config.tls.clone() }
    }

    /// Starts to open a byte stream to the host and port of a URL. Dropping the future cancels the attempt.
    pub(crate) fn dial(&self, url: GatewayUrl) -> Dialing {
        let dialer = self.clone();
        Box::pin(async move {
            let stream = dialer.connect(&url).await?;
            match url.is_tls() {
                true => dialer.secure(stream, &url).await,
                false => Ok(stream),
            }
        })
    }

    async fn connect(&self, url: &GatewayUrl) -> Result<BoxedStream, ConnectError> {
        let connected = match &self.connector {
            Some(connector) => connector.connect(url.host(), url.port()).await,
            None => match self.runtime.connect(url.host(), url.port()).await {
                Ok(stream) => Ok(Box::new(stream) as BoxedStream),
                Err(error) => Err(error),
            },
        };
        connected.map_err(|error| match is_resolve_error(&error) {
            true => ConnectError::Dns(error.to_string()),
            false => ConnectError::Tcp(error.to_string()),
        })
    }

    async fn secure(&self, stream: BoxedStream, url: &GatewayUrl) -> Result<BoxedStream, ConnectError> {
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => default_client_config().map_err(|error| ConnectError::Tls(error.to_string()))?,
        };
        let name = ServerName::try_from(url.host().to_owned()).map_err(|_| {
            ConnectError::Tls("the host is not a name that a certificate can have".to_owned())
        })?;
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(ConnectError::Tls(error.to_string())),
        }
    }
}
