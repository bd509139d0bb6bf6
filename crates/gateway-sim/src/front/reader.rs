//! The reading thread of a connection: HTTP requests first, then perhaps a WebSocket.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::http::{self, Request};
use super::listener;
use super::socket::Socket;
use super::state::{Command, Peer, Shared};
use super::writer::Writer;
use crate::bytes_fault::BytePlan;
use crate::control::Control;
use crate::gateway::{ClientMessage, ConnectionId};
use crate::rest::Response;

/// How long a client may take for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a client's message that are read at all. The limit of the protocol is far below.
const READ_LIMIT: usize = 1024 * 1024;

/// Serves one connection until it ends.
pub(super) fn serve(shared: &Arc<Shared>, socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let mut buffer = Vec::new();
    socket.read_timeout(Some(REQUEST_TIMEOUT))?;
    while let Some(request) = Request::read(socket, &mut buffer)? {
        if let Some(key) = request.upgrade_key() {
            socket.read_timeout(None)?;
            // On the address for Resume the gateway sees the whole URL.
            let target = match shared.resume_url_of(address) {
                Some(url) => format!("{url}{}", request.target),
                None => request.target.clone(),
            };
            return websocket(shared, socket, &target, key, buffer);
        }
        let keeps_alive = request.keeps_alive();
        socket.write_all(&http::response(&answer(shared, &request), keeps_alive))?;
        if !keeps_alive {
            break;
        }
    }
    socket.finish();
    Ok(())
}

fn answer(shared: &Shared, request: &Request) -> Response {
    if request.method != "GET" {
        return Response::mistake(405, "405: Method Not Allowed");
    }
    if shared.control && request.target.starts_with("/_ctl/") {
        let answer = Control::parse_target(&request.target)
            .and_then(|(target, control)| listener::control(shared, target, control));
        return match answer {
            Ok(answer) => Response::json(200, &answer),
            Err(mistake) => Response::mistake(400, &mistake.to_string()),
        };
    }
    shared.step(|state, now| {
        state.gateway.handle_timeout(now);
        state.gateway.rest(&request.target, request.header("Authorization"))
    })
}

fn websocket(
    shared: &Arc<Shared>,
    socket: &Socket,
    target: &str,
    key: &str,
    already_read: Vec<u8>,
) -> io::Result<()> {
    let (queue, commands) = channel();
    // Dropped when this function ends, which tells the writer.
    let (_reading, reader) = channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let writer = Writer {
        socket: socket.clone(),
        key: key.to_owned(),
        queued: queued.clone(),
        reader,
        clock: shared.clock(),
        plan: BytePlan::default(),
        silent: false,
    };
    thread::Builder::new().name("sim-write".to_owned()).spawn(move || writer.run(&commands))?;
    let id = shared.step(|state, now| {
        let id = state.gateway.open(target, now);
        state.add_peer(id, Peer { queue: queue.clone(), queued, socket: socket.clone() });
        id
    });
    let half = ReadHalf { socket, pongs: Vec::new() };
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(READ_LIMIT))
        .max_frame_size(Some(READ_LIMIT));
    let mut websocket = WebSocket::from_partially_read(half, already_read, Role::Server, Some(config));
    read_messages(shared, id, &queue, &mut websocket);
    // After a close frame, until the client ends the stream.
    let mut rest = [0; 4096];
    while socket.read(&mut rest).is_ok_and(|count| count > 0) {}
    feed(shared, id, ClientMessage::Gone);
    Ok(())
}

fn read_messages(
    shared: &Shared,
    id: ConnectionId,
    queue: &Sender<Command>,
    websocket: &mut WebSocket<ReadHalf<'_>>,
) {
    loop {
        let message = websocket.read();
        match message {
            Ok(Message::Text(text)) => feed(shared, id, ClientMessage::Text(&text)),
            Ok(Message::Binary(bytes)) => feed(shared, id, ClientMessage::Binary(&bytes)),
            Ok(Message::Close(frame)) => {
                let code = frame.map(|frame| frame.code.into());
                return feed(shared, id, ClientMessage::Close(code));
            }
            Ok(Message::Ping(_)) => {
                // tungstenite has its pong ready; this puts it into the half's buffer.
                let _ = websocket.flush();
                let pong = std::mem::take(&mut websocket.get_mut().pongs);
                let _ = queue.send(Command::Bytes(pong));
            }
            Ok(Message::Pong(_)) => feed(shared, id, ClientMessage::Pong),
            Ok(Message::Frame(_)) => {}
            Err(Error::Capacity(_)) => return feed(shared, id, ClientMessage::TooLarge),
            Err(_) => return,
        }
    }
}

fn feed(shared: &Shared, id: ConnectionId, message: ClientMessage<'_>) {
    shared.step(|state, now| state.gateway.receive(id, message, now));
}

/// Reads from the socket. What tungstenite wants to write by itself is kept: the gateway decides about closes, and only
/// the writing thread writes.
struct ReadHalf<'a> {
    socket: &'a Socket,
    pongs: Vec<u8>,
}

impl Read for ReadHalf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for ReadHalf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pongs.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
