//! What Discord recommends to a bot: where to connect, with how many shards, and how many sessions it may start.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::GatewayUrl;
use crate::config::DEFAULT_URL;
use crate::identify::SessionStartLimit;

/// The answer of `GET /gateway/bot`. See [Discord Docs, Gateway > Get Gateway Bot][page].
///
/// Decodes from that JSON. A count of 0 shards and a URL that is no gateway's are errors. "Do not cache": the recommendation changes
/// as the bot grows, and `session_start_limit` with every session.
///
/// The default is what a small bot is answered: Discord's URL and one shard.
///
/// [page]: https://discord.com/developers/docs/events/gateway#get-gateway-bot
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct GatewayBot {
    /// Where to connect: the [`url`](crate::ShardConfig::url) of a shard.
    #[serde(deserialize_with = "gateway_url")]
    pub url: String,
    /// The number of shards that Discord recommends, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub shards: u32,
    /// How many sessions may be started at present.
    pub session_start_limit: SessionStartLimit,
}

impl Default for GatewayBot {
    fn default() -> Self {
        Self { url: DEFAULT_URL.to_owned(), shards: 1, session_start_limit: SessionStartLimit::default() }
    }
}

fn gateway_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    match GatewayUrl::parse(&url) {
        Ok(_) => Ok(url),
        Err(_) => Err(D::Error::invalid_value(Unexpected::Str(&url), &"a `wss://` or `ws://` URL")),
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::invalid_value(Unexpected::Unsigned(0), &"at least 1 shard")),
        shards => Ok(shards),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway_codec::json;
    use serde_json::json;

    use super::*;

    fn decode(value: &serde_json::Value) -> Result<GatewayBot, String> {
        json::from_slice(value.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    /// The example of the documentation.
    #[test]
    fn the_documented_answer_is_read() {
        let limit = json!({"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1});
        let answer =
            json!({"url": "wss://gateway.discord.gg/", "shards": 9, "session_start_limit": limit, "new": {}});
        let bot = decode(&answer).unwrap();
        assert_eq!((&*bot.url, bot.shards), ("wss://gateway.discord.gg/", 9));
        let limit = bot.session_start_limit;
        assert_eq!((limit.total, limit.remaining, limit.max_concurrency), (1000, 999, 1));
        assert_eq!(limit.reset_after, Duration::from_secs(4 * 60 * 60));
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let good = json!({"url": "wss://h", "shards": 1, "session_start_limit": {}});
        decode(&good).unwrap();
        for (key, value, words) in [
            ("shards", json!(0), "expected at least 1 shard"),
            ("shards", json!(-1), "shards"),
            ("shards", json!(1u64 << 32), "shards"),
            ("shards", json!("many"), "shards"),
            ("url", json!("https://discord.com"), "expected a `wss://` or `ws://` URL"),
            ("url", json!(""), "expected a `wss://` or `ws://` URL"),
            ("url", json!(null), "url"),
            ("session_start_limit", json!(null), "session_start_limit"),
            ("session_start_limit", json!({"total": -1}), "session_start_limit.total"),
        ] {
            let mut answer = good.clone();
            answer[key] = value;
            let error = decode(&answer).unwrap_err();
            assert!(error.contains(words), "{answer}: {error}");
            answer.as_object_mut().unwrap().remove(key);
            let error = decode(&answer).unwrap_err();
            assert!(error.contains(key), "{answer}: {error}");
        }
    }
}
