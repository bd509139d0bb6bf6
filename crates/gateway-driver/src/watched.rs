//! The byte stream under a WebSocket, with the frames on it followed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use gateway_proto::websocket::Frames;

use crate::stream::BoxedStream;

/// A stream that tungstenite reads through. It gives a close frame by itself, and nothing that breaks a rule which
/// tungstenite does not check: see [`Frames`].
pub(crate) struct Watched {
    stream: BoxedStream,
    frames: Frames,
    /// Read, and still to be handed on: what came behind the answer to the upgrade, and what stands behind a frame that is to
    /// be dealt with first.
    held: Vec<u8>,
    /// Something was handed on since [`Watched::take_received`].
    received: bool,
}

impl Watched {
    /// `head` was read from the stream already.
    pub(crate) fn new(stream: BoxedStream, head: Vec<u8>) -> Self {
        Self { stream, frames: Frames::default(), held: head, received: false }
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Whether any bytes have come since this was last asked.
    pub(crate) fn take_received(&mut self) -> bool {
        std::mem::take(&mut self.received)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let count = if this.held.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?
        } else {
            let count = this.held.len().min(buffer.len());
            buffer[..count].copy_from_slice(&this.held[..count]);
            this.held.drain(..count);
            count
        };
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        this.received = true;
        let admitted = this.frames.admit(&buffer[..count]);
        if admitted < count {
            this.held.splice(..0, buffer[admitted..count].iter().copied());
        }
        match admitted {
            // A violation; or nobody reads on after a close frame.
            0 => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            admitted => Poll::Ready(Ok(admitted)),
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
