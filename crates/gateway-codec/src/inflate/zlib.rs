//! The zlib side: the endless stream of a connection, and streams that are whole.

use super::output::Output;
use super::{InflateError, MessageEnd};
use flate2::{Decompress, FlushDecompress, Status};

/// What a sync flush leaves at the end of the compressed data.
const MARKER: [u8; 4] = [0, 0, 0xff, 0xff];

/// The stream of one connection, which never ends.
pub(super) struct ZlibContext {
    /// What follows the header. The checksum over it would come at the end, so it need not be computed.
    inflate: Decompress,
    /// The header, as far as it has come.
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
                self.tail.rotate_left(frame.len());
                self.tail[MARKER.len() - frame.len()..].copy_from_slice(frame);
            }
        }
        Ok(if self.tail == MARKER { MessageEnd::Perhaps } else { MessageEnd::Later })
    }

    /// Takes the header off the front of the stream, and checks it once it is whole: RFC 1950, section 2.2.
    fn take_header<'f>(&mut self, frame: &'f [u8]) -> Result<&'f [u8], InflateError> {
        let missing = &mut self.header[self.header_length..];
        if missing.is_empty() {
            return Ok(frame);
        }
        let (header, rest) = frame.split_at(missing.len().min(frame.len()));
        missing[..header.len()].copy_from_slice(header);
        self.header_length += header.len();
        let [method, flags] = self.header;
        let is_deflate = method & 0x0f == 8 && method >> 4 <= 7;
        let has_dictionary = flags & 0x20 != 0;
        let is_checked = u16::from_be_bytes(self.header).is_multiple_of(31);
        match self.header_length == self.header.len() && !(is_deflate && is_checked && !has_dictionary) {
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
