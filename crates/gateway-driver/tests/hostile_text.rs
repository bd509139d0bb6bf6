//! A server that sends secrets and escape sequences in every text, and what an application prints of them.

mod support;

use std::io;

use gateway_driver::proto::ConnectError;
use gateway_driver::proto::disconnect::DisconnectReason;
use serde_json::json;
use support::clock::Dial;
use support::{Client, RESUME_HOST, SESSION_ID, TOKEN, answer_upgrade, config, dispatch};

const ESCAPES: &str = "\u{1b}[2J\u{202e}";

fn assert_harmless(text: &str) {
    for secret in [TOKEN, SESSION_ID, RESUME_HOST] {
        assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{text}");
    }
    assert!(!text.chars().any(|character| character.is_control() || character == '\u{202e}'), "{text:?}");
    assert!(text.len() < 1000, "{text}");
}

#[test]
fn texts_of_a_hostile_server_are_not_quoted() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    let echo = format!("{ESCAPES}{TOKEN} {SESSION_ID} ws://{RESUME_HOST}");
    let mut data = serde_json::Map::new();
    data.insert(echo.clone(), json!([{echo.clone(): echo.clone()}]));
    server.send(dispatch(&echo, 2, data.into()));
    server.send(json!({"op": 99, "t": echo.clone(), "d": echo.clone()}));
    client.settle();
    // The resume URL, then the base URL; an error of the system, then a page.
    client.runtime.plan(Dial::Fail(io::Error::other(echo.clone())));
    // A close frame has room for 123 bytes.
    server.close(4000, Box::leak(echo.clone().into_boxed_str()));
    client.settle();
    let end = client.wait_for_connection().expect("the shard connects");
    let page = format!(
        "HTTP/1.1 403 {TOKEN}\r\nX-{TOKEN}: {TOKEN} {SESSION_ID}\r\nContent-Length: {}\r\n\r\n{echo}",
        echo.len()
    );
    answer_upgrade(&mut client, end, page.as_bytes());

    let disconnects = client.disconnects();
    assert_eq!(disconnects.len(), 3, "{disconnects:?}");
    for event in &client.events {
        assert_harmless(&event.to_string());
        assert_harmless(&format!("{event:?}"));
    }
    assert_harmless(&client.shard.health().to_string());
    assert_harmless(&format!("{:?}", client.shard.health()));
    assert_harmless(&client.shard.stats().to_string());
    assert_eq!(disconnects[0].to_string(), "closed with code 4000: \\u{1b}[2J\\u{202e}… … ws://…");
    let DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) = &disconnects[2] else {
        panic!("{:?}", disconnects[2])
    };
    assert_eq!(refused.headers[0], ("X-…".to_owned(), "… …".to_owned()));
    assert_eq!(refused.body, format!("{ESCAPES}… … ws://…").into_bytes());
}
