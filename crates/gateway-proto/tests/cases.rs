//! Small inputs that once failed, in `tests/cases`. Each stands for a class of inputs.

use std::path::Path;
use std::time::{Duration, Instant};

use gateway_proto::{
    Compression, Encoding, Event, Input, Intents, Message, Notice, Output, Shard, ShardConfig,
};

#[allow(clippy::disallowed_methods, reason = "a virtual clock has to begin somewhere")]
fn now() -> Instant {
    Instant::now()
}

fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A shard that is READY as `session`, with the newest number 1. Earlier outputs are removed.
fn ready_shard(encoding: Encoding, now: Instant) -> Shard {
    let mut config = ShardConfig::new("token", Intents::GUILDS);
    (config.seed, config.encoding, config.compression) = (Some(1), encoding, Compression::None);
    let mut shard = Shard::new(config, now).unwrap();
    shard.handle_input(Input::Opened, now);
    for payload in [
        r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250}}"#,
        r#"{"t":"READY","s":1,"op":0,"d":{"session_id":"session","resume_gateway_url":"wss://gateway.discord.gg"}}"#,
    ] {
        let value: serde_json::Value = serde_json::from_str(payload).unwrap();
        let message = match encoding {
            Encoding::Json => Message::Text(payload.into()),
            Encoding::Etf => Message::Binary(gateway_proto::codec::encode(&value, encoding).unwrap().into()),
        };
        shard.handle_input(Input::Message(message), now);
        shard.handle_input(Input::IdentifyGranted, now);
    }
    drain(&mut shard);
    shard
}

fn drain(shard: &mut Shard) -> Vec<Output> {
    std::iter::from_fn(|| Some(shard.poll_output()).filter(|output| !matches!(output, Output::Timeout(_))))
        .collect()
}

fn dispatches(outputs: &[Output]) -> Vec<(String, Option<u64>)> {
    let dispatch = |output: &Output| match output {
        Output::Event(Event::Dispatch(dispatch)) => Some((dispatch.name().to_owned(), dispatch.sequence())),
        _ => None,
    };
    outputs.iter().filter_map(dispatch).collect()
}

/// A chat message that imitates the end of a payload is delivered as that message, and the session continues.
#[test]
fn case_01_a_message_that_imitates_opcode_9() {
    let now = now();
    let mut shard = ready_shard(Encoding::Etf, now);
    for sequence in 2..7 {
        let filler = serde_json::json!({"op": 0, "s": sequence, "t": "A", "d": {}});
        let filler = gateway_proto::codec::encode(&filler, Encoding::Etf).unwrap();
        shard.handle_input(Input::Message(Message::Binary(filler.into())), now);
    }
    drain(&mut shard);
    shard.handle_input(Input::Message(Message::Binary(case("01-etf-order-t-s-op.etf").into())), now);
    let outputs = drain(&mut shard);
    assert_eq!(dispatches(&outputs), [("MESSAGE_CREATE".to_owned(), Some(7))], "{outputs:?}");
    assert_eq!(shard.session().map(|session| session.sequence()), Some(7));
}

/// Of two payloads in one message neither is lost: the first is delivered, the next event reveals that the second is
/// missing, and a Resume replays it.
#[test]
fn case_03_two_payloads_in_one_message() {
    let now = now();
    let mut shard = ready_shard(Encoding::Json, now);
    shard.handle_input(Input::Message(Message::Text(case("03-joined.json").into())), now);
    let outputs = drain(&mut shard);
    let [Output::Event(Event::Dispatch(first))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((first.name(), first.sequence()), ("A", Some(2)));
    assert_eq!(first.decode::<serde_json::Value>().unwrap(), serde_json::json!({"a": 1}));
    assert_eq!(first.raw().as_bytes(), br#"{"a":1}"#);
    shard.handle_input(Input::Message(Message::Text(r#"{"t":"C","s":4,"op":0,"d":{}}"#.into())), now);
    let outputs = drain(&mut shard);
    let gap = |output: &Output| {
        matches!(output, Output::Event(Event::Notice(Notice::SequenceGap { after: 2, got: 4 })))
    };
    assert!(outputs.iter().any(gap), "{outputs:?}");
    assert!(outputs.iter().any(|output| matches!(output, Output::Close(_))), "{outputs:?}");
    assert_eq!(dispatches(&outputs), []);
    assert_eq!(shard.session().map(|session| session.sequence()), Some(2), "the replay brings 3 and 4");
}

/// Hello with a float as its interval: 20 seconds.
#[test]
fn case_04_hello_with_a_float() {
    let now = now();
    let mut config = ShardConfig::new("token", Intents::GUILDS);
    (config.seed, config.compression) = (Some(1), Compression::None);
    let mut shard = Shard::new(config, now).unwrap();
    shard.handle_input(Input::Opened, now);
    shard.handle_input(Input::Message(Message::Text(case("04-hello-float.json").into())), now);
    let outputs = drain(&mut shard);
    let twenty = Duration::from_secs(20);
    let hello = |output: &Output| matches!(output, Output::Event(Event::Hello { heartbeat_interval }) if *heartbeat_interval == twenty);
    assert!(outputs.iter().any(hello), "{outputs:?}");
    assert!(!outputs.iter().any(|output| matches!(output, Output::Event(Event::Notice(_)))), "{outputs:?}");
    let Output::Timeout(first) = shard.poll_output() else { panic!("a shard that waits says until when") };
    assert!(first <= now + twenty, "the first heartbeat");
}

/// Keys after `d` do not belong to it.
#[test]
fn case_10_keys_after_d() {
    let now = now();
    let mut shard = ready_shard(Encoding::Json, now);
    let payload = String::from_utf8(case("10-behind-d.json")).unwrap().replace(r#""s":1,"#, r#""s":2,"#);
    shard.handle_input(Input::Message(Message::Text(payload.into())), now);
    let outputs = drain(&mut shard);
    let [Output::Event(Event::Dispatch(dispatch))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((dispatch.name(), dispatch.sequence()), ("X", Some(2)));
    assert_eq!(dispatch.data().as_bytes(), br#"{"a":1}"#);
    assert_eq!(dispatch.raw().as_bytes(), br#"{"a":1}"#);
    assert_eq!(dispatch.decode::<serde_json::Value>().unwrap(), serde_json::json!({"a": 1}));
}

/// The answer to the upgrade has a folded header. It is accepted, and the header's value is `b c` (RFC 9112, section
/// 5.2).
#[cfg(feature = "raw")]
#[test]
fn case_07_a_folded_header_in_the_answer_to_the_upgrade() {
    use gateway_proto::upgrade::{Upgrade, Upgraded};
    use gateway_proto::{ConnectError, GatewayUrl};

    let upgrade = || Upgrade::new(&GatewayUrl::parse("wss://gateway.example").unwrap(), *b"the sample nonce");
    let answer = case("07-obs-fold.http");
    assert_eq!(upgrade().push(&answer), Some(Upgraded::Open { used: answer.len() }));
    let mut bytewise = upgrade();
    let (last, before) = answer.split_last().unwrap();
    assert!(before.iter().all(|byte| bytewise.push(&[*byte]).is_none()));
    assert_eq!(bytewise.push(&[*last]), Some(Upgraded::Open { used: 1 }));

    // Only a refusal reports its headers.
    let refusal = String::from_utf8(answer).unwrap().replace("101 Switching Protocols", "503 Down");
    let mut refused = upgrade();
    assert_eq!(refused.push(refusal.as_bytes()), None, "its body may follow");
    let ConnectError::Refused(refused) = refused.finish() else { panic!("not a refusal") };
    assert!(refused.headers.contains(&("X-A".to_owned(), "b c".to_owned())), "{:?}", refused.headers);
}
