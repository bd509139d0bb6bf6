//! Small inputs that once went wrong, in `tests/cases`: each stands for a kind.

use std::path::Path;

fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Hello with its interval as a float: 20 seconds.
#[test]
fn case_04_hello_with_a_float() {
    use std::time::{Duration, Instant};

    use gateway_proto::{Event, Input, Intents, Message, Output, Shard, ShardConfig};

    #[allow(clippy::disallowed_methods, reason = "a virtual clock has to begin somewhere")]
    let now = Instant::now();
    let mut config = ShardConfig::new("token", Intents::GUILDS);
    config.seed = Some(1);
    let mut shard = Shard::new(config, now).unwrap();
    shard.handle_input(Input::Opened, now);
    shard.handle_input(Input::Message(Message::Text(case("04-hello-float.json").into())), now);
    let mut said = Vec::new();
    let first = loop {
        match shard.poll_output() {
            Output::Timeout(deadline) => break deadline,
            output => said.push(output),
        }
    };
    let twenty = Duration::from_secs(20);
    let hello = |output: &Output| matches!(output, Output::Event(Event::Hello { heartbeat_interval }) if *heartbeat_interval == twenty);
    assert!(said.iter().any(hello), "{said:?}");
    assert!(!said.iter().any(|output| matches!(output, Output::Event(Event::Notice(_)))), "{said:?}");
    assert!(first <= now + twenty, "the first heartbeat");
}

/// The answer to the upgrade has a folded header: it is accepted, and the header's value is `b c` (RFC 9112, section 5.2).
#[cfg(feature = "upgrade")]
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

    // Only a refusal shows its headers.
    let refusal = String::from_utf8(answer).unwrap().replace("101 Switching Protocols", "503 Down");
    let mut refused = upgrade();
    assert_eq!(refused.push(refusal.as_bytes()), None, "its body may follow");
    let ConnectError::Refused(refused) = refused.finish() else { panic!("not a refusal") };
    assert!(refused.headers.contains(&("X-A".to_owned(), "b c".to_owned())), "{:?}", refused.headers);
}
