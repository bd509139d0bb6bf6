//! The sending side of transport compression, for simulators and tests.

use crate::Compression;

/// Compresses what a server sends over one connection; each message ends with a flush.
pub struct Deflater {
    context: Context,
}

enum Context {
    #[cfg(feature = "zlib")]
    Zlib(flate2::Compress),
    #[cfg(feature = "zstd")]
    Zstd(zstd::zstd_safe::CCtx<'static>),
    /// Never constructed. It keeps the enum inhabited when both features are off.
    #[allow(dead_code)]
    Missing(std::convert::Infallible),
}

impl Deflater {
    /// A context for one connection. `None` if `compression` is not a transport compression, or was not compiled in
    /// ([`Compression::is_supported`]).
    pub fn new(compression: Compression) -> Option<Self> {
        match compression {
            #[cfg(feature = "zlib")]
            Compression::ZlibStream => {
                let compress = flate2::Compress::new(flate2::Compression::default(), true);
                Some(Self { context: Context::Zlib(compress) })
            }
            #[cfg(feature = "zstd")]
            Compression::ZstdStream => Some(Self { context: Context::Zstd(zstd_context()) }),
            _ => None,
        }
    }

    /// Compresses one whole message, which is not empty, into the payload of one WebSocket message.
    #[allow(unused_variables)] // Unreachable when no compression is compiled in.
    pub fn push(&mut self, message: &[u8]) -> Vec<u8> {
        match &mut self.context {
            #[cfg(feature = "zlib")]
            Context::Zlib(compress) => deflate(compress, message, flate2::FlushCompress::Sync),
            #[cfg(feature = "zstd")]
            Context::Zstd(compress) => zstd_flush(compress, message),
            Context::Missing(never) => match *never {},
        }
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// Compresses one message as payload compression does: a whole zlib stream.
#[cfg(feature = "zlib")]
pub fn deflate_zlib(bytes: &[u8]) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::default(), true);
    deflate(&mut compress, bytes, flate2::FlushCompress::Finish)
}

#[cfg(feature = "zlib")]
fn deflate(compress: &mut flate2::Compress, mut input: &[u8], flush: flate2::FlushCompress) -> Vec<u8> {
    use crate::inflate::after;
    let mut output = Vec::with_capacity(input.len() / 2 + 64);
    loop {
        let before = compress.total_in();
        let status = compress
            .compress_vec(input, &mut output, flush)
            .expect("deflate fails only when it is used after its end");
        input = after(input, compress.total_in().saturating_sub(before));
        // If the output filled the buffer exactly, more may follow.
        let room_left = output.len() < output.capacity();
        if status == flate2::Status::StreamEnd
            || (flush == flate2::FlushCompress::Sync && input.is_empty() && room_left)
        {
            return output;
        }
        output.reserve(output.len().max(64));
    }
}

/// A window of 256 KiB and no content size, as the gateway sends.
#[cfg(feature = "zstd")]
fn zstd_context() -> zstd::zstd_safe::CCtx<'static> {
    use zstd::zstd_safe::{CCtx, CParameter};
    let mut compress = CCtx::create();
    for parameter in [CParameter::CompressionLevel(3), CParameter::WindowLog(18)] {
        compress.set_parameter(parameter).expect("the parameters are in range");
    }
    compress
}

#[cfg(feature = "zstd")]
fn zstd_flush(compress: &mut zstd::zstd_safe::CCtx<'static>, message: &[u8]) -> Vec<u8> {
    use zstd::zstd_safe::{InBuffer, OutBuffer, compress_bound, zstd_sys::ZSTD_EndDirective};
    let mut output = Vec::with_capacity(compress_bound(message.len()) + 64);
    let mut input = InBuffer::around(message);
    loop {
        let end = output.len();
        let mut buffer = OutBuffer::around_pos(&mut output, end);
        let held_back = compress
            .compress_stream2(&mut buffer, &mut input, ZSTD_EndDirective::ZSTD_e_flush)
            .expect("zstd fails only for lack of memory");
        if held_back == 0 && input.pos() == message.len() {
            return output;
        }
        output.reserve(held_back.max(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InflateLimits, Inflater};

    #[test]
    fn what_is_deflated_inflates() {
        for compression in [Compression::ZlibStream, Compression::ZstdStream] {
            let Some(mut deflater) = Deflater::new(compression) else {
                assert!(!compression.is_supported());
                continue;
            };
            let mut inflater = Inflater::new(compression, InflateLimits::default()).unwrap();
            for message in [&b"{\"op\":11}"[..], b"0", b"{\"op\":11}", &[7; 100_000]] {
                let frame = deflater.push(message);
                assert_eq!(inflater.push(&frame, |_| true).unwrap().unwrap(), message, "{compression}");
            }
        }
        assert!(Deflater::new(Compression::None).is_none());
        assert!(Deflater::new(Compression::Payload).is_none());
    }
}
