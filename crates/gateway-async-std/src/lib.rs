#![doc = include_str!("../README.md")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use async_std::net::{TcpStream, ToSocketAddrs};

/// The runtime itself, for programs that would not name a discontinued crate twice.
pub use async_std;
#[cfg(feature = "cluster")]
pub use gateway_cluster::*;
pub use gateway_driver::*;

/// A shard on async-std. See [`gateway_driver::Shard`].
pub type Shard = gateway_driver::Shard<AsyncStdRuntime>;

/// All shards of a bot in one value. See [`gateway_cluster::Cluster`].
#[cfg(feature = "cluster")]
pub type Cluster = gateway_cluster::Cluster<AsyncStdRuntime>;

/// The gate that shards of one process share. See [`gateway_driver::gate::LocalIdentifyGate`].
pub type LocalIdentifyGate = gateway_driver::gate::LocalIdentifyGate<AsyncStdRuntime>;

/// Async-std: its sockets and timers run on threads of their own, so shards can be polled anywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsyncStdRuntime;

impl Runtime for AsyncStdRuntime {
    type Stream = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = (host, port).to_socket_addrs().await.map_err(net::resolve_error)?;
        let stream = net::connect_any(self, addresses, TcpStream::connect).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let time = deadline.saturating_duration_since(Instant::now());
        async_std::task::sleep(time)
    }
}

/// Spawns on the executor of the process, whose threads async-std starts. It runs until the process ends.
impl Spawn for AsyncStdRuntime {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        async_std::task::spawn(task);
    }
}
