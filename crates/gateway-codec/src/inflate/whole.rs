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

impl Format {
    /// Its name in errors.
    #[allow(dead_code)] // Only errors of builds without a feature use it.
    fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::RawDeflate => "deflate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Inflates data that must be whole, to at most `limit` bytes.
pub(crate) fn inflate_whole(format: Format, bytes: &[u8], limit: usize) -> Result<Bytes, InflateError> {
    let mut output = Output::shared();
    match format {
        Format::Zstd => inflate_frames(bytes, &mut output, limit)?,
        Format::Zlib | Format::RawDeflate | Format::Gzip => {
            let mut rest = inflate_member(format, bytes, &mut output, limit)?;
            while !rest.is_empty() {
                if format != Format::Gzip {
                    return Err(InflateError::Corrupt { reason: "bytes after the stream" });
                }
                rest = inflate_member(format, rest, &mut output, limit)?;
            }
        }
    }
    let message = output.take();
    output.share();
    Ok(message)
}

/// Inflates the stream at the beginning of the data, to at most `limit` bytes. Bytes after it are ignored.
pub(crate) fn inflate_leading(format: Format, bytes: &[u8], limit: usize) -> Result<Bytes, InflateError> {
    let mut output = Output::shared();
    inflate_member(format, bytes, &mut output, limit)?;
    let message = output.take();
    output.share();
    Ok(message)
}

/// Inflates one stream, and returns the bytes after it.
#[cfg(feature = "zlib")]
fn inflate_member<'b>(
    format: Format,
    bytes: &'b [u8],
    output: &mut Output,
    limit: usize,
) -> Result<&'b [u8], InflateError> {
    use flate2::Decompress;
    let mut inflate = match format {
        Format::Gzip => Decompress::new_gzip(15),
        _ => Decompress::new(format == Format::Zlib),
    };
    if !super::zlib::run(&mut inflate, bytes, output, limit)? {
        return Err(InflateError::Incomplete);
    }
    Ok(super::zlib::after(bytes, inflate.total_in()))
}

#[cfg(not(feature = "zlib"))]
fn inflate_member<'b>(
    format: Format,
    _bytes: &'b [u8],
    _output: &mut Output,
    _limit: usize,
) -> Result<&'b [u8], InflateError> {
    Err(InflateError::Unsupported { format: format.name(), feature: "zlib" })
}

#[cfg(feature = "zstd")]
fn inflate_frames(bytes: &[u8], output: &mut Output, limit: usize) -> Result<(), InflateError> {
    let mut context = super::zstd::ZstdContext::new(super::InflateLimits::default().zstd_window_log_max);
    match context.run(bytes, output, limit)? {
        0 if !bytes.is_empty() => Ok(()),
        _ => Err(InflateError::Incomplete),
    }
}

#[cfg(not(feature = "zstd"))]
fn inflate_frames(_bytes: &[u8], _output: &mut Output, _limit: usize) -> Result<(), InflateError> {
    Err(InflateError::Unsupported { format: Format::Zstd.name(), feature: "zstd" })
}
