//! From a URL to an open WebSocket: TCP, TLS, upgrade.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use gateway_proto::upgrade::{Upgrade, Upgraded};
use gateway_proto::{ConnectError, GatewayUrl, Limits};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::budget::Budget;
use crate::net::is_resolve_error;
use crate::shard::entropy;
use crate::stream::{BoxedStream, Connector};
use crate::tls::default_client_config;
use crate::websocket::Socket;
use crate::{DriverConfig, Runtime};

/// How long to wait for the body of a refusal. It is only for whoever has to find out why.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Dialer<R> {
    runtime: R,
    connector: Option<Arc<dyn Connector>>,
    tls: Option<Arc<ClientConfig>>,
    limits: Limits,
}

/// A WebSocket that is being opened.
pub(crate) type Dialing = Pin<Box<dyn Future<Output = Result<Socket, ConnectError>> + Send>>;

impl<R: Runtime> Dialer<R> {
    pub(crate) fn new(runtime: R, config: DriverConfig, limits: Limits) -> Self {
        let DriverConfig { tls, connector, .. } = config;
        Self { runtime, connector, tls, limits }
    }

    /// Begins to open a WebSocket. Dropping the future gives up.
    pub(crate) fn dial(&self, url: GatewayUrl) -> Dialing {
        let dialer = self.clone();
        Box::pin(async move { dialer.open(&url).await })
    }

    async fn open(&self, url: &GatewayUrl) -> Result<Socket, ConnectError> {
        let mut stream = self.connect(url).await?;
        if url.is_tls() {
            stream = self.secure(stream, url).await?;
        }
        let head = self.upgrade(&mut stream, url).await?;
        Ok(Socket::new(stream, head, &self.limits, url.clone()).await)
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
            true => ConnectError::Dns(url.redact(&error.to_string())),
            false => ConnectError::Tcp(url.redact(&error.to_string())),
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
            Err(error) => Err(ConnectError::Tls(url.redact(&error.to_string()))),
        }
    }

    /// Speaks the upgrade. Returns what was read behind the answer.
    async fn upgrade(&self, stream: &mut BoxedStream, url: &GatewayUrl) -> Result<Vec<u8>, ConnectError> {
        let mut upgrade = Upgrade::new(url, random_key());
        let mut budget = Budget::default();
        let failed = |error: io::Error| ConnectError::Handshake(url.redact(&error.to_string()));
        write_all(stream, upgrade.request()).await.map_err(failed)?;
        while !upgrade.is_refused() {
            let read = poll_fn(|context| {
                poll_read(stream, context, &mut budget, |bytes| answer(&mut upgrade, bytes))
            });
            if let Some(end) = read.await.map_err(failed)? {
                return end;
            }
        }
        Err(self.read_refusal(stream, upgrade, budget).await)
    }

    /// Reads the body of a refusal, as long as it comes soon.
    async fn read_refusal(
        &self,
        stream: &mut BoxedStream,
        mut upgrade: Upgrade,
        mut budget: Budget,
    ) -> ConnectError {
        let mut patience = pin!(self.runtime.sleep_until(self.runtime.now() + BODY_WAIT));
        poll_fn(|context| {
            loop {
                match poll_read(stream, context, &mut budget, |bytes| answer(&mut upgrade, bytes)) {
                    Poll::Ready(Ok(Some(Err(error)))) => return Poll::Ready(error),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(upgrade.finish()),
                    Poll::Pending if patience.as_mut().poll(context).is_ready() => {
                        return Poll::Ready(upgrade.finish());
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

/// The key of an upgrade request: told apart from others, and secret to nobody (RFC 6455, section 4.1).
fn random_key() -> [u8; 16] {
    let mut key = [0; 16];
    for half in key.chunks_exact_mut(8) {
        half.copy_from_slice(&entropy().to_le_bytes());
    }
    key
}

/// Takes what a server has answered, or the end of the stream. Some: the upgrade is over, and this was read behind it.
fn answer(upgrade: &mut Upgrade, bytes: &[u8]) -> Option<Result<Vec<u8>, ConnectError>> {
    if bytes.is_empty() {
        return Some(Err(upgrade.finish()));
    }
    Some(match upgrade.push(bytes)? {
        Upgraded::Open { used } => Ok(bytes[used..].to_vec()),
        Upgraded::Failed(error) => Err(error),
    })
}

/// Reads, and hands on what was read. Takes a step of the budget: `Pending` goes to the executor.
fn poll_read<T>(
    stream: &mut BoxedStream,
    context: &mut Context<'_>,
    budget: &mut Budget,
    hand_on: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    // On the stack: a future that held it would be larger by as much for every connection that is being opened.
    let mut buffer = [0; 4096];
    let polled = match budget.poll_step(context) {
        Poll::Ready(()) => Pin::new(stream).poll_read(context, &mut buffer),
        Poll::Pending => Poll::Pending,
    };
    if polled.is_pending() {
        budget.renew();
    }
    let count = ready!(polled)?;
    Poll::Ready(Ok(hand_on(&buffer[..count])))
}

async fn write_all(stream: &mut BoxedStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[count..];
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await
}
