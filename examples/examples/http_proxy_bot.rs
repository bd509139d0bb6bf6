//! The small bot on tokio through an HTTP proxy: `GATEWAY_PROXY=HOST:PORT cargo run --example http_proxy_bot -- FLAGS`.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use gateway_examples::options::{HELP, is_answered};
use gateway_tokio::TokioRuntime;
use gateway_tokio::stream::Connector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// The longest answer that a proxy may give.
const LONGEST_HEAD: usize = 8 << 10;

#[expect(clippy::print_stderr, reason = "a program talks to its user")]
fn main() -> ExitCode {
    // Help needs no proxy.
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    let Ok(proxy) = std::env::var("GATEWAY_PROXY") else {
        eprintln!("set GATEWAY_PROXY to the proxy's HOST:PORT");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a process what a runtime needs");
    runtime.block_on(gateway_examples::bot::main_through(TokioRuntime, Some(connector(proxy))))
}

/// Opens every connection through this proxy. TLS runs through the tunnel, to the gateway.
pub(crate) fn connector(proxy: String) -> Arc<dyn Connector> {
    Arc::new(move |host, port| connect(proxy.clone(), host, port))
}

/// Requests a tunnel from the proxy (RFC 9110, section 9.3.6).
async fn connect(proxy: String, host: String, port: u16) -> io::Result<Compat<TcpStream>> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    // One byte at a time, because the bytes after the head belong to the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(io::Error::other("the proxy's answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match status {
        [b'2', _, _] => Ok(stream.compat()),
        status => Err(io::Error::other(format!("the proxy answered {}", status.escape_ascii()))),
    }
}
