//! The small bot on tokio through a SOCKS5 proxy: `GATEWAY_PROXY=HOST:PORT cargo run --example socks5_bot -- FLAGS`.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use gateway_examples::options::{HELP, is_answered};
use gateway_tokio::TokioRuntime;
use gateway_tokio::stream::Connector;
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

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

/// Opens every connection through this proxy, which looks up the name (RFC 1928). TLS runs through it, to the gateway.
pub(crate) fn connector(proxy: String) -> Arc<dyn Connector> {
    Arc::new(move |host, port| connect(proxy.clone(), host, port))
}

async fn connect(proxy: String, host: String, port: u16) -> io::Result<Compat<TcpStream>> {
    let stream = Socks5Stream::connect(proxy.as_str(), (host, port)).await.map_err(io::Error::other)?;
    let stream = stream.into_inner();
    stream.set_nodelay(true)?;
    Ok(stream.compat())
}
