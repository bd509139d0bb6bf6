//! The encoding and the compression of a connection.

use std::fmt;
use std::str::FromStr;

use gateway_codec::{Compression, Encoding};

/// An encoding and a compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode {
    /// The encoding of payloads.
    pub encoding: Encoding,
    /// Their compression.
    pub compression: Compression,
}

impl Mode {
    /// Every mode of the gateway.
    pub const ALL: [Self; 7] = [
        Self::new(Encoding::Json, Compression::None),
        Self::new(Encoding::Json, Compression::Payload),
        Self::new(Encoding::Json, Compression::ZlibStream),
        Self::new(Encoding::Json, Compression::ZstdStream),
        Self::new(Encoding::Etf, Compression::None),
        Self::new(Encoding::Etf, Compression::ZlibStream),
        Self::new(Encoding::Etf, Compression::ZstdStream),
    ];

    /// A mode.
    pub const fn new(encoding: Encoding, compression: Compression) -> Self {
        Self { encoding, compression }
    }
}

/// `json-plain`, `json-payload`, `json-zlib`, `etf-zstd`, …
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compression = match self.compression {
            Compression::None => "plain",
            other => other.as_str().trim_end_matches("-stream"),
        };
        write!(f, "{}-{compression}", self.encoding)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.to_string() == text);
        mode.ok_or_else(|| format!("there is no mode {text}"))
    }
}
