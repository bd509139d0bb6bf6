#![doc = include_str!("../README.md")]

use std::future::Future;
use std::io;
use std::time::Instant;

use async_io::Timer;
use async_net::TcpStream;

pub use gateway_driver::*;

/// A shard on smol. See [`gateway_driver::Shard`].
pub type Shard = gateway_driver::Shard<SmolRuntime>;

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
