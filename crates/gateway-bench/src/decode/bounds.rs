//! What nobody can beat: the inflate alone, into memory that is there; without compression a copy.

use flate2::{Decompress, FlushDecompress};
use gateway_codec::Compression;
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::{Job, Tally};
use crate::frames::{Frames, Mode};

pub(super) fn run(job: Job, mode: Mode, frames: &Frames) -> Option<Result<Tally, String>> {
    match (job, mode.compression) {
        (Job::Envelope, Compression::None) => Some(Ok(copy(frames))),
        (Job::Envelope, Compression::ZlibStream) => Some(zlib(frames)),
        (Job::Envelope, Compression::ZstdStream) => Some(zstd(frames)),
        _ => None,
    }
}

/// Larger than any message of the traffic.
fn buffer() -> Vec<u8> {
    vec![0; 4 << 20]
}

fn copy(frames: &Frames) -> Tally {
    let (mut tally, mut buffer) = (Tally::default(), buffer());
    for frame in frames.iter() {
        buffer[..frame.len()].copy_from_slice(&frame);
        std::hint::black_box(&mut buffer);
        tally.messages += 1;
    }
    tally
}

fn zlib(frames: &Frames) -> Result<Tally, String> {
    let (mut tally, mut buffer) = (Tally::default(), buffer());
    let mut inflate = Decompress::new(true);
    for frame in frames.iter() {
        let result = inflate.decompress(&frame, &mut buffer, FlushDecompress::Sync);
        result.map_err(|error| error.to_string())?;
        std::hint::black_box(&mut buffer);
        tally.messages += 1;
    }
    Ok(tally)
}

fn zstd(frames: &Frames) -> Result<Tally, String> {
    let (mut tally, mut buffer) = (Tally::default(), buffer());
    let mut inflate = DCtx::create();
    for frame in frames.iter() {
        let mut input = InBuffer::around(&frame);
        let mut output = OutBuffer::around(&mut buffer[..]);
        while input.pos() < frame.len() {
            let result = inflate.decompress_stream(&mut output, &mut input);
            result.map_err(|code| zstd::zstd_safe::get_error_name(code).to_owned())?;
        }
        std::hint::black_box(output.pos());
        tally.messages += 1;
    }
    Ok(tally)
}
