//! The byte stream under a WebSocket, with the frames on it followed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use gateway_proto::websocket::Frames;

use crate::read_ahead::ReadAhead;
use crate::stream::BoxedStream;

/// A stream that tungstenite reads through. It gives a close frame by itself, and nothing that breaks a rule which
/// tungstenite does not check: see [`Frames`].
///
/// Its default stands for a stream that was taken away.
#[derive(Default)]
pub(crate) struct Watched {
    stream: Option<BoxedStream>,
    frames: Frames,
    /// Read, and still to be handed on: what came behind the answer to the upgrade, and what stands behind a frame that is to
    /// be dealt with first.
    ahead: ReadAhead,
    /// Something was handed on since [`Watched::take_received`].
    received: bool,
}

impl Watched {
    /// `head` was read from the stream already.
    pub(crate) fn new(stream: BoxedStream, head: Vec<u8>) -> Self {
        Self { stream: Some(stream), frames: Frames::default(), ahead: ReadAhead::of(head), received: false }
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    fn stream(&mut self) -> io::Result<Pin<&mut BoxedStream>> {
        self.stream.as_mut().map(Pin::new).ok_or(io::ErrorKind::NotConnected.into())
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
        let stream = this.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if this.ahead.bytes().is_empty() && ready!(this.ahead.poll_fill(stream, context))? == 0 {
            return Poll::Ready(Ok(0));
        }
        this.received = true;
        let bytes = this.ahead.bytes();
        let count = bytes.len().min(buffer.len());
        match this.frames.admit(&bytes[..count]) {
            // A violation; or nobody reads on after a close frame.
            0 => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            admitted => {
                buffer[..admitted].copy_from_slice(&bytes[..admitted]);
                this.ahead.consume(admitted);
                Poll::Ready(Ok(admitted))
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_close(context)
    }
}
