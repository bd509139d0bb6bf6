//! Bodies of HTTP responses: decoded by `Content-Encoding`, with the encoding that `Content-Type` names.
//!
//! ```
//! use gateway_codec::{DocumentLimits, http};
//!
//! #[derive(serde::Deserialize)]
//! struct Gateway { url: String }
//! # let body = &br#"{"url":"wss://gateway.discord.gg"}"#[..];
//! // `body` and the values of the two headers come from the HTTP client of your choice.
//! let raw = http::decode_body(body, None, Some("application/json"), &DocumentLimits::default())?;
//! let gateway: Gateway = raw.decode()?;
//! assert_eq!(gateway.url, "wss://gateway.discord.gg");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use crate::inflate::{Format, inflate_whole};
use crate::{DocumentLimits, Encoding, Error, InflateError, Raw, etf, is_zlib};
use bytes::Bytes;
use std::{error, fmt};

/// Undoes the content encodings of a body and determines its encoding.
///
/// `content_encoding` is the header's value: `identity`, `deflate`, `gzip` and `zstd`, or several of them in the order
/// in which they were applied. `content_type` is JSON (`application/json`, `…+json`, with any parameters) or ETF
/// (`application/etf`, `application/x-erlang-binary`, `application/erlang`); without the header it is JSON.
/// See Discord Docs, Reference > API Reference.
///
/// # Errors
///
/// [`BodyError`], also if the body inflates to more than [`DocumentLimits::output`] bytes at any stage.
pub fn decode_body(
    body: impl Into<Bytes>,
    content_encoding: Option<&str>,
    content_type: Option<&str>,
    limits: &DocumentLimits,
) -> Result<Raw, BodyError> {
    let encoding = encoding_of(content_type)?;
    let mut body = decode_content(body, content_encoding, limits)?;
    if encoding == Encoding::Etf
        && let std::borrow::Cow::Owned(expanded) = etf::expand(&body, limits.output)?
    {
        body = expanded.into();
    }
    Ok(Raw::new(body, encoding))
}

/// Undoes the content encodings of a body with any content. An empty body stays empty in any encoding.
///
/// # Errors
///
/// As [`decode_body`].
pub fn decode_content(
    body: impl Into<Bytes>,
    content_encoding: Option<&str>,
    limits: &DocumentLimits,
) -> Result<Bytes, BodyError> {
    let mut body = body.into();
    // The encoding applied last is undone first.
    for name in content_encoding.unwrap_or("").rsplit(',').map(str::trim) {
        body = undo(name, body, limits.output)?;
    }
    Ok(body)
}

/// The encoding for the value of a `Content-Type` header. JSON without a header.
///
/// # Errors
///
/// [`BodyError::UnknownType`] if the type is neither JSON nor ETF.
pub fn encoding_of(content_type: Option<&str>) -> Result<Encoding, BodyError> {
    let Some(content_type) = content_type else { return Ok(Encoding::Json) };
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match &*media_type {
        "application/etf" | "application/x-erlang-binary" | "application/erlang" => Ok(Encoding::Etf),
        "application/json" | "text/json" => Ok(Encoding::Json),
        other if other.ends_with("+json") => Ok(Encoding::Json),
        _ => Err(BodyError::UnknownType),
    }
}

fn undo(name: &str, body: Bytes, limit: usize) -> Result<Bytes, BodyError> {
    // A response without content may have the header that it would have with content, as one to HEAD or with status 304
    // does (RFC 9110, sections 9.3.2 and 15.4.5).
    if body.is_empty() {
        return Ok(body);
    }
    let format = match &*name.to_ascii_lowercase() {
        "" | "identity" => return Ok(body),
        "gzip" | "x-gzip" => Format::Gzip,
        "zstd" => Format::Zstd,
        // "Some non-conformant implementations send the deflate compressed data without the zlib wrapper" (RFC 9110,
        // section 8.4.1.2).
        "deflate" if body.len() > 1 && !is_zlib(&body) => Format::RawDeflate,
        "deflate" => Format::Zlib,
        _ => return Err(BodyError::UnknownEncoding),
    };
    Ok(inflate_whole(format, &body, limit)?)
}

/// Why a body could not be decoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The content encoding is not supported.
    UnknownEncoding,
    /// The content type is neither JSON nor ETF: probably the error page of a proxy.
    UnknownType,
    /// The body could not be inflated.
    Inflate(InflateError),
    /// The body is a compressed term that could not be expanded.
    Document(Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEncoding => {
                formatter.write_str("unknown content encoding, expected identity, deflate, gzip or zstd")
            }
            Self::UnknownType => formatter.write_str("unknown content type, expected JSON or ETF"),
            Self::Inflate(error) => write!(formatter, "the body could not be inflated: {error}"),
            Self::Document(error) => {
                write!(formatter, "the compressed term in the body could not be expanded: {error}")
            }
        }
    }
}

/// The text contains that of the inner error, so there is no `source`.
impl error::Error for BodyError {}

impl From<InflateError> for BodyError {
    fn from(error: InflateError) -> Self {
        Self::Inflate(error)
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Document(error)
    }
}

#[cfg(all(test, feature = "zlib", feature = "zstd"))]
mod tests {
    use super::*;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const BODY: &[u8] = br#"{"url":"wss://gateway.discord.gg","shards":1}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 3).unwrap()
    }

    fn decode(body: &[u8], content_encoding: &str) -> Result<Raw, BodyError> {
        let limits = DocumentLimits { output: 1 << 16, ..DocumentLimits::default() };
        decode_body(body.to_vec(), Some(content_encoding), Some("application/json; charset=utf-8"), &limits)
    }

    #[test]
    fn content_encodings_are_undone() {
        let two_members = [gzip(&BODY[..7]), gzip(&BODY[7..])].concat();
        let two_frames = [zstd(&BODY[..7]), zstd(&BODY[7..])].concat();
        for (body, content_encoding) in [
            (BODY.to_vec(), ""),
            (BODY.to_vec(), "identity"),
            (gzip(BODY), "gzip"),
            (two_members, "X-GZip"),
            (zlib(BODY), "deflate"),
            (raw_deflate(BODY), "deflate"),
            (zstd(BODY), "zstd"),
            (two_frames, "zstd"),
            (zstd(&gzip(BODY)), "gzip, zstd"),
        ] {
            let raw = decode(&body, content_encoding).expect(content_encoding);
            assert_eq!(raw.as_bytes(), BODY, "{content_encoding}");
            if content_encoding.len() > 2 && content_encoding != "identity" {
                for length in 1..body.len() {
                    let cut = decode(&body[..length], content_encoding);
                    // A body may end at the end of a member or frame.
                    let whole = cut.as_ref().is_ok_and(|raw| raw.as_bytes() == &BODY[..7]);
                    assert!(
                        whole || matches!(cut, Err(BodyError::Inflate(_))),
                        "{content_encoding} {length}"
                    );
                }
            }
        }
    }

    /// A response to HEAD, or one with status 204 or 304.
    #[test]
    fn an_empty_body_is_empty_in_every_content_encoding() {
        for content_encoding in ["", "identity", "gzip", "deflate", "zstd", "gzip, zstd", "br"] {
            assert_eq!(decode(b"", content_encoding).unwrap().as_bytes(), b"", "{content_encoding}");
        }
        assert_eq!(decode(&zstd(b""), "gzip, zstd").unwrap().as_bytes(), b"", "empty once zstd is undone");
    }

    #[test]
    fn an_error_contains_the_text_of_its_cause() {
        let error = decode(&gzip(BODY)[..20], "gzip").unwrap_err();
        assert_eq!(error.to_string(), "the body could not be inflated: the compressed data ended too early");
        let term =
            decode_body(&b"\x83\x50\0\0"[..], None, Some("application/etf"), &DocumentLimits::default());
        assert_eq!(
            term.unwrap_err().to_string(),
            "the compressed term in the body could not be expanded: the input ended too early, at byte 4"
        );
    }

    #[test]
    fn deflate_is_read_with_a_window_of_any_size() {
        for window in 9..=15 {
            let mut deflate = flate2::Compress::new_with_window_bits(Default::default(), true, window);
            let mut body = Vec::with_capacity(1024);
            deflate.compress_vec(BODY, &mut body, flate2::FlushCompress::Finish).unwrap();
            assert_eq!(body[0] >> 4, window - 8, "the header says so");
            assert_eq!(decode(&body, "deflate").unwrap().as_bytes(), BODY, "{window}");
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![b' '; (1 << 16) + 1];
        for (bomb, content_encoding) in [
            (gzip(&zeros), "gzip"),
            (zlib(&zeros), "deflate"),
            (zstd(&zeros), "zstd"),
            (gzip(&gzip(&zeros)), "gzip,gzip"),
        ] {
            let error = decode(&bomb, content_encoding).unwrap_err();
            assert!(
                matches!(error, BodyError::Inflate(InflateError::TooLarge { limit: 65536 })),
                "{error:?}"
            );
        }
    }

    #[test]
    fn content_types_name_the_encoding() {
        for (content_type, encoding) in [
            (None, Encoding::Json),
            (Some("application/json"), Encoding::Json),
            (Some("Application/Problem+JSON ; charset=utf-8"), Encoding::Json),
            (Some("application/x-erlang-binary"), Encoding::Etf),
        ] {
            assert_eq!(encoding_of(content_type).unwrap(), encoding);
        }
        assert!(matches!(encoding_of(Some("text/html")), Err(BodyError::UnknownType)));
        assert!(matches!(decode(BODY, "br"), Err(BodyError::UnknownEncoding)));
    }

    #[test]
    fn etf_bodies_are_read() {
        let body = etf::to_vec(&serde_json::json!({"shards": 2})).unwrap();
        let compressed = [&[131, 80], &(body.len() as u32 - 1).to_be_bytes()[..], &zlib(&body[1..])].concat();
        for body in [body, compressed] {
            let raw = decode_body(body, None, Some("application/etf"), &DocumentLimits::default()).unwrap();
            assert_eq!(raw.get("shards").unwrap().as_u64(), Some(2));
        }
    }
}
