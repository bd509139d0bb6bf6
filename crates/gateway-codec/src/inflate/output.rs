//! The buffer that a message is inflated into.

use crate::block::copy_to_block;
use bytes::Bytes;
use std::cell::Cell;

/// The first capacity, in bytes.
const FIRST: usize = 32 << 10;
/// The second capacity, in bytes. A large allocation goes back to the system as a whole, and its unwritten pages cost nothing.
const SECOND: usize = 1 << 20;

/// The message being written.
#[derive(Default)]
pub(super) struct Output {
    message: Vec<u8>,
}

thread_local! {
    /// The buffer between two messages: all inflaters of a thread share it, so an idle connection holds none.
    static SHARED: Cell<Output> = Cell::default();
}

impl Output {
    /// Takes the buffer of this thread, to begin a message in.
    pub(super) fn shared() -> Self {
        SHARED.take()
    }

    /// Returns an empty buffer to the thread.
    pub(super) fn share(self) {
        SHARED.set(self);
    }

    /// The message so far.
    pub(super) fn filled(&self) -> &[u8] {
        &self.message
    }

    /// The message so far, with free capacity up to one byte more than `limit`, so that an output beyond the limit is
    /// noticed. `None` if that capacity is used up, or there is no memory.
    pub(super) fn room(&mut self, limit: usize) -> Option<&mut Vec<u8>> {
        let filled = self.message.len();
        if filled > limit {
            return None;
        }
        if filled == self.message.capacity() {
            // A limit may have made the first capacity smaller.
            let size = if filled < FIRST { FIRST } else { filled.saturating_mul(2).max(SECOND) };
            let more = size.min(limit.saturating_add(1)).saturating_sub(filled);
            self.message.try_reserve_exact(more).ok()?;
        }
        Some(&mut self.message)
    }

    /// Takes the message out.
    pub(super) fn take(&mut self) -> Bytes {
        if self.message.capacity() > FIRST {
            return Bytes::from(std::mem::take(&mut self.message).into_boxed_slice());
        }
        let message = copy_to_block(&self.message);
        self.message.clear();
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(output: &mut Output, mut message: &[u8]) -> Bytes {
        while !message.is_empty() {
            let room = output.room(usize::MAX).unwrap();
            let length = (room.capacity() - room.len()).min(message.len());
            room.extend_from_slice(&message[..length]);
            message = &message[length..];
        }
        output.take()
    }

    #[test]
    fn messages_come_out_one_by_one() {
        let mut output = Output::default();
        let first = write(&mut output, b"one");
        let second = write(&mut output, b"two");
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
    }

    #[test]
    fn a_large_message_leaves_nothing_behind() {
        let mut output = Output::default();
        let huge = vec![7; 5 << 20];
        assert_eq!(write(&mut output, &huge), huge);
        assert_eq!(output.message.capacity(), 0);
    }

    /// The memory is the thread's: the next message may find a larger capacity.
    #[test]
    fn room_that_a_limit_has_made_small_grows_to_the_first() {
        let mut output = Output::default();
        output.room(10).unwrap().extend([0; 11]);
        assert_eq!(output.room(usize::MAX).map(|room| room.capacity()), Some(FIRST));
    }

    #[test]
    fn room_ends_one_past_the_limit() {
        let mut output = Output::default();
        assert_eq!(output.room(10).map(|room| room.capacity()), Some(11));
        output.room(10).unwrap().extend([0; 10]);
        assert_eq!(output.room(10).map(|room| room.capacity() - room.len()), Some(1));
        output.room(10).unwrap().push(0);
        assert!(output.room(10).is_none());
    }
}
