//! zlib: the endless stream of a connection, and whole streams.

use super::output::Output;
use super::{InflateError, MessageEnd, is_zlib};
use flate2::{Decompress, FlushDecompress, Status};

/// The end of the compressed data after a sync flush.
const MARKER: [u8; 4] = [0, 0, 0xff, 0xff];

/// The stream of one connection, which never ends.
pub(super) struct ZlibContext {
    /// Inflates the data after the header. The checksum would follow the end of the stream, so it is not computed.
    inflate: Decompress,
    /// The header, as far as it was received.
    header: [u8; 2],
    header_length: usize,
    /// The last bytes of the message so far: the marker may be split over frames.
    tail: [u8; 4],
}

impl Default for ZlibContext {
    fn default() -> Self {
        Self { inflate: Decompress::new(false), header: [0; 2], header_length: 0, tail: [!0; 4] }
    }
}

impl ZlibContext {
    pub(super) fn inflate(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        limit: usize,
    ) -> Result<MessageEnd, InflateError> {
        let compressed = self.take_header(frame)?;
        if run(&mut self.inflate, compressed, output, limit)? {
            return Err(InflateError::Corrupt { reason: "the zlib stream of the connection ended" });
        }
        match frame.last_chunk() {
            Some(tail) => self.tail = *tail,
            None => {
                // Shorter than the marker.
                self.tail.rotate_left(frame.len());
                let (_, end) = self.tail.split_at_mut(MARKER.len().saturating_sub(frame.len()));
                end.copy_from_slice(frame);
            }
        }
        Ok(if self.tail == MARKER { MessageEnd::Perhaps } else { MessageEnd::Later })
    }

    /// Removes the header from the front of the stream, and checks it once it is whole. A preset dictionary is rejected.
    fn take_header<'f>(&mut self, frame: &'f [u8]) -> Result<&'f [u8], InflateError> {
        let missing = &mut self.header[self.header_length..];
        if missing.is_empty() {
            return Ok(frame);
        }
        let (header, rest) = frame.split_at(missing.len().min(frame.len()));
        missing[..header.len()].copy_from_slice(header);
        self.header_length = self.header_length.saturating_add(header.len());
        let has_dictionary = self.header[1] & 0x20 != 0;
        match self.header_length == self.header.len() && (!is_zlib(&self.header) || has_dictionary) {
            true => Err(InflateError::Corrupt { reason: "not a zlib stream" }),
            false => Ok(rest),
        }
    }

    pub(super) fn message_ended(&mut self) {
        self.tail = [!0; 4];
    }

    pub(super) fn reset(&mut self) {
        self.inflate.reset(false);
        self.header_length = 0;
        self.message_ended();
    }
}

/// The input after `used` bytes. Empty if it has fewer.
pub(crate) fn after(input: &[u8], used: u64) -> &[u8] {
    usize::try_from(used).ok().and_then(|used| input.get(used..)).unwrap_or_default()
}

/// Inflates until the input is consumed and all of its output is written. Returns whether the stream ended.
pub(super) fn run(
    inflate: &mut Decompress,
    mut input: &[u8],
    output: &mut Output,
    limit: usize,
) -> Result<bool, InflateError> {
    loop {
        let room = output.room(limit).ok_or(InflateError::TooLarge { limit })?;
        let (room_before, filled_before) = (room.spare_capacity_mut().len(), room.len());
        let in_before = inflate.total_in();
        let status = inflate
            .decompress_vec(input, room, FlushDecompress::Sync)
            .map_err(|_| InflateError::Corrupt { reason: "not a deflate stream" })?;
        // A 64-bit count of all bytes that the connection has received.
        let used = inflate.total_in().saturating_sub(in_before);
        let written = room.len().saturating_sub(filled_before);
        input = after(input, used);
        if output.filled().len() > limit {
            return Err(InflateError::TooLarge { limit });
        }
        match status {
            Status::StreamEnd => return Ok(true),
            // With capacity left and the input consumed, no output is pending.
            Status::Ok | Status::BufError if input.is_empty() && written < room_before => return Ok(false),
            Status::Ok | Status::BufError if used == 0 && written == 0 => {
                return Err(InflateError::Corrupt { reason: "the stream makes no progress" });
            }
            Status::Ok | Status::BufError => {}
        }
    }
}
