//! Per-thread blocks of memory that small messages are cut from, so that a message costs no allocation.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;

/// The size of a block, in bytes. A message that is kept keeps its whole block alive, so the block is small.
const BLOCK: usize = 32 << 10;

/// A message of more bytes than this gets its own allocation.
const LARGE: usize = BLOCK / 4;

thread_local! {
    /// Shared by all connections of a thread, so that an idle connection holds no block, and the block in use stays in the
    /// processor's cache.
    static SHARED: RefCell<Blocks> = RefCell::default();
}

/// Two blocks, so that a caller that holds one message until the next arrives still leaves one reusable.
#[derive(Default)]
struct Blocks {
    current: BytesMut,
    other: BytesMut,
}

/// Copies a message. A message of at most 8 KiB is cut from a block of 32 KiB without an allocation of its own; the block
/// lives until the last message from it is dropped.
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
    /// A block with room for `length` bytes. A block without live messages is reused from its beginning: the bytes written
    /// last are in the processor's cache.
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

    /// On targets without threads, all tests share one set of blocks.
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
    fn a_block_is_reused_once_no_message_of_it_is_kept() {
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
