//! The receiving side of transport compression: one context per connection, which yields whole messages.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]
// Without one of the compressions, the code that only it needs is unused.
#![cfg_attr(not(all(feature = "zlib", feature = "zstd")), allow(dead_code, unused_variables))]

mod output;
mod whole;
#[cfg(feature = "zlib")]
mod zlib;
#[cfg(feature = "zstd")]
mod zstd;

use crate::Compression;
use bytes::Bytes;
use output::Output;
use std::{error, fmt};

pub(crate) use whole::{Format, inflate_leading, inflate_whole};
#[cfg(feature = "zlib")]
pub(crate) use zlib::after;

/// How much of one message may be searched for its end without success: this many times its size so far, plus
/// `VAIN_BYTES`. A server that flushes every 16 KiB of a message of 32 MiB stays within this, and so does one that flushes
/// every byte of a small message.
const VAIN_WALKS: u64 = 1024;
const VAIN_BYTES: u64 = 64 << 20;

/// Inflates what a server sends over one connection with `zlib-stream` or `zstd-stream`.
///
/// Each connection needs a new context: see [`Inflater::reset`]. After an error the context is poisoned and every further
/// push fails. See Discord Docs, Gateway > Encoding and Compression.
///
/// ```
/// use gateway_codec::{Compression, Deflater, InflateLimits, Inflater};
///
/// # if !Compression::ZlibStream.is_supported() { return Ok(()); }
/// let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
/// let mut inflater = Inflater::new(Compression::ZlibStream, InflateLimits::default()).unwrap();
/// let frame = deflater.push(b"{\"op\":11}");
/// let (first, second) = frame.split_at(5);
/// assert_eq!(inflater.push(first, |_| true)?, None);
/// assert_eq!(inflater.push(second, |_| true)?.as_deref(), Some(&b"{\"op\":11}"[..]));
/// # Ok::<(), gateway_codec::InflateError>(())
/// ```
pub struct Inflater {
    context: Context,
    limits: InflateLimits,
    /// The beginning of a message that continues in the next frame.
    output: Option<Output>,
    /// Compressed bytes of the message that is being received.
    input: usize,
    vain: Vain,
    poisoned: bool,
}

/// Flushes of one message that did not end it.
#[derive(Default)]
struct Vain {
    /// The length of the output, in bytes, when it was last found incomplete.
    incomplete: usize,
    /// Bytes of output that were read for that, in all.
    walked: u64,
}

impl Vain {
    /// Whether the output, which ends with a flush, is whole. Asks `complete` once for each length of the output, and fails
    /// once the total cost of asking exceeds its limit.
    fn is_whole(
        &mut self,
        output: &[u8],
        complete: impl FnOnce(&[u8]) -> bool,
    ) -> Result<bool, InflateError> {
        if output.len() == self.incomplete {
            return Ok(false);
        }
        if complete(output) {
            return Ok(true);
        }
        self.incomplete = output.len();
        let length = u64::try_from(output.len()).unwrap_or(u64::MAX);
        self.walked = self.walked.saturating_add(length);
        if self.walked > length.saturating_mul(VAIN_WALKS).saturating_add(VAIN_BYTES) {
            return Err(InflateError::Corrupt { reason: "the message was flushed too often without an end" });
        }
        Ok(false)
    }
}

enum Context {
    #[cfg(feature = "zlib")]
    Zlib(zlib::ZlibContext),
    #[cfg(feature = "zstd")]
    Zstd(zstd::ZstdContext),
    /// The cargo feature is off.
    #[allow(dead_code)] // Never constructed when both features are on.
    Missing(Compression),
}

/// Limits on one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InflateLimits {
    /// Compressed bytes. Default 64 MiB.
    pub max_input: usize,
    /// Inflated bytes. Default 256 MiB.
    pub max_output: usize,
    /// The base-2 logarithm of the largest window of a zstd stream. The sender chooses the window, and the receiver allocates
    /// it. Default 23, 8 MiB.
    pub zstd_window_log_max: u32,
}

impl Default for InflateLimits {
    fn default() -> Self {
        Self { max_input: 64 << 20, max_output: 256 << 20, zstd_window_log_max: 23 }
    }
}

impl Inflater {
    /// A context for one connection. `None` if `compression` is not a transport compression.
    ///
    /// For a compression that was not compiled in ([`Compression::is_supported`]), every push fails with
    /// [`InflateError::Unsupported`].
    pub fn new(compression: Compression, limits: InflateLimits) -> Option<Self> {
        let context = Context::new(compression, &limits)?;
        Some(Self { context, limits, output: None, input: 0, vain: Vain::default(), poisoned: false })
    }

    /// Takes one WebSocket message and returns a gateway message once it is whole.
    ///
    /// With `zlib-stream` a message ends where the input so far ends in `00 00 ff ff` and `complete` returns true for the
    /// output. If it returns false, the server flushed within a message, and the output is kept. With `zstd-stream` every
    /// message ends with its WebSocket message, so `complete` is not called.
    ///
    /// `complete` must depend on the output alone: it is called again only after the output has grown. A message that is
    /// flushed repeatedly without an end is [`InflateError::Corrupt`] once the outputs that `complete` rejected sum to more
    /// than 1024 times the size of the message so far plus 64 MiB.
    ///
    /// # Errors
    ///
    /// Any error poisons the context until [`Inflater::reset`].
    pub fn push(
        &mut self,
        frame: &[u8],
        complete: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Bytes>, InflateError> {
        if self.poisoned {
            return Err(InflateError::Poisoned);
        }
        let result = self.inflate(frame, complete);
        if result.is_err() {
            self.poisoned = true;
            self.output = None;
        }
        result
    }

    /// Resets the context for a new connection, also after an error.
    pub fn reset(&mut self) {
        self.context.reset(&self.limits);
        self.output = None;
        self.input = 0;
        self.vain = Vain::default();
        self.poisoned = false;
    }

    fn inflate(
        &mut self,
        frame: &[u8],
        complete: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Bytes>, InflateError> {
        self.input = self.input.saturating_add(frame.len());
        if self.input > self.limits.max_input {
            return Err(InflateError::TooLarge { limit: self.limits.max_input });
        }
        let mut output = self.output.take().unwrap_or_else(Output::shared);
        let ended = self.context.inflate(frame, &mut output, self.limits.max_output)?;
        let whole = match ended {
            MessageEnd::Here => true,
            MessageEnd::Perhaps => self.vain.is_whole(output.filled(), complete)?,
            MessageEnd::Later => false,
        };
        if output.filled().is_empty() {
            // Messages are not empty: the header of a zstd frame, sent in advance, is not a message.
            output.share();
            return Ok(None);
        }
        if !whole {
            self.output = Some(output);
            return Ok(None);
        }
        self.input = 0;
        self.vain = Vain::default();
        self.context.message_ended();
        let message = output.take();
        output.share();
        Ok(Some(message))
    }
}

/// Whether the message ends with a frame, as far as the compression shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageEnd {
    /// It ends with this frame.
    Here,
    /// It ends with this frame if the document is whole.
    Perhaps,
    /// It continues in the next frame.
    Later,
}

impl Context {
    fn new(compression: Compression, limits: &InflateLimits) -> Option<Self> {
        match compression {
            Compression::None | Compression::Payload => None,
            #[cfg(feature = "zlib")]
            Compression::ZlibStream => Some(Self::Zlib(zlib::ZlibContext::default())),
            #[cfg(feature = "zstd")]
            Compression::ZstdStream => Some(Self::Zstd(zstd::ZstdContext::new(limits.zstd_window_log_max))),
            #[allow(unreachable_patterns)] // Reached when a feature is off.
            missing => Some(Self::Missing(missing)),
        }
    }

    fn reset(&mut self, limits: &InflateLimits) {
        match self {
            #[cfg(feature = "zlib")]
            Self::Zlib(context) => context.reset(),
            #[cfg(feature = "zstd")]
            Self::Zstd(context) => context.reset(limits.zstd_window_log_max),
            Self::Missing(_) => {}
        }
    }

    fn inflate(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        limit: usize,
    ) -> Result<MessageEnd, InflateError> {
        match self {
            #[cfg(feature = "zlib")]
            Self::Zlib(context) => context.inflate(frame, output, limit),
            #[cfg(feature = "zstd")]
            Self::Zstd(context) => context.inflate(frame, output, limit),
            Self::Missing(compression) => Err(InflateError::Unsupported {
                format: compression.as_str(),
                feature: if *compression == Compression::ZstdStream { "zstd" } else { "zlib" },
            }),
        }
    }

    fn message_ended(&mut self) {
        match self {
            #[cfg(feature = "zlib")]
            Self::Zlib(context) => context.message_ended(),
            #[cfg(feature = "zstd")]
            Self::Zstd(_) => {}
            Self::Missing(_) => {}
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inflater")
            .field("limits", &self.limits)
            .field("input", &self.input)
            .field("output", &self.output.as_ref().map_or(0, |output| output.filled().len()))
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// Inflates one payload of payload compression: a whole zlib stream in one message.
///
/// See Discord Docs, Gateway > Payload Compression.
///
/// # Errors
///
/// [`InflateError::Incomplete`] if the stream does not end, [`InflateError::Corrupt`] if it is not a zlib stream or bytes follow
/// it, [`InflateError::TooLarge`] above `max_output` bytes.
pub fn inflate_zlib(bytes: &[u8], max_output: usize) -> Result<Bytes, InflateError> {
    inflate_whole(Format::Zlib, bytes, max_output)
}

/// Whether the first two bytes are the header of a zlib stream, with a window of any size: RFC 1950, section 2.2.
///
/// The low half of the first byte is 8, which excludes a JSON object, an ETF term, a blank and a byte order mark. A JSON
/// number can be a header: `80` is one.
///
/// ```
/// assert!(gateway_codec::is_zlib(b"\x78\x9c"));
/// assert!(gateway_codec::is_zlib(b"\x58\xc3"), "a window of 8 KiB");
/// assert!(!gateway_codec::is_zlib(b"{\"op\":11}"));
/// ```
pub fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            let is_deflate = method & 0x0f == 8 && method >> 4 <= 7;
            is_deflate && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

/// Why compressed data could not be inflated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// A message is larger than its limit, in bytes, compressed or inflated.
    TooLarge {
        /// The limit that was exceeded, in bytes.
        limit: usize,
    },
    /// The data is not a stream of this format.
    Corrupt {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The data ends before the stream does: it could be the beginning of a whole stream.
    Incomplete,
    /// An earlier error made the context unusable. Call [`Inflater::reset`], with a new connection.
    Poisoned,
    /// The cargo feature for this format is off.
    Unsupported {
        /// The format: `zlib-stream`, `zstd-stream`, `zlib`, `deflate`, `gzip` or `zstd`.
        format: &'static str,
        /// The cargo feature that enables it.
        feature: &'static str,
    },
}

impl InflateError {
    /// Whether the data is a prefix of a possible stream: more bytes may make it whole. As
    /// [`Error::is_incomplete`](crate::Error::is_incomplete).
    pub fn is_incomplete(&self) -> bool {
        *self == Self::Incomplete
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => {
                write!(formatter, "the message is larger than the limit of {limit} bytes")
            }
            Self::Corrupt { reason } => write!(formatter, "the compressed data is corrupt: {reason}"),
            Self::Incomplete => formatter.write_str("the compressed data ended too early"),
            Self::Poisoned => formatter.write_str(
                "an earlier error made the stream unusable: call `Inflater::reset` with a new connection",
            ),
            Self::Unsupported { format, feature } => {
                write!(formatter, "{format} was not compiled in, enable the cargo feature {feature}")
            }
        }
    }
}

impl error::Error for InflateError {}
