//! A block of memory for each thread, from which small messages are cut, so that they cost no allocation.

use bytes::{Bytes, BytesMut};
use std::cell::Cell;

/// The size of a block. A kept message keeps its block, so it is not large.
const BLOCK: usize = 32 << 10;

/// A message of more than this has memory of its own.
const LARGE: usize = BLOCK / 4;

thread_local! {
    /// One for all connections of a thread: one that is idle holds none, and what many connections write to stays in the
    /// processor's cache.
    static SHARED: Cell<BytesMut> = Cell::default();
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
    let mut block = SHARED.take();
    // From its beginning if nobody keeps a message of it: what was written last is in the processor's cache.
    if !block.try_reclaim(BLOCK) && block.capacity() < message.len() {
        block = BytesMut::with_capacity(BLOCK);
    }
    block.extend_from_slice(message);
    let copy = block.split().freeze();
    SHARED.set(block);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_share_a_block() {
        let first = copy_to_block(b"one");
        let second = copy_to_block(b"two");
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
    }

    #[test]
    fn a_block_is_written_anew_once_nobody_keeps_a_message_of_it() {
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
    fn a_large_message_has_memory_of_its_own() {
        let before = copy_to_block(b"before");
        let large = copy_to_block(&vec![7; LARGE + 1]);
        assert_eq!(large, vec![7; LARGE + 1]);
        assert_eq!(copy_to_block(b"after").as_ptr(), before.as_ptr_range().end);
    }
}
