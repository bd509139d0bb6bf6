//! Byte streams of any kind behind one type, and connectors of the application.

use std::future::Future;
use std::io;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connected byte stream of any kind.
pub type BoxedStream = Box<dyn ByteStream>;

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<BoxedStream>> + Send>>;

/// Opens connections in place of the runtime: through a proxy, through a tunnel, or to a test.
///
/// Any function from host and port to a future is a connector. If the URL requires TLS, it is used over the returned
/// stream.
///
/// ```
/// use std::sync::Arc;
/// use futures_io::{AsyncRead, AsyncWrite};
/// use gateway_driver::stream::BoxedStream;
/// use gateway_driver::DriverConfig;
///
/// # async fn open_tunnel(host: &str, port: u16) -> std::io::Result<BoxedStream> { Err(std::io::ErrorKind::Other.into()) }
/// let mut driver = DriverConfig::default();
/// driver.connector = Some(Arc::new(|host: String, port| async move { open_tunnel(&host, port).await }));
/// ```
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to this host and port. An IPv6 address has no brackets.
    ///
    /// The shard drops the future when its timeout expires.
    fn connect(&self, host: &str, port: u16) -> Connecting;
}

impl<F, Opening, S> Connector for F
where
    F: Fn(String, u16) -> Opening + Send + Sync + 'static,
    Opening: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn connect(&self, host: &str, port: u16) -> Connecting {
        let opening = self(host.to_owned(), port);
        Box::pin(async move { Ok(Box::new(opening.await?) as BoxedStream) })
    }
}
