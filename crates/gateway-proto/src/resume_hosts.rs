//! The hosts that a Resume, which contains the token, may be sent to.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::GatewayUrl;

/// The domain of Discord's gateway, for which `GET /gateway` and READY name different hosts.
const DISCORD: &str = "discord.gg";

/// The hosts that a session may be resumed at. READY and saved sessions name one in `resume_gateway_url`
/// (Discord Docs, Gateway > Ready Event); the shard sends the bot's token there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResumeHosts {
    /// The host of the base URL and all names below it. Behind `discord.gg` or a name below it: `discord.gg` and all names
    /// below that. Behind an IP address or `localhost`: that host alone. On any port.
    #[default]
    OfBaseUrl,
    /// Any host, for a gateway whose resume URLs have hosts unrelated to that of its base URL.
    Any,
}

impl ResumeHosts {
    /// Whether a shard with this base URL may resume at this URL.
    pub(crate) fn allow(self, base: &GatewayUrl, url: &GatewayUrl) -> bool {
        match self {
            Self::OfBaseUrl => Host::of(base).covers(&Host::of(url)),
            Self::Any => true,
        }
    }
}

/// A host of a URL, to be compared.
#[derive(PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Localhost,
    /// In lower case, without the dot of the root.
    Name(String),
}

impl Host {
    fn of(url: &GatewayUrl) -> Self {
        // A complete domain name may end with the dot of the root (RFC 1034, section 3.1), and case does not count (RFC 4343).
        let host = url.host().strip_suffix('.').unwrap_or(url.host());
        match (host.parse(), host.to_ascii_lowercase()) {
            (Ok(address), _) => Self::Address(address),
            (Err(_), name) if name == "localhost" => Self::Localhost,
            (Err(_), name) => Self::Name(name),
        }
    }

    /// Whether this host, of a base URL, includes another one.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(base), Self::Name(name)) => {
                let domain = if is_at_or_below(base, DISCORD) { DISCORD } else { base };
                is_at_or_below(name, domain)
            }
            _ => self == other,
        }
    }
}

/// Whether a name is this domain, or one whose last labels are those of the domain.
fn is_at_or_below(name: &str, domain: &str) -> bool {
    let Some(rest) = name.strip_suffix(domain) else { return false };
    let Some(labels) = rest.strip_suffix('.') else { return rest.is_empty() };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    labels.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a session is resumed at `url` behind `base`, by default. A URL that is none is not resumed at.
    fn allows(base: &str, url: &str) -> bool {
        let base = GatewayUrl::parse(base).unwrap();
        GatewayUrl::parse(url).is_ok_and(|url| ResumeHosts::default().allow(&base, &url))
    }

    fn check(base: &str, allowed: &[&str], refused: &[&str]) {
        for url in allowed {
            assert!(allows(base, url), "{url} behind {base}");
        }
        for url in refused {
            assert!(!allows(base, url), "{url} behind {base}");
            let Ok(parsed) = GatewayUrl::parse(url) else { continue };
            assert!(ResumeHosts::Any.allow(&GatewayUrl::parse(base).unwrap(), &parsed));
        }
    }

    #[test]
    fn behind_discord_the_whole_of_its_domain_is_allowed() {
        for base in [
            "wss://gateway.discord.gg/",
            "wss://gateway.discord.gg:443",
            "wss://discord.gg",
            "WSS://Gateway-US-East1-b.Discord.GG./?v=9",
        ] {
            check(
                base,
                &[
                    "wss://gateway-us-east1-b.discord.gg",
                    "wss://GATEWAY-us-east1-b.Discord.gg/",
                    "WSS://a.b.c.discord.gg",
                    "wss://discord.gg",
                    "wss://discord.gg.",
                    "wss://gateway.discord.gg.:8443/path?query",
                    "wss://name:word@gateway.discord.gg",
                    "wss://evil.example@gateway.discord.gg",
                    "wss://xn--nxasmq6b.discord.gg",
                ],
                &[
                    "wss://evildiscord.gg",
                    "wss://evil-discord.gg",
                    "wss://discord.gg.evil.com",
                    "wss://discord.gg.evil.com.",
                    "wss://discord.gg@evil.com",
                    "wss://gateway.discord.gg:443@evil.com",
                    "wss://evil.com:443/@gateway.discord.gg",
                    "wss://evil.com/.discord.gg",
                    "wss://evil.com?.discord.gg",
                    "wss://evil.com#.discord.gg",
                    "wss://evil.com\\.discord.gg",
                    "wss://evil.com%2f.discord.gg",
                    "wss://evil.com%00.discord.gg",
                    "wss://discord%2egg",
                    "wss://discord.gg..",
                    "wss://..discord.gg",
                    "wss://.discord.gg",
                    "wss://a..discord.gg",
                    "wss://evil.com,a.discord.gg",
                    "wss://evil.com;a.discord.gg",
                    "wss://gg",
                    "wss://discord.com",
                    "wss://discord.gq",
                    "wss://xn--dscord-4va.gg",
                    "wss://dіscord.gg",
                    "wss://discord\u{3002}gg",
                    "wss://[discord.gg]",
                    "wss://[::1].discord.gg",
                    "wss://[v1.discord.gg]",
                    "wss://127.0.0.1",
                    "wss://[::1]",
                    "wss://localhost",
                ],
            );
        }
    }

    #[test]
    fn behind_another_name_that_name_and_those_below_it_are_allowed() {
        check(
            "wss://gateway.example",
            &[
                "wss://gateway.example",
                "wss://GATEWAY.EXAMPLE.:1",
                "wss://a.gateway.example",
                "wss://b_1.a.gateway.example",
            ],
            &[
                "wss://example",
                "wss://other.example",
                "wss://evilgateway.example",
                "wss://gateway.example.evil",
                "wss://discord.gg",
                "wss://gateway.discord.gg",
            ],
        );
        check(
            "wss://evildiscord.gg",
            &["wss://a.evildiscord.gg"],
            &["wss://discord.gg", "wss://a.discord.gg"],
        );
        check("ws://gateway", &["ws://gateway:9", "ws://a.gateway"], &["ws://agateway", "ws://gateway.evil"]);
    }

    #[test]
    fn behind_an_address_or_localhost_the_same_host_is_allowed_on_any_port() {
        check(
            "ws://127.0.0.1:9000",
            &["ws://127.0.0.1", "ws://127.0.0.1.:1", "wss://user@127.0.0.1:2/path"],
            &[
                "ws://127.0.0.2",
                "ws://127.1",
                "ws://a.127.0.0.1",
                "ws://127.0.0.1.evil",
                "ws://localhost",
                "ws://[::1]",
            ],
        );
        check(
            "ws://[::1]:9",
            &["ws://[::1]", "ws://[0:0:0:0:0:0:0:1]:10/r", "ws://[::0001]"],
            &["ws://[::2]", "ws://[::ffff:127.0.0.1]", "ws://[::1].evil", "ws://localhost", "ws://a.[::1]"],
        );
        check("ws://[2001:DB8::A]", &["ws://[2001:db8:0::a]:1"], &["ws://[2001:db8::b]"]);
        check(
            "wss://localhost:9",
            &["wss://localhost", "wss://LOCALHOST.:1"],
            &["wss://a.localhost", "wss://localhost.evil", "wss://127.0.0.1", "wss://[::1]"],
        );
    }
}
