//! The cost of connections for a server.
#![cfg(target_os = "linux")]

mod common;

use std::io::Read;

use common::live::tcp;
use gateway_sim::{Config, Server};
use tungstenite::WebSocket;

/// An open connection that has read Hello.
fn connect(server: &Server) -> WebSocket<impl Read + use<>> {
    let (mut client, _) = tungstenite::client("ws://127.0.0.1/?v=10", tcp(server)).expect("it accepts");
    client.read().expect("Hello");
    client
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("the threads of this process").count()
}

// The only test of this program, since the threads of other tests would be counted.
#[test]
fn a_connection_costs_no_thread() {
    let server = Server::start(Config::default()).expect("a server");
    let first = connect(&server);
    let before = threads();
    let others: Vec<_> = (0..300).map(|_| connect(&server)).collect();
    assert_eq!(server.with(|gateway| gateway.connections().count()), 301);
    assert_eq!(threads(), before);
    drop((first, others));
}
