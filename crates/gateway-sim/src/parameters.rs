//! The query of the connection URL: `v`, `encoding`, `compress`.

use gateway_codec::{Compression, Encoding};

/// The parameters of a connection
/// ([Discord Docs, Gateway > Connecting](https://discord.com/developers/docs/events/gateway#connecting)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameters {
    /// The API version. Default 6.
    pub version: u32,
    /// The encoding. Default JSON.
    pub encoding: Encoding,
    /// The transport compression.
    pub compression: Compression,
}

impl Parameters {
    /// The parameters without a query.
    pub(crate) const DEFAULT: Self =
        Self { version: 6, encoding: Encoding::Json, compression: Compression::None };

    /// Parses the query of a request target: `/?v=10`, `//?v=10`, `?v=10` or a whole URL, with keys in any order.
    ///
    /// # Errors
    /// A sentence about the first value that is not supported.
    pub fn parse(target: &str) -> Result<Self, String> {
        let mut parameters = Self::DEFAULT;
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "v" => {
                    parameters.version = value.parse().map_err(|_| format!("v={value} is not a number"))?;
                }
                "encoding" => {
                    parameters.encoding = match value {
                        "json" => Encoding::Json,
                        "etf" => Encoding::Etf,
                        _ => return Err(format!("encoding={value} is neither json nor etf")),
                    };
                }
                "compress" => {
                    parameters.compression = match value {
                        "" => Compression::None,
                        "zlib-stream" => Compression::ZlibStream,
                        "zstd-stream" => Compression::ZstdStream,
                        _ => {
                            return Err(format!("compress={value} is neither zlib-stream nor zstd-stream"));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_and_any_order() {
        for target in [
            "/?v=10&encoding=etf&compress=zlib-stream",
            "//?compress=zlib-stream&encoding=etf&v=10",
            "?encoding=etf&v=10&compress=zlib-stream&mine=1",
            "ws://127.0.0.1:1/?encoding=etf&v=10&compress=zlib-stream",
        ] {
            let parameters = Parameters::parse(target).unwrap();
            assert_eq!(parameters.version, 10, "{target}");
            assert_eq!(parameters.encoding, Encoding::Etf, "{target}");
            assert_eq!(parameters.compression, Compression::ZlibStream, "{target}");
        }
    }

    #[test]
    fn missing_encoding_is_json() {
        let parameters = Parameters::parse("/?v=9").unwrap();
        assert_eq!((parameters.version, parameters.encoding), (9, Encoding::Json));
        assert_eq!(Parameters::parse("/").unwrap().version, 6);
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        for target in ["/?v=ten", "/?encoding=xml", "/?compress=brotli"] {
            assert!(Parameters::parse(target).is_err(), "{target}");
        }
    }
}
