//! What a connection can be asked to be written in.

/// Every encoding with every compression that it can have, as the flags of the bots name them.
pub(crate) const FORMATS: [(&str, &str); 7] = [
    ("json", "none"),
    ("json", "payload"),
    ("json", "zlib-stream"),
    ("json", "zstd-stream"),
    ("etf", "none"),
    ("etf", "zlib-stream"),
    ("etf", "zstd-stream"),
];
