//! A connection up to its READY.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use gateway_codec::RawRef;
use gateway_sim::switching_protocols;
use rustls::{ServerConnection, StreamOwned};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::http::{self, Request};
use super::play::Player;
use super::{Shared, url};
use crate::mode::Mode;

/// Opcode 1, see
/// [Discord Docs, Gateway > Sending Heartbeats](https://discord.com/developers/docs/events/gateway#sending-heartbeats).
const HEARTBEAT: u64 = 1;

/// TCP with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// A WebSocket. Prepared bytes bypass it.
pub(super) struct Connection {
    socket: WebSocket<Stream>,
    mode: Mode,
}

/// Serves a client until READY. `None` if the connection is finished.
pub(super) fn open(tcp: TcpStream, shared: &Shared) -> io::Result<Option<Player>> {
    tcp.set_nodelay(true)?;
    let mut stream = match &shared.tls {
        Some(config) => {
            let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
        }
        None => Stream::Plain(tcp),
    };
    let Some(request) = Request::read(&mut stream)? else { return Ok(None) };
    let mode = request.mode(shared.options.payload);
    let prepared = mode.and_then(|mode| Some((mode, shared.frames.get(&mode)?)));
    let (key, (mode, prepared)) = match (&request.key, prepared) {
        (Some(key), Some(prepared)) => (key, prepared),
        (Some(_), None) => return stream.answer_and_end(&http::not_found()),
        (None, _) => {
            let url = url(shared.address, shared.tls.is_some());
            return stream.answer_and_end(&http::answer(&request.target, &url, shared.options.shards));
        }
    };
    stream.write_all(&switching_protocols(key))?;
    let socket = WebSocket::from_partially_read(stream, request.rest, Role::Server, None);
    let mut connection = Connection { socket, mode };
    connection.write(prepared.hello())?;
    while connection.next_opcode()? == HEARTBEAT {}
    connection.write(prepared.lead())?;
    Ok(Some(Player { connection, mode }))
}

impl Connection {
    /// Writes prepared messages.
    pub(super) fn write(&mut self, messages: &[u8]) -> io::Result<()> {
        let stream = self.socket.get_mut();
        stream.write_all(messages)?;
        stream.flush()
    }

    /// Waits for the next message, and returns its opcode. The end of the connection is an error.
    fn next_opcode(&mut self) -> io::Result<u64> {
        loop {
            let message = match self.socket.read().map_err(io::Error::other)? {
                message @ (Message::Text(_) | Message::Binary(_)) => message.into_data(),
                _ => continue,
            };
            let op = RawRef::new(&message, self.mode.encoding).get("op").and_then(RawRef::as_u64);
            return op.ok_or_else(|| io::Error::other("a message without an opcode"));
        }
    }

    /// Reads until the client closes the connection. Answers every heartbeat with the acknowledgement, if there is one.
    pub(super) fn read_to_end(mut self, acknowledgement: Option<&[u8]>) -> io::Result<()> {
        loop {
            if self.next_opcode()? == HEARTBEAT
                && let Some(acknowledgement) = acknowledgement
            {
                self.write(acknowledgement)?;
            }
        }
    }
}

impl Stream {
    /// Sends the last response of the connection.
    fn answer_and_end<T>(mut self, answer: &str) -> io::Result<Option<T>> {
        self.write_all(answer.as_bytes())?;
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
        }
        self.flush()?;
        Ok(None)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
