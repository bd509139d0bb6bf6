//! An open WebSocket: messages out in order without blocking, messages in, and every error given its type.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::frame::Frame;
use async_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use async_tungstenite::tungstenite::protocol::{CloseFrame as WireCloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Error, Message as WireMessage, Utf8Bytes};
use futures_core::Stream;
use futures_io::AsyncWrite as _;
use futures_sink::Sink;
use gateway_proto::websocket::failure;
use gateway_proto::{CloseFrame, Closed, GatewayUrl, Limits, Message};

use crate::stream::BoxedStream;
use crate::watched::Watched;

/// The least room for outgoing bytes. One message and a pong at a time are given to tungstenite.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

pub(crate) struct Socket {
    stream: WebSocketStream<Watched>,
    config: WebSocketConfig,
    /// For what must not be told of it.
    url: GatewayUrl,
    /// Messages that tungstenite has not been given yet.
    queue: VecDeque<WireMessage>,
    /// A close frame is among what was sent.
    closing: bool,
    /// Something was given to tungstenite and may not be on the wire yet.
    unflushed: bool,
    /// A message was given out since the stream was last found empty.
    delivered: bool,
    /// Bytes have come that make no message; whether one is under way.
    progress: Option<bool>,
    /// Why writing has failed. What the server said before is read all the same.
    write_failure: Option<Closed>,
}

/// What came out of a socket.
pub(crate) enum Received {
    Message(Message),
    /// The last word: the socket is to be dropped.
    Closed(Closed),
}

impl Socket {
    /// Takes over a stream after the upgrade. `head` was read behind the answer.
    pub(crate) async fn new(
        stream: BoxedStream,
        head: Vec<u8>,
        limits: &Limits,
        read_buffer_bytes: usize,
        url: GatewayUrl,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES.max(limits.payload_bytes.saturating_mul(2)))
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let stream = Watched::new(stream, head);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        Self {
            stream,
            config,
            url,
            queue: VecDeque::new(),
            closing: false,
            unflushed: false,
            delivered: false,
            progress: None,
            write_failure: None,
        }
    }

    /// Puts a message at the end of what is to be sent.
    pub(crate) fn send(&mut self, message: Message) {
        let (kind, payload) = match message {
            Message::Text(payload) => (Data::Text, payload),
            Message::Binary(payload) => (Data::Binary, payload),
        };
        self.queue.push_back(WireMessage::Frame(Frame::message(payload, OpCode::Data(kind), true)));
    }

    /// Puts a close frame at the end of what is to be sent, unless one has been put there.
    pub(crate) fn close(&mut self, frame: CloseFrame) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        let reason = match frame.reason {
            std::borrow::Cow::Borrowed(text) => Utf8Bytes::from_static(text),
            std::borrow::Cow::Owned(text) => text.into(),
        };
        self.queue.push_back(WireMessage::Close(Some(WireCloseFrame { code: frame.code.into(), reason })));
    }

    /// Writes as much as goes without waiting, and asks to be woken when more can go.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) {
        if self.write_failure.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.try_write(context) {
            self.queue.clear();
            self.write_failure = Some(self.closed_by(error));
        }
    }

    fn try_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.queue.is_empty() {
            std::task::ready!(stream.as_mut().poll_ready(context))?;
            if let Some(message) = self.queue.pop_front() {
                self.unflushed = true;
                stream.as_mut().start_send(message)?;
            }
        }
        if self.unflushed {
            std::task::ready!(stream.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether bytes have come, since this was last asked, that make no message; and if so, whether one is under way.
    pub(crate) fn take_progress(&mut self) -> Option<bool> {
        self.progress.take()
    }

    /// Reads the next message. Answers pings and close frames on the way.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            let closed = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(Some(Ok(WireMessage::Text(text)))) => {
                    return Poll::Ready(self.message(Message::Text(Bytes::from(text)), context));
                }
                Poll::Ready(Some(Ok(WireMessage::Binary(bytes)))) => {
                    return Poll::Ready(self.message(Message::Binary(bytes), context));
                }
                Poll::Ready(Some(Ok(WireMessage::Close(_)))) => {
                    // The answer waits within tungstenite. It goes out if it can; nobody waits for that.
                    let _ = Pin::new(&mut self.stream).poll_flush(context);
                    self.stream.get_ref().frames().closed().unwrap_or(Closed::Eof)
                }
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => self.failed_to_read(error),
                Poll::Ready(None) => Closed::Eof,
                Poll::Pending => match self.write_failure.take() {
                    Some(failure) => failure,
                    None => {
                        self.note_progress();
                        return Poll::Pending;
                    }
                },
            };
            return Poll::Ready(Received::Closed(closed));
        }
    }

    fn message(&mut self, message: Message, context: &mut Context<'_>) -> Received {
        self.delivered = true;
        if self.stream.get_ref().frames().is_behind_large()
            && let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_flush(context)
        {
            self.give_back_buffers(context);
        }
        Received::Message(message)
    }

    /// tungstenite keeps the buffers that a large message made grow. It has nothing in them now, in either direction, so
    /// another one can take its place.
    fn give_back_buffers(&mut self, context: &mut Context<'_>) {
        let stream = std::mem::take(self.stream.get_mut());
        let fresh = pin!(WebSocketStream::from_raw_socket(stream, Role::Client, Some(self.config)));
        // It does not wait for anything. If it did, reading would fail, and the shard resume.
        if let Poll::Ready(fresh) = fresh.poll(context) {
            self.stream = fresh;
        }
    }

    fn note_progress(&mut self) {
        let under_way = self.stream.get_ref().frames().is_message_under_way();
        let delivered = std::mem::take(&mut self.delivered);
        // A message says by itself that something has come.
        if self.stream.get_mut().take_received() && (under_way || !delivered) {
            self.progress = Some(under_way);
        }
    }

    /// What an error in reading means. A server that broke the rules is told so, as far as that goes without waiting.
    fn failed_to_read(&mut self, error: Error) -> Closed {
        match failure(&error, self.stream.get_ref().frames()) {
            Some(failure) => {
                self.close(failure.close);
                failure.closed
            }
            None => self.closed_by(error),
        }
    }

    /// Takes leave: writes what goes without waiting, and says goodbye in TLS if that is spoken.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>) {
        self.poll_write(context);
        let _ = Pin::new(self.stream.get_mut()).poll_close(context);
    }

    /// What an error means. Its own text may hold a payload or a host, so it is never passed on.
    fn closed_by(&self, error: Error) -> Closed {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Closed::Eof,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Eof,
            // What TLS says when the peer leaves without close_notify.
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Closed::Eof,
            Error::Io(error) => Closed::Failed(self.url.redact(&error.to_string())),
            Error::WriteBufferFull(_) => Closed::Failed("the write buffer is full".to_owned()),
            _ => Closed::Failed("the WebSocket failed".to_owned()),
        }
    }
}
