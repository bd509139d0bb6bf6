//! Lower bound: the inflate alone, into allocated memory; without compression a copy.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use gateway_codec::Compression;
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::{Contender, Job, Tally};
use crate::mode::Mode;

/// The length of the header of a zlib stream: RFC 1950, section 2.2.
const ZLIB_HEADER: usize = 2;
/// Larger than any message of the traffic.
const LARGEST: usize = 16 << 20;

pub(super) fn contender(job: Job, mode: Mode) -> Option<Box<dyn Contender>> {
    match job {
        Job::Envelope | Job::Machine => Some(Box::new(Bound::new(mode)?)),
        Job::SmallBot | Job::Typed => None,
    }
}

thread_local! {
    /// The output buffer, shared by all of them.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGEST]);
}

/// The inflate or the copy.
pub(crate) struct Bound(Inflate);

enum Inflate {
    Copy,
    /// The raw inflate state, which computes no checksum, and whether the header was skipped.
    Zlib(Decompress, bool),
    Zstd(DCtx<'static>),
}

impl Bound {
    /// The bound before the first message. `None` for payload compression.
    pub(crate) fn new(mode: Mode) -> Option<Self> {
        let inflate = match mode.compression {
            Compression::None => Inflate::Copy,
            Compression::ZlibStream => Inflate::Zlib(Decompress::new(false), false),
            Compression::ZstdStream => Inflate::Zstd(DCtx::create()),
            _ => return None,
        };
        Some(Self(inflate))
    }

    /// Takes a message.
    pub(crate) fn message(&mut self, frame: &[u8]) -> Result<(), String> {
        BUFFER.with_borrow_mut(|buffer| {
            match &mut self.0 {
                Inflate::Copy => buffer[..frame.len()].copy_from_slice(frame),
                Inflate::Zlib(inflate, begun) => {
                    let header = if std::mem::replace(begun, true) { 0 } else { ZLIB_HEADER };
                    let compressed = frame.get(header..).ok_or("no header")?;
                    let result = inflate.decompress(compressed, buffer, FlushDecompress::Sync);
                    result.map_err(|error| error.to_string())?;
                }
                Inflate::Zstd(inflate) => {
                    let mut input = InBuffer::around(frame);
                    let mut output = OutBuffer::around(&mut buffer[..]);
                    while input.pos() < frame.len() {
                        let result = inflate.decompress_stream(&mut output, &mut input);
                        result.map_err(|code| get_error_name(code).to_owned())?;
                    }
                }
            }
            std::hint::black_box(buffer);
            Ok(())
        })
    }
}

impl Contender for Bound {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        tally.messages += 1;
        self.message(&frame)
    }
}
