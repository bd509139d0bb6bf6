//! Where inflated messages are written: a shared block that they are cut from, so that small ones cost no allocation.

use bytes::{Bytes, BytesMut};
use std::cell::Cell;

/// The size of a block. A kept message keeps its block, so it is not large.
const BLOCK: usize = 32 << 10;

/// Less room than this at the end of a block is not worth starting a message in.
const WORTHWHILE: usize = 1 << 10;

/// A piece of memory whose beginning is the message being written and whose rest is room.
#[derive(Default)]
pub(super) struct Block {
    bytes: BytesMut,
    filled: usize,
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
        &self.bytes[..self.filled]
    }

    /// The room behind the message, never empty; grows up to one byte more than `limit`, so that an output beyond
    /// the limit shows. `None` when there is no more room within it.
    pub(super) fn room(&mut self, limit: usize) -> Option<&mut [u8]> {
        if self.filled > limit {
            return None;
        }
        let starts_anew = self.filled == 0 && self.bytes.len() < WORTHWHILE;
        if starts_anew || self.filled == self.bytes.len() {
            let size = (self.filled * 2).max(BLOCK).min(limit.saturating_add(1));
            let mut larger = BytesMut::zeroed(size);
            larger[..self.filled].copy_from_slice(self.filled());
            self.bytes = larger;
        }
        Some(&mut self.bytes[self.filled..])
    }

    /// Says that so many bytes of the room were written.
    pub(super) fn advance(&mut self, written: usize) {
        self.filled += written;
    }

    /// Cuts the message out.
    pub(super) fn take(&mut self) -> Bytes {
        let message = self.bytes.split_to(self.filled).freeze();
        if self.filled > BLOCK {
            // The block grew for this message: it goes when the message does.
            self.bytes = BytesMut::new();
        }
        self.filled = 0;
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(block: &mut Block, mut message: &[u8]) -> Bytes {
        while !message.is_empty() {
            let room = block.room(usize::MAX).unwrap();
            let length = room.len().min(message.len());
            room[..length].copy_from_slice(&message[..length]);
            message = &message[length..];
            block.advance(length);
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
    fn a_huge_message_leaves_nothing_behind() {
        let mut block = Block::default();
        let huge = vec![7; 5 << 20];
        assert_eq!(write(&mut block, &huge), huge);
        assert_eq!(block.bytes.capacity(), 0);
    }

    #[test]
    fn room_ends_one_past_the_limit() {
        let mut block = Block::default();
        assert_eq!(block.room(10).map(|room| room.len()), Some(11));
        block.advance(10);
        assert_eq!(block.room(10).map(|room| room.len()), Some(1));
        block.advance(1);
        assert!(block.room(10).is_none());
    }
}
