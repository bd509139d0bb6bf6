//! The task of a connection: HTTP requests first, then optionally a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use smol::future;
use smol::net::TcpStream;

use super::line::{Line, within};
use super::request;
use super::shared::Shared;
use super::websocket;
use crate::control::Control;
use crate::http::{self, Request};
use crate::response::Response;

/// The time limit for TLS, and for each request head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one connection until it ends.
pub(super) async fn serve(shared: &Shared, tcp: TcpStream, address: SocketAddr) {
    // An error of the socket only ends this connection.
    let _ = serve_requests(shared, tcp, address).await;
}

async fn serve_requests(shared: &Shared, tcp: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut line = within(REQUEST_TIMEOUT, open(shared, tcp)).await?;
    let mut buffer = Vec::new();
    while let Some(request) = request::read(&mut line, &mut buffer, REQUEST_TIMEOUT).await? {
        if let Some(key) = request.upgrade_key() {
            // At the address for Resume the gateway expects the whole URL.
            let target = match shared.resume_url_of(address) {
                Some(url) => format!("{url}{}", request.target),
                None => request.target.clone(),
            };
            return websocket::serve(shared, line, &target, key, buffer).await;
        }
        let keeps_alive = request.keeps_alive();
        line.push(&http::response(&answer(shared, &request).await, keeps_alive));
        line.drain().await?;
        if !keeps_alive {
            break;
        }
        // Lets other tasks run between the requests of one client.
        future::yield_now().await;
    }
    line.finish(false).await
}

async fn open(shared: &Shared, tcp: TcpStream) -> io::Result<Line> {
    tcp.set_nodelay(true)?;
    #[cfg(feature = "tls")]
    if let Some(identity) = &shared.identity {
        let stream = identity.acceptor.accept(tcp.clone()).await?;
        return Ok(Line::new(stream, tcp, shared.clock()));
    }
    Ok(Line::new(tcp.clone(), tcp, shared.clock()))
}

async fn answer(shared: &Shared, request: &Request) -> Response {
    if request.method == "GET" && shared.control && request.target.starts_with("/_ctl/") {
        let answer = match Control::parse_target(&request.target) {
            Ok((target, control)) => shared.control(target, control).await,
            Err(mistake) => Err(mistake),
        };
        return match answer {
            Ok(answer) => Response::json(200, &answer),
            Err(mistake) => Response::client_error(400, &mistake.to_string()),
        };
    }
    shared.with(|state| state.gateway.answer(request))
}
