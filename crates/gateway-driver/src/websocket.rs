//! An open WebSocket: messages out in order without blocking, messages in, and every error given its type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Bytes, Error, Message as WireMessage};
use futures_core::Stream;
use futures_io::AsyncWrite as _;
use futures_sink::Sink;
use gateway_proto::websocket::{Failure, Part, close_frame, control_config, failure};
use gateway_proto::{CloseFrame, Closed, GatewayUrl, Limits, Message};

use crate::budget::Budget;
use crate::stream::BoxedStream;
use crate::wire::{Taken, Wire};

pub(crate) struct Socket {
    /// Answers pings and close frames. Messages go past it.
    stream: WebSocketStream<Wire>,
    /// For what must not be told of it.
    url: GatewayUrl,
    /// The close frame that tungstenite has not been given yet.
    goodbye: Option<CloseFrame>,
    /// A close frame is the last that is to be sent.
    closing: bool,
    /// Something may not be on the wire yet.
    unflushed: bool,
    /// What was taken out of the stream and is no message.
    next: Option<Part>,
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
    pub(crate) async fn new(stream: BoxedStream, head: Vec<u8>, limits: &Limits, url: GatewayUrl) -> Self {
        let wire = Wire::new(stream, head, limits.message_bytes);
        let stream = WebSocketStream::from_raw_socket(wire, Role::Client, Some(control_config())).await;
        Self {
            stream,
            url,
            goodbye: None,
            closing: false,
            unflushed: false,
            next: None,
            delivered: false,
            progress: None,
            write_failure: None,
        }
    }

    /// Puts a message at the end of what is to be sent. Nothing comes after a close frame.
    pub(crate) fn send(&mut self, message: Message) {
        if !self.closing && self.write_failure.is_none() {
            self.stream.get_mut().push(message);
            self.unflushed = true;
        }
    }

    /// Puts a close frame at the end of what is to be sent, unless one has been put there.
    pub(crate) fn close(&mut self, frame: CloseFrame) {
        if !std::mem::replace(&mut self.closing, true) {
            self.goodbye = Some(frame);
        }
    }

    /// Writes as much as goes without waiting, and asks to be woken when more can go.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) {
        if self.write_failure.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.try_write(context) {
            self.write_failure = Some(self.closed_by(error));
        }
    }

    fn try_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut stream = Pin::new(&mut self.stream);
        if self.goodbye.is_some() {
            ready!(stream.as_mut().poll_ready(context))?;
            self.unflushed = true;
            stream.as_mut().start_send(WireMessage::Close(self.goodbye.take().map(close_frame)))?;
        }
        if self.unflushed {
            ready!(stream.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether bytes have come, since this was last asked, that make no message; and if so, whether one is under way.
    pub(crate) fn take_progress(&mut self) -> Option<bool> {
        self.progress.take()
    }

    /// The next message, if it was read already and nothing waits to be written: neither waits nor wakes anybody.
    pub(crate) fn take_ahead(&mut self) -> Option<Message> {
        if self.unflushed || self.goodbye.is_some() || self.next.is_some() {
            return None;
        }
        match self.stream.get_mut().take_part()? {
            Part::Message(message) => {
                self.delivered = true;
                Some(message)
            }
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    /// Reads the next message. Answers pings and close frames on the way.
    ///
    /// A step of the budget for each read and each frame: a server that sends nothing but pings, or a message in countless
    /// fragments, must not keep the thread.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, budget: &mut Budget) -> Poll<Received> {
        loop {
            if budget.poll_step(context).is_pending() {
                self.note_progress();
                return Poll::Pending;
            }
            let part = match self.next.take() {
                Some(part) => Poll::Ready(Ok(Taken::Part(part))),
                None => self.stream.get_mut().poll_part(context),
            };
            let closed = match part {
                Poll::Ready(Ok(Taken::Bytes)) => None,
                Poll::Ready(Ok(Taken::Part(Part::Message(message)))) => {
                    self.delivered = true;
                    return Poll::Ready(Received::Message(message));
                }
                Poll::Ready(Ok(Taken::Part(Part::Control(frame)))) => self.answer(frame, context),
                Poll::Ready(Ok(Taken::Part(Part::Failed(failure)))) => Some(self.fail(failure)),
                Poll::Ready(Ok(Taken::End)) => Some(Closed::Eof),
                Poll::Ready(Err(error)) => Some(self.failed_by(&error)),
                Poll::Pending => match self.write_failure.take() {
                    Some(failure) => Some(failure),
                    None => {
                        self.note_progress();
                        return Poll::Pending;
                    }
                },
            };
            if let Some(closed) = closed {
                return Poll::Ready(Received::Closed(closed));
            }
        }
    }

    /// Answers a control frame, if it is one to answer. After a close frame the connection is over.
    fn answer(&mut self, frame: Bytes, context: &mut Context<'_>) -> Option<Closed> {
        self.stream.get_mut().set_control(frame);
        let closed = match Pin::new(&mut self.stream).poll_next(context) {
            Poll::Ready(Some(Ok(WireMessage::Close(_)))) => {
                Some(self.stream.get_ref().frames().closed().unwrap_or(Closed::Eof))
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => None,
            // A server that broke the rules is told so, as far as that goes without waiting.
            Poll::Ready(Some(Err(error))) => Some(match failure(&error, self.stream.get_ref().frames()) {
                Some(failure) => self.fail(failure),
                None => self.closed_by(error),
            }),
            Poll::Ready(None) => Some(Closed::Eof),
        };
        // The answer waits within tungstenite, and goes out with the next write if it cannot now.
        self.unflushed = true;
        self.poll_write(context);
        closed
    }

    fn fail(&mut self, failure: Failure) -> Closed {
        self.close(failure.close);
        failure.closed
    }

    fn note_progress(&mut self) {
        let under_way = self.stream.get_ref().frames().is_message_under_way();
        let delivered = std::mem::take(&mut self.delivered);
        // A message says by itself that something has come.
        if self.stream.get_mut().take_received() && (under_way || !delivered) {
            self.progress = Some(under_way);
        }
    }

    /// Takes leave: writes what goes without waiting, and says goodbye in TLS if that is spoken.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>) {
        self.poll_write(context);
        let _ = Pin::new(self.stream.get_mut()).poll_close(context);
    }

    /// What an error means. Its own text may hold a host, so it is never passed on as it is.
    fn closed_by(&self, error: Error) -> Closed {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Closed::Eof,
            Error::Io(error) => self.failed_by(&error),
            Error::WriteBufferFull(_) => Closed::Failed("the write buffer is full".to_owned()),
            _ => Closed::Failed("the WebSocket failed".to_owned()),
        }
    }

    fn failed_by(&self, error: &io::Error) -> Closed {
        match error.kind() {
            // What TLS says when the peer leaves without close_notify.
            io::ErrorKind::UnexpectedEof => Closed::Eof,
            _ => Closed::Failed(self.url.redact(&error.to_string())),
        }
    }
}
