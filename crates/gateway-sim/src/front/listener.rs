//! The accepting threads: one for the address, and one more if Resume has an address of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::reader;
use super::socket::Socket;
use super::state::{Shared, State};
use crate::control::{Control, ControlError, Target};

/// How long the accepting threads may take to notice something.
const NOTICE_LIMIT: Duration = Duration::from_secs(5);
/// Longer than any outage that a test would wait for.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Accepts until the server stops. While the gateway is down nothing listens, so that connects are refused.
pub(super) fn accept(shared: &Arc<Shared>, listener: TcpListener, address: SocketAddr) {
    let mut listener = Some(listener);
    loop {
        let accepted = listener.as_ref().map(TcpListener::accept);
        let (stopping, down) = shared.step(|state, now| {
            state.gateway.handle_timeout(now);
            (state.stopping, state.gateway.is_down())
        });
        if stopping {
            return;
        }
        if down {
            listener = None;
            shared.step(|state, _| state.listening.remove(&address));
            shared.wait(FOREVER, |state| (!state.gateway.is_down()).then_some(()));
            continue;
        }
        match accepted {
            Some(Ok((stream, _))) => {
                // No thread to be had: the connection is closed, the server goes on.
                let _ = start(shared, stream, address);
            }
            Some(Err(_)) => {}
            // The port may be taken for a moment by what is left of old connections.
            None => {
                listener = TcpListener::bind(address).ok();
                // A stop that came before found nobody to wake.
                if listener.is_some() && !shared.step(|state, _| state.listen_at(address)) {
                    return;
                }
            }
        }
    }
}

/// Carries out a control command. After one that takes the gateway down, connects are refused from the return on.
pub(super) fn control(shared: &Shared, target: Target, control: Control) -> Result<Value, ControlError> {
    let goes_down = matches!(control, Control::Down { .. });
    let answer = shared.step(|state, now| state.gateway.control(target, control, now))?;
    if goes_down {
        wake(shared);
        let down = |state: &mut State| (state.listening.is_empty() || !state.gateway.is_down()).then_some(());
        shared.wait(NOTICE_LIMIT, down);
    }
    Ok(answer)
}

/// Wakes the accepting threads, to look again whether they should go on.
pub(super) fn wake(shared: &Shared) {
    for address in &shared.addresses {
        // Refused: then that thread is awake.
        let _ = TcpStream::connect_timeout(address, Duration::from_secs(1));
    }
}

fn start(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(stream)?;
    #[cfg(feature = "tls")]
    let socket = match &shared.identity {
        Some(identity) => socket.sealed(identity)?,
        None => socket,
    };
    let shared = shared.clone();
    thread::Builder::new()
        .name("sim-read".to_owned())
        .spawn(move || {
            let number = shared.step(|state, _| state.add_socket(socket.clone()));
            // An error of the socket is the end of the connection and no more.
            let _ = reader::serve(&shared, &socket, address);
            shared.step(|state, _| state.remove_socket(number));
        })
        .map(drop)
}
