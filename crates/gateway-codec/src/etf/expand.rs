//! Compressed terms. Erlang can write them; Discord does not send them.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::tag;
use crate::inflate::{Format, inflate_leading};
use crate::length::of_u32;
use crate::{Error, InflateError};
use std::borrow::Cow;

/// The document with a compressed term inflated to at most `max_output` bytes. A document without compression is returned
/// unchanged.
///
/// Bytes after the compressed term are ignored, as they are after an uncompressed term.
///
/// # Errors
///
/// If the compressed term is truncated, corrupt, larger than `max_output`, or not of the size in its header; for a compressed
/// term also if the cargo feature `zlib` is off.
pub fn expand(bytes: &[u8], max_output: usize) -> Result<Cow<'_, [u8]>, Error> {
    match bytes {
        [tag::VERSION, tag::COMPRESSED, rest @ ..] => {
            let Some((size, stream)) = rest.split_first_chunk() else {
                return Err(Error::incomplete(bytes.len()));
            };
            inflate(of_u32(u32::from_be_bytes(*size)), stream, max_output).map(Cow::Owned)
        }
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

fn inflate(size: usize, stream: &[u8], max_output: usize) -> Result<Vec<u8>, Error> {
    const STREAM_START: usize = 6;
    if size > max_output {
        return Err(Error::limit("the compressed term is too large", 2));
    }
    let term = inflate_leading(Format::Zlib, stream, size).map_err(|error| match error {
        InflateError::Incomplete => Error::incomplete(STREAM_START.saturating_add(stream.len())),
        InflateError::TooLarge { .. } => {
            Error::malformed("the compressed term is larger than its header claims", 2)
        }
        InflateError::Unsupported { .. } => {
            Error::unsupported("zlib was not compiled in, enable the cargo feature zlib")
        }
        _ => Error::malformed("the compressed term is corrupt", STREAM_START),
    })?;
    if term.len() != size {
        return Err(Error::malformed("the compressed term is smaller than its header claims", 2));
    }
    Ok([&[tag::VERSION], &term[..]].concat())
}

#[cfg(all(test, feature = "zlib"))]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn compressed(size: u32, term: &[u8]) -> Vec<u8> {
        [&[131, 80], &size.to_be_bytes()[..], &crate::deflate_zlib(term)].concat()
    }

    #[test]
    fn compressed_terms_expand_within_bounds() {
        let term = [&[109, 0, 0, 4, 0], &[b'a'; 1024][..]].concat();
        let bytes = compressed(1029, &term);
        assert_eq!(expand(&bytes, 1029).unwrap()[1..], term);
        assert_eq!(expand(&bytes, 1028).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(expand(&compressed(1028, &term), 9999).unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(expand(&compressed(1030, &term), 9999).unwrap_err().kind(), ErrorKind::Malformed);
        for length in 2..bytes.len() {
            assert!(expand(&bytes[..length], 9999).unwrap_err().is_incomplete(), "{length}");
        }
        assert_eq!(*expand(&[131, 106], 0).unwrap(), [131, 106]);
        for trailing in [&[0][..], &bytes, &[0xff; 5000]] {
            let followed = [&bytes, trailing].concat();
            assert_eq!(expand(&followed, 1029).unwrap(), expand(&bytes, 1029).unwrap());
        }
    }
}
