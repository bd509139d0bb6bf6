//! The thread of a server: all of its tasks.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};

use smol::channel::{self, Receiver};
use smol::{Async, LocalExecutor, block_on, future};

use super::connection;
use super::listener;
use super::shared::Shared;

/// Serves until `stop` is closed. All tasks end with the call, and with them every listener and every connection.
pub(super) fn run(
    shared: &Shared,
    listeners: Vec<(Async<TcpListener>, SocketAddr)>,
    stop: &Receiver<Infallible>,
) {
    let executor = LocalExecutor::new();
    let (accepted, connections) = channel::bounded(1);
    for (listener, address) in listeners {
        executor.spawn(listener::accept(shared, listener, address, accepted.clone())).detach();
    }
    executor.spawn(shared.keep_time()).detach();
    let serve = async {
        while let Ok((tcp, address)) = connections.recv().await {
            executor.spawn(connection::serve(shared, tcp, address)).detach();
        }
    };
    let stopped = async {
        // Nothing is ever sent: this ends when the channel is closed.
        let _ = stop.recv().await;
    };
    block_on(executor.run(future::or(stopped, serve)));
}
