//! A client without a library, over a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gateway_sim::Server;
use serde_json::Value;

/// A server that sends nothing for this long is faulty.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "a client without a library")]
pub(crate) fn tcp(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout can be set");
    stream
}

/// The status and body of the answer to `GET PATH`.
pub(crate) fn get(server: &Server, path: &str) -> (u16, Value) {
    let mut stream = tcp(server);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let status = response[9..12].parse().expect("a status");
    let (_, body) = response.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).expect("JSON"))
}
