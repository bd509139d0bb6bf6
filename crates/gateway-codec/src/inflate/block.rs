//! Where inflated messages are written, and the block that they are cut from, so that small ones cost no allocation.

use bytes::{Bytes, BytesMut};
use std::cell::Cell;

/// The size of a block. A kept message keeps its block, so it is not large.
const BLOCK: usize = 32 << 10;

/// A message of this size has memory of its own.
const LARGE: usize = BLOCK / 4;

/// The message being written, and a block for messages that are done.
#[derive(Default)]
pub(super) struct Block {
    message: Vec<u8>,
    block: BytesMut,
}

thread_local! {
    /// Between two messages the block belongs to nobody: one serves all inflaters of a thread, so that an idle connection
    /// holds none, and the memory that many connections write to stays in the processor's cache.
    static SHARED: Cell<Block> = Cell::default();
}

impl Block {
    /// The block of this thread, to begin a message in.
    pub(super) fn shared() -> Self {
        SHARED.take()
    }

    /// Gives the block back to the thread, once nothing of a message is left in it.
    pub(super) fn share(self) {
        SHARED.set(self);
    }

    /// The message so far.
    pub(super) fn filled(&self) -> &[u8] {
        &self.message
    }

    /// The message so far, with capacity behind it, up to one byte more than `limit`, so that an output beyond the limit
    /// shows. `None` when there is no more room within it.
    pub(super) fn room(&mut self, limit: usize) -> Option<&mut Vec<u8>> {
        let filled = self.message.len();
        if filled > limit {
            return None;
        }
        if filled == self.message.capacity() {
            let size = (filled * 2).max(BLOCK).min(limit.saturating_add(1));
            self.message.reserve_exact(size - filled);
        }
        Some(&mut self.message)
    }

    /// Takes the message out.
    pub(super) fn take(&mut self) -> Bytes {
        if self.message.len() > LARGE {
            return Bytes::from(std::mem::take(&mut self.message).into_boxed_slice());
        }
        if self.block.capacity() < self.message.len() && !self.block.try_reclaim(BLOCK) {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(&self.message);
        self.message.clear();
        self.block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(block: &mut Block, mut message: &[u8]) -> Bytes {
        while !message.is_empty() {
            let room = block.room(usize::MAX).unwrap();
            let length = (room.capacity() - room.len()).min(message.len());
            room.extend_from_slice(&message[..length]);
            message = &message[length..];
        }
        block.take()
    }

    #[test]
    fn small_messages_share_a_block() {
        let mut block = Block::default();
        let first = write(&mut block, b"one");
        let second = write(&mut block, b"two");
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
    }

    #[test]
    fn a_block_is_written_anew_once_nobody_keeps_a_message_of_it() {
        let mut block = Block::default();
        let message = vec![7; LARGE];
        let first = write(&mut block, &message).as_ptr();
        for _ in 1..BLOCK / LARGE {
            write(&mut block, &message);
        }
        assert_eq!(write(&mut block, &message).as_ptr(), first);
        let kept = write(&mut block, b"kept");
        for _ in 0..BLOCK / LARGE {
            write(&mut block, &message);
        }
        assert_eq!(kept, b"kept"[..]);
    }

    #[test]
    fn a_large_message_leaves_nothing_behind() {
        let mut block = Block::default();
        let huge = vec![7; 5 << 20];
        assert_eq!(write(&mut block, &huge), huge);
        assert_eq!(block.message.capacity() + block.block.capacity(), 0);
    }

    #[test]
    fn room_ends_one_past_the_limit() {
        let mut block = Block::default();
        assert_eq!(block.room(10).map(|room| room.capacity()), Some(11));
        block.room(10).unwrap().extend([0; 10]);
        assert_eq!(block.room(10).map(|room| room.capacity() - room.len()), Some(1));
        block.room(10).unwrap().push(0);
        assert!(block.room(10).is_none());
    }
}
