//! A connection from its upgrade on. `async-tungstenite` speaks WebSocket in the role of the server; the gateway decides what
//! is sent, and how the connection ends.

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

/// Answers to pings that may wait for a client that does not read. Until it does, no more is read from it.
const PONG_LIMIT: usize = 64;
/// Messages and outputs that are handled before other connections get a turn.
const TURN: usize = 32;

/// Serves a WebSocket from its upgrade request until the connection ends. `already_read` came behind the request.
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
    /// Bytes of the payloads in the queue.
    queued: Arc<AtomicUsize>,
    reading: Reading,
    /// The client has sent a close frame. The answer is the gateway's: that of tungstenite stays unsent, so that from here
    /// on frames go past the WebSocket.
    closed: bool,
    /// Answers to pings since everything was written.
    pongs: usize,
    /// Which of reading and writing comes first takes turns.
    reads_first: bool,
}

/// What is expected from the client.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    Messages,
    /// Bytes that have no meaning any more, up to the end of the stream.
    Rest,
    /// Nothing: it has ended its half.
    Ended,
}

/// What happens next on a connection.
enum Next {
    Message(Message),
    /// The client violates the protocol.
    Invalid(Error),
    /// Bytes without a meaning.
    Rest,
    /// The client has ended its half.
    Ended,
    Output(Output),
    /// The stream has failed or was reset.
    Failed,
}

/// What an output leaves of a connection.
enum After {
    Open,
    /// An orderly end of the stream.
    Finish,
    /// A failed or reset stream.
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

    /// Writes what waits, then takes the next output.
    fn poll_write(&mut self, context: &mut Context<'_>, outputs: Pin<&mut Receiver<Output>>) -> Poll<Next> {
        let line = self.socket.get_mut();
        match line.poll_drain(context) {
            Poll::Ready(Ok(())) => {
                self.pongs = 0;
                outputs.poll_next(context).map(|output| output.map_or(Next::Failed, Next::Output))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Next::Failed),
            // The delay of a fault ends with the client.
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
                // tungstenite has its pong ready. The line takes it; its errors come up where it writes.
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

    /// Fails the connection (RFC 6455, section 7.1.7). The gateway decides about messages that are too large.
    async fn fail(&mut self, error: &Error) {
        self.reading = Reading::Rest;
        if let Error::Capacity(_) = error {
            return self.feed(ClientMessage::TooLarge);
        }
        let code = close_code(error).into();
        // Refused if a close frame was sent before, which is as good.
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
