//! The thread that runs all tasks of a server.

use std::convert::Infallible;
use std::net::TcpListener;

use smol::channel::{self, Receiver};
use smol::{Async, LocalExecutor, block_on, future};

use super::connection;
use super::listener;
use super::port::ReservedPort;
use super::shared::Shared;

/// Runs until `stop` is closed. The return ends all tasks, and with them every listener and every connection.
pub(super) fn run(
    shared: &Shared,
    listeners: Vec<(Async<TcpListener>, ReservedPort)>,
    stop: &Receiver<Infallible>,
) {
    let executor = LocalExecutor::new();
    let (accepted, connections) = channel::bounded(1);
    for (listener, port) in listeners {
        let accepted = accepted.clone();
        executor.spawn(async move { listener::accept(shared, listener, &port, accepted).await }).detach();
    }
    executor.spawn(shared.keep_time()).detach();
    let serve = async {
        while let Ok((tcp, address)) = connections.recv().await {
            executor.spawn(connection::serve(shared, tcp, address)).detach();
        }
    };
    let stopped = async {
        // Nothing is sent on this channel: this ends when it is closed.
        let _ = stop.recv().await;
    };
    block_on(executor.run(future::or(stopped, serve)));
}
