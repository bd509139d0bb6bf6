//! The formats of a connection.

/// Every encoding with each of its compressions, as the bots' flags name them.
pub(crate) const FORMATS: [(&str, &str); 7] = [
    ("json", "none"),
    ("json", "payload"),
    ("json", "zlib-stream"),
    ("json", "zstd-stream"),
    ("etf", "none"),
    ("etf", "zlib-stream"),
    ("etf", "zstd-stream"),
];
