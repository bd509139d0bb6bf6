#![doc = include_str!("../README.md")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

#[cfg(feature = "cluster")]
pub use gateway_cluster::*;
pub use gateway_driver::*;

/// A shard on tokio. See [`gateway_driver::Shard`].
pub type Shard = gateway_driver::Shard<TokioRuntime>;

/// All shards of a bot in one value. See [`gateway_cluster::Cluster`].
#[cfg(feature = "cluster")]
pub type Cluster = gateway_cluster::Cluster<TokioRuntime>;

/// The gate that shards of one process share. See [`gateway_driver::gate::LocalIdentifyGate`].
pub type LocalIdentifyGate = gateway_driver::gate::LocalIdentifyGate<TokioRuntime>;

/// Tokio, with its `net` and `time` drivers running: shards must be polled within such a runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    type Stream = Compat<TcpStream>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(net::resolve_error)?;
        let stream = net::connect_any(self, addresses, TcpStream::connect).await?;
        stream.set_nodelay(true)?;
        Ok(stream.compat())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(deadline.into())
    }
}

/// Spawns on the tokio runtime that it is called within. A runtime that shuts down drops its tasks where they wait.
///
/// # Panics
///
/// Outside of a tokio runtime, as `tokio::spawn` does. From another thread a closure over a `tokio::runtime::Handle` spawns.
impl Spawn for TokioRuntime {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}
