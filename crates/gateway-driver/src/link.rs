//! An open byte stream: reads ahead, writes the state machine's bytes, and reports how the stream ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::AsyncWrite as _;
use gateway_proto::raw::{Connection, Input};

use crate::read_ahead::ReadAhead;
use crate::stream::BoxedStream;

/// The byte stream under one connection.
pub(crate) struct Link {
    stream: BoxedStream,
    /// Bytes that were read and that the state machine has not taken.
    ahead: ReadAhead,
    /// Whether the stream may hold back written bytes, as TLS does.
    unflushed: bool,
    /// The error of a failed write. Reading continues, since the server may have sent a close code before.
    write_error: Option<io::Error>,
}

impl Link {
    pub(crate) fn new(stream: BoxedStream) -> Self {
        Self { stream, ahead: ReadAhead::default(), unflushed: false, write_error: None }
    }

    /// Whether there are bytes that the state machine has not taken.
    pub(crate) fn has_unread(&self) -> bool {
        !self.ahead.bytes().is_empty()
    }

    /// Passes read bytes to the connection, as many as it takes.
    pub(crate) fn hand_over(&mut self, connection: &mut Connection, now: Instant) {
        let mut bytes = self.ahead.bytes();
        let unread = bytes.len();
        connection.handle_bytes(&mut bytes, now);
        let taken = unread - bytes.len();
        self.ahead.consume(taken);
    }

    /// Reads once, after everything is consumed. `None` if bytes were read; `Some` if the stream has ended.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Input>> {
        match self.ahead.poll_fill(&mut self.stream, context) {
            Poll::Ready(Ok(0)) => Poll::Ready(Some(Input::EndOfStream)),
            Poll::Ready(Ok(_)) => Poll::Ready(None),
            Poll::Ready(Err(error)) => Poll::Ready(Some(end_of(&error))),
            Poll::Pending => match self.write_error.take() {
                Some(error) => Poll::Ready(Some(end_of(&error))),
                None => Poll::Pending,
            },
        }
    }

    /// Writes the connection's bytes, as many as possible without blocking. The task is woken when more can be written.
    pub(crate) fn write(&mut self, connection: &mut Connection, context: &mut Context<'_>) {
        if connection.transmit().is_empty() && !self.unflushed {
            return;
        }
        if self.write_error.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(connection, context)
        {
            self.write_error = Some(error);
        }
        if self.write_error.is_some() {
            connection.transmitted(usize::MAX);
            self.unflushed = false;
        }
    }

    fn poll_write(&mut self, connection: &mut Connection, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !connection.transmit().is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, connection.transmit()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => connection.transmitted(count),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Starts to close the stream, which sends close_notify if it uses TLS. Does nothing that would block.
    pub(crate) fn close(mut self, context: &mut Context<'_>) {
        let _ = Pin::new(&mut self.stream).poll_close(context);
    }
}

/// The input for an I/O error.
fn end_of(error: &io::Error) -> Input {
    match error.kind() {
        // TLS has ended without close_notify.
        io::ErrorKind::UnexpectedEof => Input::EndOfStream,
        _ => Input::Failed(error.to_string()),
    }
}
