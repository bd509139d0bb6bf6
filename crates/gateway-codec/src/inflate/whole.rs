//! Data that is compressed as a whole: payload compression, and the bodies of HTTP responses.

use super::InflateError;
use super::output::Output;
use bytes::Bytes;

/// How data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 1950, which HTTP calls deflate.
    Zlib,
    /// RFC 1951, which some servers send for deflate.
    RawDeflate,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several, with a window of at most 8 MiB.
    Zstd,
}

/// Inflates data that must be whole, to at most `limit` bytes.
pub(crate) fn inflate_whole(format: Format, bytes: &[u8], limit: usize) -> Result<Bytes, InflateError> {
    let mut output = Output::shared();
    match format {
        Format::Zlib | Format::RawDeflate | Format::Gzip => {
            inflate_members(format, bytes, &mut output, limit)?;
        }
        Format::Zstd => inflate_frames(bytes, &mut output, limit)?,
    }
    let message = output.take();
    output.share();
    Ok(message)
}

#[cfg(feature = "zlib")]
fn inflate_members(
    format: Format,
    bytes: &[u8],
    output: &mut Output,
    limit: usize,
) -> Result<(), InflateError> {
    use flate2::Decompress;
    let mut rest = bytes;
    loop {
        let mut inflate = match format {
            Format::Gzip => Decompress::new_gzip(15),
            _ => Decompress::new(format == Format::Zlib),
        };
        if !super::zlib::run(&mut inflate, rest, output, limit)? {
            return Err(InflateError::Truncated);
        }
        rest = &rest[inflate.total_in() as usize..];
        if rest.is_empty() {
            return Ok(());
        }
        if format != Format::Gzip {
            return Err(InflateError::Corrupt { reason: "bytes after the stream" });
        }
    }
}

#[cfg(not(feature = "zlib"))]
fn inflate_members(
    _format: Format,
    _bytes: &[u8],
    _output: &mut Output,
    _limit: usize,
) -> Result<(), InflateError> {
    Err(InflateError::Unsupported { compression: crate::Compression::ZlibStream })
}

#[cfg(feature = "zstd")]
fn inflate_frames(bytes: &[u8], output: &mut Output, limit: usize) -> Result<(), InflateError> {
    let mut context = super::zstd::ZstdContext::new(super::InflateLimits::default().zstd_window_log_max);
    match context.run(bytes, output, limit)? {
        0 if !bytes.is_empty() => Ok(()),
        _ => Err(InflateError::Truncated),
    }
}

#[cfg(not(feature = "zstd"))]
fn inflate_frames(_bytes: &[u8], _output: &mut Output, _limit: usize) -> Result<(), InflateError> {
    Err(InflateError::Unsupported { compression: crate::Compression::ZstdStream })
}
