//! The messages of a connection, in an encoding and a compression.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use gateway_codec::{Compression, Deflater, Encoding, deflate_zlib};

use crate::corpus::Payload;
use crate::mode::Mode;

/// WebSocket messages in order, in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    bytes: Bytes,
    frames: Vec<Range<usize>>,
}

impl Frames {
    /// Encodes payloads in a mode, each in one message.
    pub fn encode(payloads: impl IntoIterator<Item = Payload>, mode: Mode) -> Self {
        let mut deflater = Deflater::new(mode.compression);
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        for payload in payloads {
            let written = match mode.encoding {
                Encoding::Json => payload.to_json(),
                Encoding::Etf => payload.to_etf(),
            };
            let start = bytes.len();
            match (&mut deflater, mode.compression) {
                (Some(deflater), _) => bytes.extend_from_slice(&deflater.push(&written)),
                (None, Compression::Payload) => bytes.extend_from_slice(&deflate_zlib(&written)),
                (None, _) => bytes.extend_from_slice(&written),
            }
            frames.push(start..bytes.len());
        }
        Self { bytes: bytes.into(), frames }
    }

    /// The messages, each a slice of the whole.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> {
        self.frames.iter().map(|range| self.bytes.slice(range.clone()))
    }

    /// The messages in groups of about `size` bytes, each group in its own memory.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = Vec<Bytes>> {
        let mut rest = self.frames.as_slice();
        std::iter::from_fn(move || {
            let start = rest.first()?.start;
            let count = rest.iter().take_while(|frame| frame.start < start + size).count();
            let (batch, behind) = rest.split_at(count);
            rest = behind;
            let copy = Bytes::copy_from_slice(&self.bytes[start..batch.last()?.end]);
            Some(batch.iter().map(|frame| copy.slice(frame.start - start..frame.end - start)).collect())
        })
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The bytes of all messages together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes them to a file: a length of four bytes, little-endian, before each message.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(fs::File::create(path)?);
        for frame in self.iter() {
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(&frame)?;
        }
        file.flush()
    }

    /// Reads a file of [`Frames::write`].
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or ends within a message.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = Bytes::from(fs::read(path)?);
        let (mut frames, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within a message");
            let length =
                bytes[at..].first_chunk().map(|length| u32::from_le_bytes(*length)).ok_or_else(cut)?;
            let range = at + 4..at + 4 + length as usize;
            if range.end > bytes.len() {
                return Err(cut());
            }
            at = range.end;
            frames.push(range);
        }
        Ok(Self { bytes, frames })
    }
}
