//! Bytes that were read from a socket and not consumed yet.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;

/// The size of a read, in bytes: many small messages cost one system call, and wake the sender once. The buffer occupies
/// only as much memory as the largest read.
const LARGE: usize = 512 << 10;
/// The size of a read while another connection of the thread uses the large buffer, in bytes.
const SMALL: usize = 256 << 10;

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// The read buffer between two reads. All connections of a thread share it, so an idle connection has none.
///
/// A thread allocates one large buffer and never frees it: repeated allocation fragments the heap.
#[derive(Default)]
struct Spare {
    buffer: Option<Box<[u8]>>,
    /// Whether the large buffer was allocated.
    made: bool,
}

/// Bytes that were read and not consumed.
#[derive(Default)]
pub(crate) struct ReadAhead {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl ReadAhead {
    /// The unconsumed bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[self.start..self.end],
            None => &[],
        }
    }

    /// Reads, once everything is consumed. Returns the number of bytes; 0 at the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = SPARE.with_borrow_mut(Spare::take_buffer);
        let read = Pin::new(stream).poll_read(context, &mut buffer);
        if let Poll::Ready(Ok(count @ 1..)) = read {
            (self.buffer, self.start, self.end) = (Some(buffer), 0, count);
        } else {
            SPARE.with_borrow_mut(|spare| spare.keep(buffer));
        }
        read
    }

    /// Marks this many bytes as consumed.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end
            && let Some(buffer) = self.buffer.take()
        {
            SPARE.with_borrow_mut(|spare| spare.keep(buffer));
        }
    }
}

impl Spare {
    fn take_buffer(&mut self) -> Box<[u8]> {
        let size = if std::mem::replace(&mut self.made, true) { SMALL } else { LARGE };
        self.buffer.take().unwrap_or_else(|| vec![0; size].into())
    }

    /// Keeps the larger buffer.
    fn keep(&mut self, buffer: Box<[u8]>) {
        let kept = self.buffer.as_ref().map_or(0, |kept| kept.len());
        if buffer.len() > kept {
            self.buffer = Some(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A stream with this many bytes ready, then empty.
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

    /// Reads and consumes everything. Returns the size of each read.
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
        SPARE.with_borrow(|spare| spare.buffer.as_ref().map(|buffer| buffer.len()))
    }

    /// Runs a test on its own thread, since the buffer belongs to the thread.
    fn on_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn one_buffer_serves_all_readings() {
        on_a_thread(|| {
            assert_eq!(readings(&mut Ready(1000)), [1000]);
            assert_eq!(kept(), Some(LARGE));
            assert_eq!(readings(&mut Ready(2 * LARGE + 5)), [LARGE, LARGE, 5]);
            assert_eq!(kept(), Some(LARGE));
        });
    }

    #[test]
    fn a_read_while_the_buffer_is_in_use_has_its_own_buffer() {
        on_a_thread(|| {
            let mut context = Context::from_waker(Waker::noop());
            let mut both = [ReadAhead::default(), ReadAhead::default()];
            for (ahead, count) in both.iter_mut().zip([10, 20]) {
                assert!(ahead.poll_fill(&mut Ready(count), &mut context).is_ready());
            }
            assert_eq!(both.each_ref().map(|ahead| ahead.bytes().len()), [10, 20]);
            both[0].consume(10);
            both[1].consume(20);
            assert_eq!(kept(), Some(LARGE));
        });
    }

    #[test]
    fn a_thread_makes_one_large_buffer() {
        on_a_thread(|| {
            let mut many: [ReadAhead; 3] = Default::default();
            let read = |ahead: &mut ReadAhead| {
                let mut context = Context::from_waker(Waker::noop());
                assert!(ahead.poll_fill(&mut Ready(2 * LARGE), &mut context).is_ready());
                ahead.bytes().len()
            };
            for _ in 0..2 {
                assert_eq!(many.each_mut().map(read), [LARGE, SMALL, SMALL]);
                for ahead in &mut many {
                    ahead.consume(ahead.bytes().len());
                }
                assert_eq!(kept(), Some(LARGE));
            }
        });
    }
}
