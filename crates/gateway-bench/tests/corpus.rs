//! The traffic has its documented mix, sizes and order of keys, and every contender can read it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_bench::corpus::{MIX, Payload, Traffic, traffic};
use gateway_codec::{DocumentLimits, Encoding, Envelope, etf};
use serde_json::{Value, json};

/// The size of an average event in JSON, in bytes.
const SIZES: [(&str, usize); 9] = [
    ("GUILD_CREATE", 493_000),
    ("MESSAGE_CREATE", 1700),
    ("PRESENCE_UPDATE", 400),
    ("TYPING_START", 700),
    ("GUILD_MEMBER_UPDATE", 600),
    ("MESSAGE_REACTION_ADD", 800),
    ("VOICE_STATE_UPDATE", 900),
    ("MESSAGE_UPDATE", 2300),
    ("INTERACTION_CREATE", 2100),
];

/// Traffic of a few guilds, for tests that do not need all.
fn small(seed: u64, events: usize) -> impl Iterator<Item = Payload> {
    Traffic { seed, events, guilds: 4, ..Traffic::default() }.payloads()
}

#[test]
fn hello_ready_and_the_guilds_come_first_and_the_sequence_counts_up() {
    let url = "ws://127.0.0.1:4000";
    let traffic = Traffic { seed: 3, events: 500, guilds: 5, resume_gateway_url: url.to_owned() };
    let payloads: Vec<Payload> = traffic.payloads().collect();
    assert_eq!(payloads.len(), 2 + 5 + 500);
    let hello = &payloads[0];
    assert_eq!((hello.op, hello.s, hello.t), (10, None, None));
    assert_eq!(hello.d["heartbeat_interval"], 600_000);
    let ready = &payloads[1];
    assert_eq!((ready.op, ready.s, ready.t), (0, Some(1), Some("READY")));
    assert_eq!(ready.d["resume_gateway_url"], url);
    let session_id = ready.d["session_id"].as_str().unwrap();
    assert!(session_id.len() == 32 && session_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    for (index, payload) in payloads.iter().enumerate().skip(1) {
        assert_eq!((payload.op, payload.s), (0, Some(index as u64)));
    }
    // The announced guilds are those that follow, and those of the events.
    let ids = |payloads: &[Payload], key: &str| -> BTreeSet<String> {
        payloads.iter().map(|payload| payload.d[key].as_str().unwrap().to_owned()).collect()
    };
    let announced: BTreeSet<_> = ready.d["guilds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|guild| guild["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(payloads[2..7].iter().all(|payload| payload.t == Some("GUILD_CREATE")));
    assert_eq!(ids(&payloads[2..7], "id"), announced);
    assert_eq!(ids(&payloads[7..], "guild_id"), announced);
}

#[test]
fn a_bot_without_guilds_sees_hello_and_ready() {
    let payloads = Traffic { guilds: 0, ..Traffic::default() }.payloads();
    assert_eq!(payloads.map(|payload| payload.op).collect::<Vec<_>>(), [10, 0]);
}

#[test]
fn every_hundred_events_have_the_mix() {
    let events: Vec<Payload> = small(5, 1000).skip(6).collect();
    for hundred in events.chunks(100) {
        for (name, share) in MIX {
            assert_eq!(hundred.iter().filter(|event| event.t == Some(name)).count(), share, "{name}");
        }
    }
    let order = |events: &[Payload]| events.iter().map(|event| event.t).collect::<Vec<_>>();
    assert_ne!(order(&events[..100]), order(&events[100..200]));
    assert_eq!(MIX.iter().map(|(_, share)| share).sum::<usize>(), 100);
}

#[test]
fn mean_sizes_are_within_a_tenth() {
    let mut sums = BTreeMap::<&str, (usize, usize)>::new();
    let (mut json_bytes, mut etf_bytes) = (0, 0);
    for payload in traffic(1, 20_000).skip(2) {
        let json = payload.to_json().len();
        let sum = sums.entry(payload.t.unwrap()).or_default();
        *sum = (sum.0 + json, sum.1 + 1);
        json_bytes += json;
        etf_bytes += payload.to_etf().len();
    }
    assert_eq!(sums["GUILD_CREATE"].1, 48);
    let means: Vec<_> = SIZES
        .into_iter()
        .map(|(name, expected)| (name, expected, sums[name].0 as f64 / sums[name].1 as f64 / expected as f64))
        .collect();
    assert!(means.iter().all(|(_, _, ratio)| (0.9..1.1).contains(ratio)), "{means:#?}");
    // ETF has about the same size.
    let ratio = etf_bytes as f64 / json_bytes as f64;
    assert!((0.95..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn guilds_and_messages_are_of_many_sizes() {
    let sizes = |name| -> Vec<usize> {
        let mut sizes: Vec<usize> = traffic(2, 2000)
            .filter(|payload| payload.t == Some(name))
            .map(|payload| payload.to_json().len())
            .collect();
        sizes.sort_unstable();
        sizes
    };
    let guilds = sizes("GUILD_CREATE");
    assert!(guilds[0] * 10 < guilds[47], "{guilds:?}");
    let messages = sizes("MESSAGE_CREATE");
    assert!(messages[0] * 4 < messages[messages.len() - 1]);
}

#[test]
fn a_seed_determines_the_traffic() {
    let bytes = |seed| -> Vec<Vec<u8>> { small(seed, 2000).map(|payload| payload.to_json()).collect() };
    let first = bytes(11);
    assert_eq!(first, bytes(11));
    let other = bytes(12);
    // Small events without content may be equal, but only a few of 2000.
    let alike = first.iter().zip(&other).filter(|(first, other)| first == other).count();
    assert_eq!(alike, 0);
}

#[test]
fn json_and_etf_have_the_same_content() {
    for payload in small(7, 3000) {
        let (json, terms) = (payload.to_json(), payload.to_etf());
        assert_eq!(terms[0], 131);
        let json = Envelope::parse(&json, Encoding::Json).unwrap();
        let etf = Envelope::parse(&terms, Encoding::Etf).unwrap();
        for envelope in [&json, &etf] {
            assert_eq!(envelope.op, u64::from(payload.op));
            assert_eq!(envelope.s, payload.s);
            assert_eq!(envelope.t.as_deref(), payload.t);
        }
        assert_eq!(json.d.decode::<Value>().unwrap(), payload.d);
        // `Value` has ids as text, in either encoding.
        assert_eq!(etf.d.decode::<Value>().unwrap(), payload.d);
        let integers = wide_integers(&etf::Value::from_slice(&terms, &DocumentLimits::default()).unwrap());
        assert!(payload.op == 10 || integers > 0, "no id is an integer in {payload:?}");
    }
}

/// The number of integers beyond the precision of a double: only ids are that large.
fn wide_integers(value: &etf::Value<'_>) -> usize {
    match value {
        etf::Value::Integer(_) => usize::from(value.as_u64().is_some_and(|number| number > 1 << 53)),
        etf::Value::List(elements) => elements.iter().map(wide_integers).sum(),
        etf::Value::Map(entries) => entries.iter().map(|(_, value)| wide_integers(value)).sum(),
        _ => 0,
    }
}

#[test]
fn terms_have_discords_form() {
    let payload = Payload {
        op: 0,
        s: Some(1),
        t: Some("READY"),
        d: json!({"id": "81384788765712384", "shard": [0, 1], "v": 10, "x": "y", "z": null, "empty": []}),
    };
    let mut expected = vec![131, 116, 0, 0, 0, 4, 100, 0, 1, b'd', 116, 0, 0, 0, 6];
    let atom =
        |name: &str| -> Vec<u8> { [100, 0, name.len() as u8].into_iter().chain(name.bytes()).collect() };
    for (key, value) in [
        ("empty", vec![106]),
        ("id", vec![110, 8, 0, 0x00, 0x20, 0x80, 0xc0, 0x08, 0x23, 0x21, 0x01]),
        ("shard", vec![107, 0, 2, 0, 1]),
        ("v", vec![97, 10]),
        ("x", vec![109, 0, 0, 0, 1, b'y']),
        ("z", atom("nil")),
        ("op", vec![97, 0]),
        ("s", vec![97, 1]),
        ("t", atom("READY")),
    ] {
        expected.extend(atom(key));
        expected.extend(value);
    }
    assert_eq!(payload.to_etf(), expected);
}

#[test]
fn keys_are_in_the_order_of_discord() {
    for payload in small(9, 1000) {
        let json = payload.to_json();
        assert_eq!(keys(&json), ["t", "s", "op", "d"]);
        let text = std::str::from_utf8(&json).unwrap();
        let d: Box<serde_json::value::RawValue> =
            serde_json::from_str(&text[text.find("\"d\":").unwrap() + 4..text.len() - 1]).unwrap();
        let mut keys = keys(d.get().as_bytes());
        let last = ["MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_REACTION_ADD", "TYPING_START"];
        if payload.t.is_some_and(|name| last.contains(&name)) {
            assert_eq!(keys.pop().as_deref(), Some("guild_id"));
        }
        assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "{keys:?}");
        if payload.t == Some("MESSAGE_CREATE") && payload.d.get("application_id").is_none() {
            assert_eq!(keys.last().map(String::as_str), Some("attachments"));
        }
    }
}

/// The keys of an object in their order.
fn keys(json: &[u8]) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_slice::<Keys>(json).unwrap().0
}

#[test]
fn documented_fields_are_present() {
    let mut seen = BTreeMap::<&str, BTreeSet<String>>::new();
    for payload in small(13, 20_000) {
        if let (Some(name), Some(fields)) = (payload.t, payload.d.as_object()) {
            let seen = seen.entry(name).or_default();
            for key in fields.keys().filter(|key| !seen.contains(*key)).cloned().collect::<Vec<_>>() {
                seen.insert(key);
            }
        }
    }
    for (name, keys) in [
        (
            "READY",
            "v user guilds session_id session_type resume_gateway_url shard application private_channels \
             relationships presences guild_join_requests user_settings geo_ordered_rtc_regions auth _trace",
        ),
        (
            "GUILD_CREATE",
            "id name icon splash discovery_splash owner_id afk_channel_id afk_timeout verification_level \
             default_message_notifications explicit_content_filter roles emojis stickers features mfa_level \
             application_id system_channel_id system_channel_flags rules_channel_id max_members vanity_url_code \
             description banner premium_tier premium_subscription_count preferred_locale public_updates_channel_id \
             nsfw_level premium_progress_bar_enabled safety_alerts_channel_id incidents_data joined_at large \
             unavailable member_count voice_states members channels threads presences stage_instances \
             guild_scheduled_events soundboard_sounds",
        ),
        (
            "MESSAGE_CREATE",
            "id channel_id guild_id channel_type author member content timestamp edited_timestamp tts \
             mention_everyone mentions mention_roles mention_channels attachments embeds components pinned type flags \
             nonce webhook_id application_id message_reference referenced_message sticker_items poll \
             interaction_metadata position",
        ),
        ("MESSAGE_UPDATE", "edited_timestamp reactions thread embeds attachments member guild_id"),
        ("PRESENCE_UPDATE", "user guild_id status activities client_status"),
        ("TYPING_START", "channel_id guild_id user_id timestamp member"),
        (
            "VOICE_STATE_UPDATE",
            "guild_id channel_id user_id member session_id deaf mute self_deaf self_mute self_stream self_video \
             suppress request_to_speak_timestamp",
        ),
        (
            "MESSAGE_REACTION_ADD",
            "user_id channel_id message_id guild_id member emoji message_author_id burst type",
        ),
        (
            "GUILD_MEMBER_UPDATE",
            "guild_id roles user nick avatar banner joined_at premium_since deaf mute flags pending \
             communication_disabled_until avatar_decoration_data collectibles",
        ),
        (
            "INTERACTION_CREATE",
            "id application_id type data guild guild_id channel channel_id member token version message \
             app_permissions locale guild_locale entitlements authorizing_integration_owners context \
             attachment_size_limit",
        ),
    ] {
        for key in keys.split_whitespace() {
            assert!(seen[name].contains(key), "{name}: {key}");
        }
    }
}

/// Other clients read the traffic.
#[cfg(feature = "peers")]
mod peers {
    use serde::de::DeserializeSeed;
    use serenity::model::event::{Event, GatewayEvent};
    use twilight_model::gateway::event::{
        DispatchEvent, DispatchEventWithTypeDeserializer, GatewayEvent as TwilightEvent,
        GatewayEventDeserializer,
    };

    use super::*;

    #[test]
    fn twilight_reads_all_of_it_from_json() {
        for payload in small(17, 6000) {
            let json = String::from_utf8(payload.to_json()).unwrap();
            let deserializer = GatewayEventDeserializer::from_json(&json).unwrap();
            let event = deserializer.deserialize(&mut serde_json::Deserializer::from_str(&json));
            match event.unwrap_or_else(|error| panic!("{error}\n{json}")) {
                TwilightEvent::Hello(hello) => assert_eq!(hello.heartbeat_interval, 600_000),
                TwilightEvent::Dispatch(sequence, event) => {
                    assert_eq!(Some(sequence), payload.s);
                    assert_eq!(event.kind().name(), payload.t);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn twilight_reads_the_same_from_etf() {
        for payload in small(17, 6000) {
            let Some(name) = payload.t else { continue };
            let (json, etf) = (payload.to_json(), payload.to_etf());
            let json = Envelope::parse(&json, Encoding::Json).unwrap();
            let etf = Envelope::parse(&etf, Encoding::Etf).unwrap();
            let read = || DispatchEventWithTypeDeserializer::new(name);
            let from_json: DispatchEvent =
                read().deserialize(&mut serde_json::Deserializer::from_slice(json.d.as_bytes())).unwrap();
            let from_etf = etf.d.decode_seed(read()).unwrap_or_else(|error| panic!("{error}\n{}", payload.d));
            assert_eq!(from_json, from_etf);
        }
    }

    #[test]
    fn serenity_reads_all_of_it() {
        for payload in small(19, 6000) {
            let json = String::from_utf8(payload.to_json()).unwrap();
            match serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}\n{json}")) {
                GatewayEvent::Hello(interval) => assert_eq!(interval, 600_000),
                GatewayEvent::Dispatch(sequence, event) => {
                    assert_eq!(Some(sequence), payload.s);
                    assert!(!matches!(event, Event::Unknown(_)), "{json}");
                    assert_eq!(event.name().as_deref(), payload.t);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
