//! The zlib side: the endless stream of a connection, and streams that are whole.

use super::output::Output;
use super::{InflateError, MessageEnd};
use flate2::{Decompress, FlushDecompress, Status};

/// What a sync flush leaves at the end of the compressed data.
const MARKER: [u8; 4] = [0, 0, 0xff, 0xff];

/// The stream of one connection, which never ends.
pub(super) struct ZlibContext {
    inflate: Decompress,
    /// The last bytes of the message so far: the marker may be split over frames.
    tail: [u8; 4],
}

impl Default for ZlibContext {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), tail: [!0; 4] }
    }
}

impl ZlibContext {
    pub(super) fn inflate(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        limit: usize,
    ) -> Result<MessageEnd, InflateError> {
        if run(&mut self.inflate, frame, output, limit)? {
            return Err(InflateError::Corrupt { reason: "the zlib stream of the connection ended" });
        }
        match frame.last_chunk() {
            Some(tail) => self.tail = *tail,
            None => {
                self.tail.rotate_left(frame.len());
                self.tail[MARKER.len() - frame.len()..].copy_from_slice(frame);
            }
        }
        Ok(if self.tail == MARKER { MessageEnd::Perhaps } else { MessageEnd::Later })
    }

    pub(super) fn message_ended(&mut self) {
        self.tail = [!0; 4];
    }

    pub(super) fn reset(&mut self) {
        self.inflate.reset(true);
        self.message_ended();
    }
}

/// Inflates until the input is used up and all that came of it is out; says whether the stream ended.
pub(super) fn run(
    inflate: &mut Decompress,
    mut input: &[u8],
    output: &mut Output,
    limit: usize,
) -> Result<bool, InflateError> {
    loop {
        let room = output.room(limit).ok_or(InflateError::TooLarge { limit })?;
        let (room_before, filled_before) = (room.capacity() - room.len(), room.len());
        let in_before = inflate.total_in();
        let status = inflate
            .decompress_vec(input, room, FlushDecompress::Sync)
            .map_err(|_| InflateError::Corrupt { reason: "not a deflate stream" })?;
        let used = (inflate.total_in() - in_before) as usize;
        let written = room.len() - filled_before;
        input = &input[used..];
        if output.filled().len() > limit {
            return Err(InflateError::TooLarge { limit });
        }
        match status {
            Status::StreamEnd => return Ok(true),
            // Room left and input used up: nothing is held back.
            Status::Ok | Status::BufError if input.is_empty() && written < room_before => return Ok(false),
            Status::Ok | Status::BufError if used == 0 && written == 0 => {
                return Err(InflateError::Corrupt { reason: "the stream makes no progress" });
            }
            Status::Ok | Status::BufError => {}
        }
    }
}
