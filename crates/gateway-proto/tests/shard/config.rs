//! A configuration that cannot be used is an error that names the field.

use gateway_proto::command::{Activity, Presence, Status};
use gateway_proto::health::Phase;
use gateway_proto::{Compression, Encoding, Shard, ShardConfig};

use crate::support::{Scenario, config, secs};

type Change = fn(&mut ShardConfig);

/// The field that the error names.
fn refused(change: Change) -> &'static str {
    let mut config = config();
    change(&mut config);
    let now = Scenario::at(Phase::Connecting).now();
    let error = Shard::new(config, now).expect_err("an unusable configuration");
    assert!(error.to_string().contains(&format!("`{}`", error.field())), "{error}");
    assert!(!error.to_string().contains("s3cret"));
    error.field()
}

#[test]
fn every_field_that_cannot_be_used_is_named() {
    let table: [(&str, Change); 33] = [
        ("token", |config| config.token = "".into()),
        ("token", |config| config.token = "Bot ".into()),
        ("token", |config| config.token = "s3cret two".into()),
        ("token", |config| config.token = "s3cret\0".into()),
        ("seed", |config| config.seed = None),
        ("large_threshold", |config| config.large_threshold = Some(49)),
        ("large_threshold", |config| config.large_threshold = Some(251)),
        ("compression", |config| {
            config.encoding = Encoding::Etf;
            config.compression = Compression::Payload;
        }),
        ("timeouts.connect", |config| config.timeouts.connect = secs(0)),
        ("timeouts.hello", |config| config.timeouts.hello = secs(0)),
        ("timeouts.ready", |config| config.timeouts.ready = secs(0)),
        ("timeouts.resumed", |config| config.timeouts.resumed = secs(0)),
        ("timeouts.message", |config| config.timeouts.message = secs(0)),
        ("timeouts.close", |config| config.timeouts.close = secs(86_401)),
        ("backoff.base", |config| config.backoff.base = secs(0)),
        ("backoff.cap", |config| config.backoff.cap = secs(86_401)),
        ("backoff.base", |config| config.backoff.base = secs(601)),
        ("backoff.minimum", |config| config.backoff.minimum = secs(61)),
        ("backoff.minimum", |config| config.backoff.minimum = secs(0)),
        ("backoff.stable_after", |config| config.backoff.stable_after = secs(86_401)),
        ("limits.sends_per_minute", |config| config.limits.sends_per_minute = 69),
        ("limits.payload_bytes", |config| config.limits.payload_bytes = 511),
        ("limits.resume_attempts", |config| config.limits.resume_attempts = 0),
        ("limits.resume_timeout", |config| config.limits.resume_timeout = secs(0)),
        ("limits.resume_timeout", |config| config.limits.resume_timeout = secs(86_401)),
        ("limits.message_bytes", |config| config.limits.message_bytes = 1023),
        ("limits.message_bytes", |config| config.limits.inflated_bytes = 1023),
        ("url", |config| config.url = String::new()),
        ("url", |config| config.url = "https://gateway.example".to_owned()),
        ("url", |config| config.url = "wss://".to_owned()),
        ("url", |config| config.url = "gateway.example".to_owned()),
        ("url", |config| config.url = "ws://gateway.example:99999".to_owned()),
        ("presence", |config| {
            let activities = vec![Activity::custom("x".repeat(4096))];
            config.presence = Some(Presence::new(Status::Online, activities));
        }),
    ];
    for (field, change) in table {
        assert_eq!(refused(change), field);
    }
}

/// The minimum and the maximum of each field are accepted.
#[test]
fn the_minimum_and_the_maximum_are_accepted() {
    let table: [Change; 11] = [
        |config| config.large_threshold = Some(50),
        |config| config.large_threshold = Some(250),
        |config| config.timeouts.close = secs(86_400),
        |config| config.backoff.cap = config.backoff.minimum,
        |config| config.backoff.minimum = config.backoff.cap,
        |config| config.backoff.base = secs(600),
        |config| config.limits.resume_attempts = 1,
        |config| config.limits.resume_timeout = secs(86_400),
        |config| config.limits.sends_per_minute = 70,
        |config| config.limits.queued_commands = 0,
        |config| config.url = "ws://localhost".to_owned(),
    ];
    for change in table {
        Scenario::with(Phase::Connecting, change);
    }
}

/// An Identify may have exactly the largest size; if the limit is one byte less, it is refused.
#[test]
fn identify_may_fill_the_limit() {
    let limited = |limit| {
        let mut config = config();
        let activities = vec![Activity::custom("x".repeat(500))];
        config.presence = Some(Presence::new(Status::Online, activities));
        config.limits.payload_bytes = limit;
        Shard::new(config, Scenario::at(Phase::Connecting).now()).map_err(|error| error.field())
    };
    let least = (512..1024).find(|limit| limited(*limit).is_ok()).unwrap();
    assert_eq!(limited(least - 1).unwrap_err(), "presence");
    let mut scenario = Scenario::with(Phase::AwaitingIdentify, |config| {
        config.presence = Some(Presence::new(Status::Online, [Activity::custom("x".repeat(500))]));
        config.limits.payload_bytes = least;
    });
    scenario.input(gateway_proto::Input::IdentifyGranted);
    assert_eq!(scenario.log()[1].len() - "send ".len(), least);
}

/// A compression that is not compiled in is an error when the shard is created, not when the server uses it.
#[test]
fn every_compression_works_or_is_refused() {
    let all = [Compression::None, Compression::Payload, Compression::ZlibStream, Compression::ZstdStream];
    for compression in all {
        let mut config = config();
        config.compression = compression;
        let now = Scenario::at(Phase::Connecting).now();
        assert_eq!(Shard::new(config, now).is_ok(), compression.is_supported(), "{compression}");
    }
}
