#![doc = include_str!("../README.md")]

mod block;
pub mod convert;
mod deflate;
mod document_limits;
mod encoding;
mod envelope;
mod error;
pub mod etf;
mod event_name;
pub mod http;
mod inflate;
pub mod json;
mod length;
mod lookup;
mod raw;
pub mod text;
mod transcode;

pub use block::copy_to_block;
pub use deflate::Deflater;
#[cfg(feature = "zlib")]
pub use deflate::deflate_zlib;
pub use document_limits::DocumentLimits;
pub use encoding::{Compression, Encoding, UnknownName};
pub use envelope::Envelope;
pub use error::{Error, ErrorKind};
pub use event_name::known_event_name;
pub use inflate::{InflateError, InflateLimits, Inflater, inflate_zlib, is_zlib};
pub use lookup::{Path, PathSegment, Segment};
pub use raw::{Place, Raw, RawRef};

use serde::{Deserialize, Serialize};

/// Writes `value` as one document.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if a part of `value` cannot be represented in that encoding.
pub fn encode<T: Serialize + ?Sized>(value: &T, encoding: Encoding) -> Result<Vec<u8>, Error> {
    match encoding {
        Encoding::Json => json::to_vec(value),
        Encoding::Etf => etf::to_vec(value),
    }
}

/// Reads one whole document into a type, which may borrow from `bytes`.
///
/// # Errors
///
/// If `bytes` is not one document of that encoding, or does not fit `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8], encoding: Encoding) -> Result<T, Error> {
    decode_with(bytes, encoding, &DocumentLimits::default())
}

/// Reads one whole document into a type, with limits of the caller's.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    encoding: Encoding,
    limits: &DocumentLimits,
) -> Result<T, Error> {
    match encoding {
        Encoding::Json => json::from_slice_with(bytes, limits),
        Encoding::Etf => {
            let options = etf::Options { limits: *limits, ..etf::Options::default() };
            etf::from_slice_with(bytes, &options)
        }
    }
}
