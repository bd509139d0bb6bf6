//! Accepts connections: one task for each address.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use smol::channel::Sender;
use smol::net::TcpStream;
use smol::{Async, Timer, future};

use super::port::ReservedPort;
use super::shared::Shared;

/// The pause after an error of a listener, such as too many open files, or a port that old connections still occupy.
const RETRY: Duration = Duration::from_millis(10);

/// Passes on each connection with its local address. While the gateway is down nothing listens, so that connects are
/// refused.
pub(super) async fn accept(
    shared: &Shared,
    listener: Async<TcpListener>,
    port: &ReservedPort,
    accepted: Sender<(TcpStream, SocketAddr)>,
) {
    let address = port.address();
    let mut listener = Some(listener);
    loop {
        let turned = shared.turned();
        if shared.with(|state| state.gateway.is_down()) {
            listener = None;
            shared.step(|state, _| state.listening.remove(&address));
            turned.await;
            continue;
        }
        let Some(open) = &listener else {
            listener = port.listen().and_then(Async::new).ok();
            if listener.is_some() {
                shared.step(|state, _| state.listening.insert(address));
            } else {
                Timer::after(RETRY).await;
            }
            continue;
        };
        let goes_down = async {
            turned.await;
            None
        };
        match future::or(goes_down, async { Some(open.accept().await) }).await {
            Some(Ok((stream, _))) => {
                let handed_over = accepted.send((stream.into(), address)).await;
                // The server is stopping.
                let Ok(()) = handed_over else { return };
            }
            Some(Err(_)) => {
                Timer::after(RETRY).await;
            }
            None => {}
        }
    }
}
