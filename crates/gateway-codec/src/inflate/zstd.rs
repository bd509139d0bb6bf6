//! zstd: the stream of a connection, as one endless frame or as a sequence of frames.

use super::output::Output;
use super::{InflateError, MessageEnd};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

/// The size of a block header. A decoder that asks for this many bytes is between two blocks.
const BLOCK_HEADER: usize = 3;

pub(super) struct ZstdContext {
    inflate: DCtx<'static>,
}

impl ZstdContext {
    pub(super) fn new(window_log_max: u32) -> Self {
        let mut context = Self { inflate: DCtx::create() };
        context.limit_window(window_log_max);
        context
    }

    pub(super) fn inflate(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        limit: usize,
    ) -> Result<MessageEnd, InflateError> {
        let wanted = self.run(frame, output, limit)?;
        // A message that ends inside a block is incomplete: the rest follows.
        Ok(if wanted == 0 || wanted == BLOCK_HEADER { MessageEnd::Here } else { MessageEnd::Later })
    }

    /// Inflates until the input is consumed and all of its output is written. Returns the number of bytes that the decoder
    /// needs next, zero at the end of a zstd frame.
    pub(super) fn run(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        limit: usize,
    ) -> Result<usize, InflateError> {
        let mut input = InBuffer::around(frame);
        loop {
            let room = output.room(limit).ok_or(InflateError::TooLarge { limit })?;
            let (room_before, filled_before) = (room.spare_capacity_mut().len(), room.len());
            let used_before = input.pos();
            let mut behind = OutBuffer::around_pos(room, filled_before);
            let wanted = self.inflate.decompress_stream(&mut behind, &mut input).map_err(|_| {
                InflateError::Corrupt { reason: "not a zstd stream, or its window is too large" }
            })?;
            let written = behind.pos().saturating_sub(filled_before);
            if output.filled().len() > limit {
                return Err(InflateError::TooLarge { limit });
            }
            // At the end of a frame, another call would begin the next frame.
            let used_up = input.pos() == frame.len();
            if used_up && (wanted == 0 || written < room_before) {
                return Ok(wanted);
            }
            if input.pos() == used_before && written == 0 {
                return Err(InflateError::Corrupt { reason: "the stream makes no progress" });
            }
        }
    }

    pub(super) fn reset(&mut self, window_log_max: u32) {
        if self.inflate.reset(ResetDirective::SessionAndParameters).is_err() {
            self.inflate = DCtx::create();
        }
        self.limit_window(window_log_max);
    }

    fn limit_window(&mut self, window_log_max: u32) {
        // Only a value out of range fails, and this one is clamped.
        let _ = self.inflate.set_parameter(DParameter::WindowLogMax(window_log_max.clamp(10, 30)));
    }
}
