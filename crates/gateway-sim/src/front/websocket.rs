//! A connection after its upgrade. `async-tungstenite` implements the server's WebSocket; the gateway determines what is
//! sent, and how the connection ends.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Error;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::frame::Frame;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use futures_sink::Sink;
use smol::channel::{self, Receiver};
use smol::future;
use smol::io::AsyncRead;
use smol::stream::Stream;

use super::line::Line;
use super::shared::{Peer, Shared};
use crate::frames::{bytes, frames};
use crate::http;
use crate::io::{ClientMessage, ConnectionId, Output};
use crate::websocket::{READ_BUFFER, close_code, config};

/// The most queued pongs for a client that does not read. At the limit nothing more is read from it.
const PONG_LIMIT: usize = 64;
/// Messages and outputs that are handled before other connections run.
const TURN: usize = 32;

/// Serves a WebSocket from its upgrade request until the connection ends. `already_read` holds the bytes after the
/// request.
pub(super) async fn serve(
    shared: &Shared,
    line: Line,
    target: &str,
    key: &str,
    already_read: Vec<u8>,
) -> io::Result<()> {
    let (queue, outputs) = channel::unbounded();
    let queued = Arc::new(AtomicUsize::new(0));
    let peer = Peer { queue, queued: queued.clone(), tcp: line.tcp().clone() };
    let socket = WebSocketStream::from_partially_read(line, already_read, Role::Server, Some(config())).await;
    let id = shared.step(|state, now| {
        let id = state.gateway.open(target, now);
        state.add_peer(id, peer);
        id
    });
    let upgraded = Upgraded {
        shared,
        id,
        key,
        socket,
        queued,
        reading: Reading::Messages,
        closed: false,
        pongs: 0,
        reads_first: false,
    };
    upgraded.run(outputs).await
}

struct Upgraded<'a> {
    shared: &'a Shared,
    id: ConnectionId,
    /// The key of the upgrade request.
    key: &'a str,
    socket: WebSocketStream<Line>,
    /// The bytes of the payloads in the queue.
    queued: Arc<AtomicUsize>,
    reading: Reading,
    /// Whether the client has sent a close frame. The gateway answers it: tungstenite's answer is not sent, so later
    /// frames bypass the WebSocket.
    closed: bool,
    /// The number of pongs since everything was written.
    pongs: usize,
    /// Whether reading comes before writing. Alternates.
    reads_first: bool,
}

/// What the client may still send.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    Messages,
    /// Bytes without meaning, up to the end of the stream.
    Rest,
    /// Nothing: the client has ended its half.
    Ended,
}

/// The next event on a connection.
enum Next {
    Message(Message),
    /// The client has violated the protocol.
    Invalid(Error),
    /// Bytes without meaning.
    Rest,
    /// The client has ended its half.
    Ended,
    Output(Output),
    /// The stream has failed or was reset.
    Failed,
}

/// The state of the connection after an output.
enum After {
    Open,
    /// End the stream in an orderly way.
    Finish,
    /// The stream has failed or was reset.
    Failed,
}

impl Upgraded<'_> {
    async fn run(mut self, outputs: Receiver<Output>) -> io::Result<()> {
        let mut outputs = pin!(outputs);
        let mut turns = 0;
        loop {
            match poll_fn(|context| self.poll_next(context, outputs.as_mut())).await {
                Next::Message(message) => self.received(message).await,
                Next::Invalid(error) => self.fail(&error).await,
                Next::Rest => {}
                Next::Ended => {
                    self.reading = Reading::Ended;
                    self.feed(ClientMessage::Gone);
                }
                Next::Output(output) => match self.carry_out(output).await {
                    After::Open => {}
                    After::Finish => {
                        return self.socket.into_inner().finish(self.reading == Reading::Ended).await;
                    }
                    After::Failed => break,
                },
                Next::Failed => break,
            }
            turns += 1;
            if turns % TURN == 0 {
                future::yield_now().await;
            }
        }
        self.feed(ClientMessage::Gone);
        Ok(())
    }

    fn poll_next(&mut self, context: &mut Context<'_>, outputs: Pin<&mut Receiver<Output>>) -> Poll<Next> {
        self.reads_first = !self.reads_first;
        if self.reads_first {
            match self.poll_read(context) {
                Poll::Pending => self.poll_write(context, outputs),
                next => next,
            }
        } else {
            match self.poll_write(context, outputs) {
                Poll::Pending => self.poll_read(context),
                next => next,
            }
        }
    }

    /// Writes queued bytes, then takes the next output.
    fn poll_write(&mut self, context: &mut Context<'_>, outputs: Pin<&mut Receiver<Output>>) -> Poll<Next> {
        let line = self.socket.get_mut();
        match line.poll_drain(context) {
            Poll::Ready(Ok(())) => {
                self.pongs = 0;
                outputs.poll_next(context).map(|output| output.map_or(Next::Failed, Next::Output))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Next::Failed),
            // The client has ended, so a delay set by a fault has no effect.
            Poll::Pending if self.reading == Reading::Ended && line.is_delayed() => Poll::Ready(Next::Failed),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        match self.reading {
            Reading::Messages if self.pongs < PONG_LIMIT => {
                Pin::new(&mut self.socket).poll_next(context).map(|message| match message {
                    Some(Ok(message)) => Next::Message(message),
                    None
                    | Some(Err(
                        Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                    )) => Next::Ended,
                    Some(Err(error)) => Next::Invalid(error),
                })
            }
            Reading::Rest => {
                let mut rest = [0; READ_BUFFER];
                Pin::new(self.socket.get_mut()).poll_read(context, &mut rest).map(|count| match count {
                    Ok(0) | Err(_) => Next::Ended,
                    Ok(_) => Next::Rest,
                })
            }
            Reading::Messages | Reading::Ended => Poll::Pending,
        }
    }

    async fn received(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.feed(ClientMessage::Text(&text)),
            Message::Binary(bytes) => self.feed(ClientMessage::Binary(&bytes)),
            Message::Pong(_) => self.feed(ClientMessage::Pong),
            Message::Ping(_) => {
                self.pongs += 1;
                // tungstenite has a pong queued. The line accepts it; errors appear when the line is drained.
                let _ = poll_fn(|context| Pin::new(&mut self.socket).poll_flush(context)).await;
            }
            Message::Close(frame) => {
                self.reading = Reading::Rest;
                self.closed = true;
                self.feed(ClientMessage::Close(frame.map(|frame| frame.code.into())));
            }
            Message::Frame(_) => {}
        }
    }

    /// Fails the connection (RFC 6455, section 7.1.7). The gateway handles messages that are too large.
    async fn fail(&mut self, error: &Error) {
        self.reading = Reading::Rest;
        if let Error::Capacity(_) = error {
            return self.feed(ClientMessage::TooLarge);
        }
        let code = close_code(error).into();
        // Fails if a close frame was sent before, which is enough.
        let _ = self.socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
        self.feed(ClientMessage::Gone);
    }

    async fn carry_out(&mut self, output: Output) -> After {
        let sent = match output {
            Output::Accept => {
                let response = http::switching_protocols(self.key);
                self.line().push(&response);
                Ok(())
            }
            Output::Refuse(response) => {
                self.line().push(&http::response(&response, false));
                return After::Finish;
            }
            Output::Send(message) => {
                self.queued.fetch_sub(message.payload.len(), Ordering::Relaxed);
                self.send_frames(frames(message)).await
            }
            Output::Ping => self.send_frames([Frame::ping(Vec::new())]).await,
            Output::Close(code, reason) => {
                let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                if self.closed {
                    self.send_frames([Frame::close(frame)]).await
                } else {
                    self.socket.send(Message::Close(frame)).await
                }
            }
            Output::Drop => return After::Finish,
            Output::Abort => {
                self.line().push_reset();
                Ok(())
            }
            Output::Cut(message) => {
                let bytes = bytes(frames(message));
                self.line().push(&bytes[..bytes.len() / 2]);
                self.line().push_reset();
                Ok(())
            }
            Output::Silence => {
                self.line().silence();
                Ok(())
            }
            Output::Bytes(fault) => {
                self.line().disturb(fault);
                Ok(())
            }
        };
        if sent.is_ok() { After::Open } else { After::Failed }
    }

    async fn send_frames(&mut self, frames: impl IntoIterator<Item = Frame>) -> Result<(), Error> {
        if self.closed {
            self.line().push(&bytes(frames));
            return Ok(());
        }
        for frame in frames {
            self.socket.send(Message::Frame(frame)).await?;
        }
        Ok(())
    }

    fn line(&mut self) -> &mut Line {
        self.socket.get_mut()
    }

    fn feed(&self, message: ClientMessage<'_>) {
        self.shared.step(|state, now| state.gateway.receive(self.id, message, now));
    }
}
