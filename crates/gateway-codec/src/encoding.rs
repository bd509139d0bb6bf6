//! The encoding and the compression of a connection.

use std::{error, fmt, str};

/// The encoding of a payload. JSON is the default.
///
/// The text form is the value of the gateway URL's `encoding` parameter. See Discord Docs, Gateway > Gateway URL
/// Query String Params. Exhaustive, so that a new one breaks the build of what reads or writes payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// JSON, in UTF-8.
    #[default]
    Json,
    /// Erlang's external term format. See Discord Docs, Gateway > Using ETF Encoding.
    Etf,
}

/// How the server compresses what it sends. None is the default.
///
/// See Discord Docs, Gateway > Encoding and Compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Nothing is compressed.
    #[default]
    None,
    /// Payload compression: large payloads are each a zlib stream. Requested in Identify, with JSON only.
    Payload,
    /// One zlib stream for the whole connection.
    ZlibStream,
    /// One zstd stream for the whole connection.
    ZstdStream,
}

impl Encoding {
    /// The name in the gateway URL: `json` or `etf`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Etf => "etf",
        }
    }
}

impl Compression {
    /// The name on a command line: `none`, `payload`, `zlib-stream` or `zstd-stream`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Payload => "payload",
            Compression::ZlibStream => "zlib-stream",
            Compression::ZstdStream => "zstd-stream",
        }
    }

    /// The value of the gateway URL's `compress` parameter, for the two transport compressions.
    pub const fn query_value(self) -> Option<&'static str> {
        match self {
            Compression::None | Compression::Payload => None,
            Compression::ZlibStream | Compression::ZstdStream => Some(self.as_str()),
        }
    }

    /// The best that this build can inflate: `zstd-stream`, or `zlib-stream`, or none.
    pub const fn best() -> Self {
        if Self::ZstdStream.is_supported() {
            Self::ZstdStream
        } else if Self::ZlibStream.is_supported() {
            Self::ZlibStream
        } else {
            Self::None
        }
    }

    /// Whether this build can inflate it: the cargo features `zlib` and `zstd` decide.
    pub const fn is_supported(self) -> bool {
        match self {
            Compression::None => true,
            Compression::Payload | Compression::ZlibStream => cfg!(feature = "zlib"),
            Compression::ZstdStream => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl str::FromStr for Encoding {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        [Encoding::Json, Encoding::Etf]
            .into_iter()
            .find(|encoding| encoding.as_str() == text)
            .ok_or(UnknownName { expected: "json or etf" })
    }
}

impl str::FromStr for Compression {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        [Compression::None, Compression::Payload, Compression::ZlibStream, Compression::ZstdStream]
            .into_iter()
            .find(|compression| compression.as_str() == text)
            .ok_or(UnknownName { expected: "none, payload, zlib-stream or zstd-stream" })
    }
}

/// A text that is not the name of an encoding or a compression. The message lists the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    expected: &'static str,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown name, expected {}", self.expected)
    }
}

impl error::Error for UnknownName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_the_best_is_known() {
        for encoding in [Encoding::Json, Encoding::Etf] {
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
        for compression in
            [Compression::None, Compression::Payload, Compression::ZlibStream, Compression::ZstdStream]
        {
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
        // zstd before zlib, and the best is always supported.
        let best = match (cfg!(feature = "zstd"), cfg!(feature = "zlib")) {
            (true, _) => Compression::ZstdStream,
            (false, true) => Compression::ZlibStream,
            (false, false) => Compression::None,
        };
        assert_eq!(Compression::best(), best);
        assert!(best.is_supported());
        let error = "zlib".parse::<Compression>().unwrap_err();
        assert_eq!(error.to_string(), "unknown name, expected none, payload, zlib-stream or zstd-stream");
    }
}
