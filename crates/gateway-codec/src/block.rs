//! Blocks of memory for each thread, from which small messages are cut, so that they cost no allocation.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;

/// The size of a block. A kept message keeps its block, so it is not large.
const BLOCK: usize = 32 << 10;

/// A message of more than this has memory of its own.
const LARGE: usize = BLOCK / 4;

thread_local! {
    /// For all connections of a thread: one that is idle holds none, and what many connections write to stays in the
    /// processor's cache.
    static SHARED: RefCell<Blocks> = RefCell::default();
}

/// Two blocks: who keeps each message until it has the next leaves one of them free.
#[derive(Default)]
struct Blocks {
    current: BytesMut,
    other: BytesMut,
}

/// Copies a message, for most without an allocation: those of at most 8 KiB are cut from a block of 32 KiB, which lives until
/// the last of them is dropped.
///
/// ```
/// let message = gateway_codec::copy_to_block(b"{\"op\":11}");
/// assert_eq!(message, &b"{\"op\":11}"[..]);
/// ```
pub fn copy_to_block(message: &[u8]) -> Bytes {
    if message.len() > LARGE {
        return Bytes::copy_from_slice(message);
    }
    SHARED.with_borrow_mut(|blocks| {
        let block = blocks.with_room(message.len());
        block.extend_from_slice(message);
        block.split().freeze()
    })
}

impl Blocks {
    /// One with room for so many bytes: from its beginning if nobody keeps a message of it, since what was written last is in
    /// the processor's cache.
    fn with_room(&mut self, length: usize) -> &mut BytesMut {
        if self.current.try_reclaim(BLOCK) {
            return &mut self.current;
        }
        if self.other.try_reclaim(BLOCK) {
            std::mem::swap(&mut self.current, &mut self.other);
        } else if self.current.capacity() < length {
            self.other = std::mem::replace(&mut self.current, BytesMut::with_capacity(BLOCK));
        }
        &mut self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where there are no threads, all tests share one.
    fn as_on_a_thread_of_its_own() {
        SHARED.set(Blocks::default());
    }

    #[test]
    fn small_messages_share_a_block() {
        as_on_a_thread_of_its_own();
        let first = copy_to_block(b"one");
        let second = copy_to_block(b"two");
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
    }

    #[test]
    fn a_block_is_written_anew_once_nobody_keeps_a_message_of_it() {
        as_on_a_thread_of_its_own();
        let message = vec![7; LARGE];
        let first = copy_to_block(&message).as_ptr();
        assert_eq!(copy_to_block(&message).as_ptr(), first, "at once");
        let kept = copy_to_block(b"kept");
        for _ in 0..BLOCK / LARGE {
            let next = copy_to_block(&message);
            assert!(!next.as_ptr_range().contains(&kept.as_ptr()));
        }
        assert_eq!(kept, b"kept"[..]);
    }

    #[test]
    fn who_keeps_each_message_until_the_next_needs_two_blocks() {
        as_on_a_thread_of_its_own();
        let message = vec![7; LARGE / 2];
        let mut kept = copy_to_block(&message);
        let mut starts = std::collections::BTreeSet::new();
        for index in 0..1000 {
            let next = copy_to_block(&message);
            assert_ne!(next.as_ptr(), kept.as_ptr());
            kept = next;
            if index > 2 * BLOCK / message.len() {
                starts.insert(kept.as_ptr());
            }
        }
        assert_eq!((starts.len(), kept), (2, message.into()));
    }

    #[test]
    fn a_large_message_has_memory_of_its_own() {
        as_on_a_thread_of_its_own();
        let before = copy_to_block(b"before");
        let large = copy_to_block(&vec![7; LARGE + 1]);
        assert_eq!(large, vec![7; LARGE + 1]);
        assert_eq!(copy_to_block(b"after").as_ptr(), before.as_ptr_range().end);
    }
}
