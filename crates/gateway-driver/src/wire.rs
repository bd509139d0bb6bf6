//! The byte stream under a WebSocket: messages go past tungstenite, control frames through it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_tungstenite::tungstenite::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use gateway_proto::Message;
use gateway_proto::websocket::{Frames, Part, write_message};

use crate::read_ahead::ReadAhead;
use crate::shard::entropy;
use crate::stream::BoxedStream;

/// With so many bytes waiting tungstenite has to wait too.
const ROOM: usize = 64 << 10;
/// A buffer of more than this is given back once it is empty.
const KEPT: usize = 4 << 10;

/// The stream, as tungstenite sees it: nothing but the control frame that it was given comes, and all that it writes goes out
/// with the messages.
pub(crate) struct Wire {
    stream: BoxedStream,
    frames: Frames,
    /// What was read and is still to be taken apart.
    ahead: ReadAhead,
    /// Bytes have come since [`Wire::take_received`].
    received: bool,
    /// The control frame that tungstenite reads next.
    control: Bytes,
    /// Whole frames, in the order in which they were written, and how much of them has gone out.
    outgoing: Vec<u8>,
    sent: usize,
}

/// What [`Wire::poll_part`] has found.
pub(crate) enum Taken {
    Part(Part),
    /// Bytes, not looked at yet.
    Bytes,
    /// The end of the stream.
    End,
}

impl Wire {
    /// `head` was read from the stream already.
    pub(crate) fn new(stream: BoxedStream, head: Vec<u8>, message_bytes: usize) -> Self {
        Self {
            stream,
            frames: Frames::new(message_bytes),
            ahead: ReadAhead::of(head),
            received: false,
            control: Bytes::new(),
            outgoing: Vec::new(),
            sent: 0,
        }
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Whether any bytes have come since this was last asked.
    pub(crate) fn take_received(&mut self) -> bool {
        std::mem::take(&mut self.received)
    }

    /// The next part, of what was read already. None: more must be read.
    pub(crate) fn take_part(&mut self) -> Option<Part> {
        let mut bytes = self.ahead.bytes();
        let before = bytes.len();
        if before == 0 {
            return None;
        }
        self.received = true;
        let part = self.frames.take(&mut bytes);
        let taken = before - bytes.len();
        self.ahead.consume(taken);
        part
    }

    /// The next part, or one read of the stream.
    pub(crate) fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Taken>> {
        if let Some(part) = self.take_part() {
            return Poll::Ready(Ok(Taken::Part(part)));
        }
        match ready!(self.ahead.poll_fill(&mut self.stream, context))? {
            0 => Poll::Ready(Ok(Taken::End)),
            _ => Poll::Ready(Ok(Taken::Bytes)),
        }
    }

    /// Gives tungstenite a control frame to read.
    pub(crate) fn set_control(&mut self, frame: Bytes) {
        self.control = frame;
    }

    /// Puts a message at the end of what is to be sent.
    pub(crate) fn push(&mut self, message: Message) {
        let [mask @ .., _, _, _, _] = entropy().to_le_bytes();
        write_message(message, mask, &mut self.outgoing);
    }

    /// Writes what there is.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.outgoing[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(KEPT);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.control.is_empty() {
            // Whoever gives it the next one asks it to read.
            return Poll::Pending;
        }
        let count = self.control.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.control.split_to(count));
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Wire {
    /// Takes all or nothing, so that a frame of tungstenite's stays in one piece.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.len() - self.sent >= ROOM {
            ready!(self.poll_drain(context))?;
        }
        self.outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
