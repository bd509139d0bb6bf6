//! What was read from a socket and is still to be dealt with.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;

/// How much is read at once: many small messages cost one system call, and wake the sender once. It fits the processor's
/// second cache.
const SIZE: usize = 256 << 10;

thread_local! {
    /// Between two readings the buffer belongs to nobody: one serves all connections of a thread, and one that is idle
    /// holds none.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Bytes that were read and not consumed.
#[derive(Default)]
pub(crate) struct ReadAhead {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl ReadAhead {
    /// Begins with bytes that were read already.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { buffer: (end > 0).then(|| bytes.into()), start: 0, end }
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[self.start..self.end],
            None => &[],
        }
    }

    /// Reads, once everything is consumed. Says how many bytes came; none at the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = SPARE.take().unwrap_or_else(|| vec![0; SIZE].into());
        let read = Pin::new(stream).poll_read(context, &mut buffer);
        if let Poll::Ready(Ok(count @ 1..)) = read {
            (self.buffer, self.start, self.end) = (Some(buffer), 0, count);
        } else {
            SPARE.set(Some(buffer));
        }
        read
    }

    /// Says that so many bytes are dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end
            && let Some(buffer) = self.buffer.take()
            && buffer.len() == SIZE
        {
            SPARE.set(Some(buffer));
        }
    }
}
