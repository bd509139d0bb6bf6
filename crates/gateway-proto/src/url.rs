//! Gateway URLs: the address and the connection parameters.

use std::fmt;
use std::net::Ipv6Addr;

use gateway_codec::{Compression, Encoding};
use http::Uri;

/// The version of Discord's API that this crate implements.
pub const API_VERSION: u8 = 10;

/// A complete `ws://` or `wss://` URL to connect to.
///
/// `Debug` shows none of it: the resume URL is a secret of the session.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    uri: Uri,
}

/// Why a text is not a gateway URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not a URL.
    Malformed,
    /// Its scheme is neither `ws` nor `wss`.
    Scheme,
    /// It names no host.
    Host,
    /// Its port is not a number from 1 to 65535.
    Port,
}

impl GatewayUrl {
    /// Parses a base URL as returned by `GET /gateway` or named in READY: with or without a trailing slash, a path or a
    /// query.
    ///
    /// # Errors
    ///
    /// If it is not a `ws://` or `wss://` URL with a host, or if it names a port that is not from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.trim().parse().map_err(|_| UrlError::Malformed)?;
        let mut parts = uri.into_parts();
        // "Although schemes are case-insensitive, the canonical form is lowercase" (RFC 3986, section 3.1).
        let named =
            |scheme: &&str| parts.scheme.as_ref().is_some_and(|s| s.as_str().eq_ignore_ascii_case(scheme));
        let scheme = ["ws", "wss"].into_iter().find(named).ok_or(UrlError::Scheme)?;
        parts.scheme = scheme.parse().ok();
        let this = Self { uri: Uri::from_parts(parts).map_err(|_| UrlError::Malformed)? };
        if !this.names_a_host() {
            return Err(UrlError::Host);
        }
        match this.port_text().map(parse_port) {
            Some(None) => Err(UrlError::Port),
            Some(Some(_)) | None => Ok(this),
        }
    }

    /// Brackets enclose an IPv6 address, and only a port may follow them (RFC 3986, section 3.2.2). Without this check a
    /// name in brackets would be resolved as a host name.
    fn names_a_host(&self) -> bool {
        match self.authority().strip_prefix('[').map(|address| address.split_once(']')) {
            None => !self.host().is_empty(),
            Some(Some((address, rest))) => {
                address.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.starts_with(':'))
            }
            Some(None) => false,
        }
    }

    /// The text after the colon that follows the host. `None` if there is no colon.
    fn port_text(&self) -> Option<&str> {
        let authority = self.authority();
        let behind_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        behind_address.split_once(':').map(|(_, port)| port)
    }

    /// The same URL with exactly one `v`, `encoding` and `compress` parameter each; other parameters and the path are
    /// kept.
    ///
    /// "When connecting to the URL, it's a good idea to explicitly pass the API version and encoding" ([Discord Docs,
    /// Gateway > Connecting](https://discord.com/developers/docs/events/gateway#connecting)). The resume URL needs the
    /// same parameters ([Preparing to Resume](https://discord.com/developers/docs/events/gateway#preparing-to-resume)).
    #[must_use]
    pub fn with_parameters(&self, encoding: Encoding, compression: Compression) -> Self {
        let mut query = format!("v={API_VERSION}&encoding={encoding}");
        if matches!(compression, Compression::ZlibStream | Compression::ZstdStream) {
            query.push_str("&compress=");
            query.push_str(compression.as_str());
        }
        for foreign in self.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let key = foreign.split('=').next().unwrap_or_default();
            if !matches!(key, "v" | "encoding" | "compress") {
                query.push('&');
                query.push_str(foreign);
            }
        }
        let path = match self.uri.path() {
            "" => "/",
            path => path,
        };
        let mut parts = self.uri.clone().into_parts();
        // The parts come from a parsed URI, so they are valid together.
        parts.path_and_query = format!("{path}?{query}").parse().ok();
        Self { uri: Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone()) }
    }

    /// The whole URL. The resume URL is a secret of the session: do not log it.
    pub fn expose(&self) -> String {
        self.uri.to_string()
    }

    /// The parts that identify the server: user, host, and the path with its query.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let path = Some(self.path_and_query()).filter(|path| path.len() > 1);
        user.into_iter().chain([self.host()]).chain(path)
    }

    /// Whether the URL requires TLS (`wss`).
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("wss")
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port: the one given, otherwise 443 for `wss` and 80 for `ws`.
    pub fn port(&self) -> u16 {
        let default = if self.is_tls() { 443 } else { 80 };
        self.port_text().and_then(parse_port).unwrap_or(default)
    }

    /// The value of the `Host` header of the upgrade request (RFC 6455, section 4.1).
    pub fn authority(&self) -> &str {
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// The target of the upgrade request: path and query.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }
}

/// Parses a port from 1 to 65535. Only digits are accepted, since `str::parse` accepts a sign too.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl fmt::Debug for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayUrl(…)")
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a URL: `wss://gateway.discord.gg/` is one",
            Self::Scheme => "a gateway URL begins with `wss://` or `ws://`",
            Self::Host => "the URL names no host",
            Self::Port => "the URL's port is not a number from 1 to 65535",
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(base: &str, encoding: Encoding, compression: Compression) -> String {
        GatewayUrl::parse(base).unwrap().with_parameters(encoding, compression).expose()
    }

    #[test]
    fn parameters_are_set_once() {
        let cases = [
            ("wss://gateway.discord.gg/", "wss://gateway.discord.gg/?v=10&encoding=json"),
            ("wss://gateway.discord.gg", "wss://gateway.discord.gg/?v=10&encoding=json"),
            ("wss://h:8443/path", "wss://h:8443/path?v=10&encoding=json"),
            ("wss://h/?v=6&encoding=etf&compress=zlib-stream&x=1", "wss://h/?v=10&encoding=json&x=1"),
            ("ws://[::1]:9/?a&b=2&", "ws://[::1]:9/?v=10&encoding=json&a&b=2"),
        ];
        for (base, expected) in cases {
            assert_eq!(full(base, Encoding::Json, Compression::None), expected, "{base}");
            let again = full(expected, Encoding::Json, Compression::Payload);
            assert_eq!(again, expected, "a second time changes nothing");
        }
        assert_eq!(
            full("wss://gateway.discord.gg/", Encoding::Json, Compression::ZlibStream),
            "wss://gateway.discord.gg/?v=10&encoding=json&compress=zlib-stream"
        );
        assert_eq!(
            full("wss://gateway-us-east1-b.discord.gg", Encoding::Etf, Compression::None),
            "wss://gateway-us-east1-b.discord.gg/?v=10&encoding=etf"
        );
    }

    #[test]
    fn the_parts_are_what_a_socket_needs() {
        let url = GatewayUrl::parse("ws://user@[::1]:9/x").unwrap();
        assert_eq!((url.host(), url.port(), url.is_tls()), ("::1", 9, false));
        assert_eq!(url.authority(), "[::1]:9");
        assert_eq!(url.path_and_query(), "/x");
        let url = GatewayUrl::parse("wss://gateway.discord.gg").unwrap();
        assert_eq!((url.host(), url.port(), url.is_tls()), ("gateway.discord.gg", 443, true));
        assert_eq!(url.path_and_query(), "/");
        assert_eq!(GatewayUrl::parse("ws://h").unwrap().port(), 80);
    }

    #[test]
    fn what_is_not_a_gateway_url_is_refused() {
        for (text, error) in [
            ("", UrlError::Malformed),
            ("wss://", UrlError::Malformed),
            ("wss://a b", UrlError::Malformed),
            ("gateway.discord.gg", UrlError::Scheme),
            ("https://gateway.discord.gg", UrlError::Scheme),
            ("/path", UrlError::Scheme),
            ("wss://:443", UrlError::Host),
            ("wss://[]", UrlError::Host),
            ("wss://[gateway.discord.gg]", UrlError::Host),
            ("wss://[::1].discord.gg", UrlError::Host),
            ("wss://[v1.x]:443", UrlError::Host),
            ("HTTPS://gateway.discord.gg", UrlError::Scheme),
            ("ws://h:", UrlError::Port),
            ("ws://h:/", UrlError::Port),
            ("ws://h:0", UrlError::Port),
            ("ws://h:65536", UrlError::Port),
            ("ws://h:99999/path?v=1", UrlError::Port),
            ("ws://h:99999999999999999999", UrlError::Port),
            ("ws://h:abc", UrlError::Port),
            ("ws://h:+80", UrlError::Port),
            ("ws://h:-1", UrlError::Port),
            ("ws://h: 80", UrlError::Malformed),
            ("ws://[::1]:x", UrlError::Port),
            ("ws://[::1]:", UrlError::Port),
            ("ws://user@h:", UrlError::Port),
            ("ws://user:1@h:x", UrlError::Port),
        ] {
            assert_eq!(GatewayUrl::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_port_is_taken_as_it_stands() {
        for (text, port) in [
            ("ws://h:1", 1),
            ("wss://h:65535/", 65535),
            ("ws://[::1]:0080", 80),
            ("ws://[::1]", 80),
            ("wss://user:pass@h", 443),
            ("wss://user:pass@h:8443", 8443),
        ] {
            assert_eq!(GatewayUrl::parse(text).map(|url| url.port()), Ok(port), "{text:?}");
        }
    }

    #[test]
    fn a_scheme_counts_in_any_case() {
        for (text, whole, is_tls) in [
            ("WSS://h", "wss://h/", true),
            ("Ws://h:1/Path", "ws://h:1/Path", false),
            ("wSs://Host/?Q", "wss://Host/?Q", true),
        ] {
            let url = GatewayUrl::parse(text).unwrap();
            assert_eq!((url.expose().as_str(), url.is_tls()), (whole, is_tls), "{text}");
        }
        assert_eq!(GatewayUrl::parse("WSS://h").unwrap().port(), 443);
        assert_eq!(full("WSS://h", Encoding::Json, Compression::None), "wss://h/?v=10&encoding=json");
    }

    #[test]
    fn the_host_is_taken_out_of_texts_wherever_it_stands() {
        let url = GatewayUrl::parse("wss://Gateway.Example").unwrap();
        assert_eq!(url.redact("no route to gateway.example:443"), "no route to …:443");
        assert_eq!(url.redact("é GATEWAY.EXAMPLEgateway.example é"), "é …… é");
        assert_eq!(url.redact("connection refused"), "connection refused");
        assert_eq!(url.redact(&"é".repeat(1000)), format!("{}…", "é".repeat(150)), "cut between characters");
        assert_eq!(url.redact("\u{1b}[2J\n"), "\\u{1b}[2J\\n");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", GatewayUrl::parse("wss://secret.example").unwrap()), "GatewayUrl(…)");
    }
}
