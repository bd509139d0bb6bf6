#![doc = include_str!("../README.md")]

use std::future::Future;
use std::io;
#[cfg(feature = "cluster")]
use std::pin::Pin;
use std::time::Instant;

use async_io::Timer;
use async_net::TcpStream;

#[cfg(feature = "cluster")]
pub use gateway_cluster::*;
pub use gateway_driver::*;

/// A shard on smol. See [`gateway_driver::Shard`].
pub type Shard = gateway_driver::Shard<SmolRuntime>;

/// All shards of a bot in one value. See [`gateway_cluster::Cluster`].
#[cfg(feature = "cluster")]
pub type Cluster = gateway_cluster::Cluster<SmolRuntime>;

/// The gate that shards of one process share. See [`gateway_driver::gate::LocalIdentifyGate`].
pub type LocalIdentifyGate = gateway_driver::gate::LocalIdentifyGate<SmolRuntime>;

/// Smol: its sockets and timers run on a thread of their own, so shards can be polled anywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct SmolRuntime;

impl Runtime for SmolRuntime {
    type Stream = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = async_net::resolve((host, port)).await.map_err(net::resolve_error)?;
        let stream = net::connect_any(self, addresses, TcpStream::connect).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let timer = Timer::at(deadline);
        async move {
            timer.await;
        }
    }
}

/// Spawns on the executor of the process, as `smol::spawn` does: threads of its own run the tasks until the process ends. Their number
/// is the environment variable `SMOL_THREADS`, or 1.
#[cfg(feature = "cluster")]
impl Spawn for SmolRuntime {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        smol::spawn(task).detach();
    }
}
