//! What was read from a socket and is still to be dealt with.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;

/// How much is read at once: many small messages cost one system call, and wake the sender once.
const SMALL: usize = 64 << 10;
/// The same where more lies ready, as in a replay or a stream of guilds.
const LARGE: usize = 1 << 20;
/// After so many readings in a row that a small buffer has room for, a large one is given back.
const CALM: u32 = 32;

thread_local! {
    static SPARE: Cell<Spare> = Cell::default();
}

/// Between two readings the buffer belongs to nobody: one serves all connections of a thread, and one that is idle holds none.
#[derive(Default)]
struct Spare {
    buffer: Option<Box<[u8]>>,
    /// A small buffer was filled.
    large: bool,
    /// Readings in a row that a small buffer has room for.
    calm: u32,
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
        let mut spare = SPARE.take();
        let mut buffer = spare.take_buffer();
        let read = Pin::new(stream).poll_read(context, &mut buffer);
        let count = if let Poll::Ready(Ok(count)) = read { count } else { 0 };
        spare.note(count, buffer.len());
        if count > 0 {
            (self.buffer, self.start, self.end) = (Some(buffer), 0, count);
        } else {
            spare.keep(buffer);
        }
        SPARE.set(spare);
        read
    }

    /// Says that so many bytes are dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end
            && let Some(buffer) = self.buffer.take()
        {
            let mut spare = SPARE.take();
            spare.keep(buffer);
            SPARE.set(spare);
        }
    }
}

impl Spare {
    fn size(&self) -> usize {
        if self.large { LARGE } else { SMALL }
    }

    fn take_buffer(&mut self) -> Box<[u8]> {
        self.buffer.take().unwrap_or_else(|| vec![0; self.size()].into())
    }

    /// Keeps a buffer of the size that is read now.
    fn keep(&mut self, buffer: Box<[u8]>) {
        if buffer.len() == self.size() {
            self.buffer = Some(buffer);
        }
    }

    /// Notes that a buffer of this size has got so many bytes.
    fn note(&mut self, count: usize, size: usize) {
        self.calm = if count > SMALL { 0 } else { self.calm.saturating_add(1) };
        let large = (self.large && self.calm < CALM) || count == size;
        if self.large != large {
            (self.large, self.buffer, self.calm) = (large, None, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Has so many bytes ready; none where it is empty.
    struct Ready(usize);

    impl AsyncRead for Ready {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let count = self.0.min(buffer.len());
            if count == 0 {
                return Poll::Pending;
            }
            self.0 -= count;
            buffer[..count].fill(7);
            Poll::Ready(Ok(count))
        }
    }

    /// Reads all of it and consumes it at once. The sizes of the readings.
    fn readings(stream: &mut Ready) -> Vec<usize> {
        let mut ahead = ReadAhead::default();
        let mut sizes = Vec::new();
        while let Poll::Ready(read) = ahead.poll_fill(stream, &mut Context::from_waker(Waker::noop())) {
            let count = read.unwrap();
            assert_eq!(ahead.bytes(), vec![7; count]);
            ahead.consume(count);
            assert!(ahead.bytes().is_empty());
            sizes.push(count);
        }
        sizes
    }

    fn kept() -> Option<usize> {
        let spare = SPARE.take();
        let kept = spare.buffer.as_ref().map(|buffer| buffer.len());
        SPARE.set(spare);
        kept
    }

    /// On a thread of its own, since the buffer belongs to the thread.
    fn on_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn more_is_read_at_once_where_more_lies_ready() {
        on_a_thread(|| {
            assert_eq!(readings(&mut Ready(1000)), [1000]);
            assert_eq!(kept(), Some(SMALL));
            assert_eq!(readings(&mut Ready(SMALL + LARGE + 5)), [SMALL, LARGE, 5]);
            assert_eq!(readings(&mut Ready(SMALL + 1)), [SMALL + 1]);
            assert_eq!(kept(), Some(LARGE));
        });
    }

    #[test]
    fn a_large_buffer_is_given_back_once_little_comes() {
        on_a_thread(|| {
            readings(&mut Ready(LARGE));
            assert_eq!(readings(&mut Ready(2 * SMALL)), [2 * SMALL]);
            let mut calm = 1;
            while kept() == Some(LARGE) {
                assert!(calm < CALM);
                calm += u32::try_from(readings(&mut Ready(SMALL)).len()).unwrap() + 1;
            }
            assert!(calm >= CALM);
            assert_eq!(readings(&mut Ready(SMALL + 1)), [SMALL, 1]);
        });
    }

    #[test]
    fn whoever_reads_while_the_buffer_is_in_use_has_one_of_its_own() {
        on_a_thread(|| {
            let mut context = Context::from_waker(Waker::noop());
            let mut both = [ReadAhead::default(), ReadAhead::of(vec![1, 2, 3])];
            both[1].consume(3);
            assert_eq!(kept(), None, "what was read elsewhere is not read into");
            for (ahead, count) in both.iter_mut().zip([10, 20]) {
                assert!(ahead.poll_fill(&mut Ready(count), &mut context).is_ready());
            }
            assert_eq!(both.each_ref().map(|ahead| ahead.bytes().len()), [10, 20]);
            both[0].consume(10);
            both[1].consume(20);
            assert_eq!(kept(), Some(SMALL));
        });
    }
}
