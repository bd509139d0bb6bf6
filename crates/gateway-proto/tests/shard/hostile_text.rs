//! A server that sends secrets and escape sequences in every text. Printed text contains neither.

use gateway_proto::disconnect::{DisconnectReason, Refused};
use gateway_proto::health::Phase;
use gateway_proto::{Closed, ConnectError, Event, Input, Output};

use crate::support::{RESUME_URL, SESSION, Scenario, TOKEN, config, server};

/// The host and a path: the URL of READY below has both.
const HOST: &str = "resume-s3cret.gateway.example";
const PATH: &str = "/path-s3cret";

/// All secrets in forms that a server may echo, and escape sequences of terminals.
fn hostile() -> String {
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let json = |text: &str| text.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    let secrets = [TOKEN, SESSION, RESUME_URL, HOST, PATH];
    let written = secrets.iter().flat_map(|secret| {
        [(*secret).to_owned(), secret.to_uppercase(), percent(secret), json(secret), format!("Bot {secret}")]
    });
    format!(
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\r\nINFO forged line\u{202e}\u{2028}\u{7f} {}",
        written.collect::<Vec<_>>().join(" ")
    )
}

/// The text is one line of bounded length, without a secret and without invisible characters.
fn assert_harmless(what: &str, text: &str) {
    let visible =
        |character: char| matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1;
    assert!(text.chars().all(visible), "{what}: {text:?}");
    assert!(text.len() < 1000, "{what} has {} bytes", text.len());
    let plain = text.to_lowercase();
    let percent = "s3cret".bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let json = "s3cret".bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    for secret in ["s3cret", &percent, &json] {
        assert!(!plain.contains(secret), "{what}: {text}");
    }
}

/// The printed texts, so that a test without any fails.
fn look(scenario: &mut Scenario) -> Vec<String> {
    let mut lines = Vec::new();
    for (_, output) in scenario.outputs() {
        assert_harmless("an output", &format!("{output:?}"));
        let Output::Event(event) = output else { continue };
        assert_harmless("an event", &event.to_string());
        assert_harmless("an event", &format!("{event:?}"));
        match &event {
            Event::Dispatch(dispatch) => {
                assert_harmless("a dispatch", &dispatch.to_string());
                let error = dispatch.decode::<Vec<u8>>().unwrap_err();
                assert_harmless("an error", &format!("{error} {error:?}"));
            }
            Event::Disconnected(end) => {
                assert_harmless("a disconnection", &format!("{end} {:?}", end.reason));
                look_at_reason(&end.reason);
            }
            Event::Unknown(unknown) => {
                assert_harmless("an unknown message", &format!("{unknown} {unknown:?}"));
            }
            _ => {}
        }
        lines.push(event.to_string());
    }
    let shard = &scenario.shard;
    let (health, stats) = (shard.health(), shard.stats());
    assert_harmless("health", &format!("{health}"));
    assert_harmless("health", &format!("{:?}", health.condition));
    assert_harmless("stats", &format!("{stats}"));
    assert!(!format!("{stats:?} {shard:?}").contains("s3cret"));
    lines
}

/// The fields contain no secret either.
fn look_at_reason(reason: &DisconnectReason) {
    match reason {
        DisconnectReason::Closed(
            Closed::Frame { reason: text, .. } | Closed::Failed(text) | Closed::Protocol(text),
        )
        | DisconnectReason::Undecodable(text)
        | DisconnectReason::ConnectFailed(
            ConnectError::Dns(text)
            | ConnectError::Tcp(text)
            | ConnectError::Tls(text)
            | ConnectError::Handshake(text),
        ) => assert_harmless("a field", text),
        DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => {
            let body = String::from_utf8(refused.body.clone()).unwrap();
            let headers = refused.headers.iter().flat_map(|(name, value)| [name, value]);
            for text in headers.chain([&body]) {
                assert!(!text.to_lowercase().contains("s3cret") && text.contains('…'), "{text}");
                // Nor do they contain the escaped forms.
                assert!(!text.contains("%73%33") && !text.contains("\\u0073\\u0033"), "{text}");
                assert!(text.contains("\u{1b}"), "it is otherwise as it came");
            }
        }
        _ => {}
    }
}

/// READY, with a session whose URL has a path.
fn ready() -> Scenario {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::ready_with(&format!(
        r#""session_id":"{SESSION}","resume_gateway_url":"{RESUME_URL}{PATH}""#
    )));
    scenario
}

#[test]
fn a_server_that_echoes_secrets_and_escape_sequences_is_not_quoted() {
    let hostile = hostile();
    let json = serde_json::to_string(&hostile).unwrap();
    let frame = |code| Input::Closed(Closed::Frame { code, reason: hostile.clone() });
    let refused = || {
        let headers = vec![(hostile.clone(), hostile.clone()), ("x".to_owned() + &hostile, hostile.clone())];
        let mut refused = Refused::new(403);
        refused.headers = headers;
        refused.body = hostile.clone().into_bytes();
        refused
    };
    for end in [
        frame(Some(4000)),
        frame(Some(4009)),
        frame(None),
        Input::Closed(Closed::Failed(hostile.clone())),
        Input::Closed(Closed::Protocol(hostile.clone())),
    ] {
        assert_harmless("an input", &format!("{end:?}"));
        let mut scenario = ready();
        look(&mut scenario);
        // The name of an event, keys and values of its data, and an unknown message.
        scenario.server(&format!(r#"{{"t":{json},"s":2,"op":0,"d":{{{json}:{{{json}:{json}}}}}}}"#));
        scenario.server(&format!(r#"{{"t":{json},"s":null,"op":77,"d":{json},{json}:1}}"#));
        let lines = look(&mut scenario);
        assert!(
            lines[0].starts_with(r"\u{1b}]0;title\u{7}") && lines[0].contains(", sequence 2"),
            "{lines:?}"
        );
        assert!(lines[1].contains("unknown opcode 77"), "{lines:?}");
        scenario.input(end);
        let lines = look(&mut scenario);
        assert!(lines[0].starts_with("disconnected: "), "{lines:?}");
        // The session may have ended. Its secrets are still secret.
        for error in [
            ConnectError::Dns(hostile.clone()),
            ConnectError::Tcp(hostile.clone()),
            ConnectError::Tls(hostile.clone()),
            ConnectError::Handshake(hostile.clone()),
            ConnectError::Refused(refused()),
        ] {
            scenario.next_connect();
            let input = Input::ConnectFailed(error);
            assert_harmless("an input", &format!("{input:?}"));
            scenario.input(input);
            let lines = look(&mut scenario);
            assert!(lines.iter().any(|line| line.starts_with("disconnected: ")), "{lines:?}");
        }
    }
}

/// The reason for which the shard stops, and later errors.
#[test]
fn a_rejection_quotes_nothing_either() {
    let mut scenario = ready();
    look(&mut scenario);
    scenario.input(Input::Closed(Closed::Frame { code: Some(4004), reason: hostile() }));
    let lines = look(&mut scenario);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn undecodable_messages_are_not_quoted() {
    let hostile = hostile();
    let json = serde_json::to_string(&hostile).unwrap();
    let payloads = [
        hostile.clone(),
        format!("{{{json}"),
        format!("{{{json}:{json}"),
        format!(r#"{{"op":{json},"d":null}}"#),
        format!(r#"{{"op":{{{json}:"#),
        format!(r#"{{"op":0,"s":{json},"t":{json},"d":{{{json}:"#),
    ];
    for payload in payloads {
        let mut scenario = ready();
        scenario.server(&payload);
        look(&mut scenario);
        let mut scenario = ready();
        scenario.server_binary(payload.clone());
        look(&mut scenario);
        assert_eq!(scenario.shard.stats().undecodable, 1, "{payload:?}");
    }
}

/// With compression and in ETF the texts are the same.
#[cfg(all(feature = "zlib", feature = "zstd"))]
#[test]
fn other_formats_are_not_quoted_either() {
    use gateway_proto::codec::Deflater;
    use gateway_proto::{Compression, Encoding};
    let mut config = config();
    (config.encoding, config.compression) = (Encoding::Etf, Compression::ZlibStream);
    let mut scenario = Scenario::new(config);
    let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
    let mut say = |scenario: &mut Scenario, value: serde_json::Value| {
        let payload = gateway_proto::codec::encode(&value, Encoding::Etf).unwrap();
        scenario.server_binary(deflater.push(&payload));
    };
    scenario.input(Input::Opened);
    say(&mut scenario, serde_json::json!({"op": 10, "d": {"heartbeat_interval": 40_000}}));
    scenario.input(Input::IdentifyGranted);
    let ready =
        serde_json::json!({"session_id": SESSION, "resume_gateway_url": format!("{RESUME_URL}{PATH}")});
    say(&mut scenario, serde_json::json!({"op": 0, "t": "READY", "s": 1, "d": ready}));
    look(&mut scenario);
    let mut data = serde_json::Map::new();
    data.insert(hostile(), hostile().into());
    say(&mut scenario, serde_json::json!({"op": 0, "t": hostile(), "s": 2, "d": data}));
    let lines = look(&mut scenario);
    assert!(lines[0].contains(", sequence 2"), "{lines:?}");
    scenario.server_binary(hostile());
    let lines = look(&mut scenario);
    assert_eq!(scenario.shard.stats().undecodable, 1, "{lines:?}");
}

/// The server also knows a resume URL that is rejected.
#[test]
fn a_resume_url_that_cannot_be_used_is_not_quoted() {
    for url in [
        "ws://resume-s3cret.example/path-s3cret",
        "resume-s3cret.example/path-s3cret",
        "wss://resume-s3cret.example:0",
    ] {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(&format!(
            r#""session_id":"{SESSION}","resume_gateway_url":"{url}""#
        )));
        look(&mut scenario);
        for text in [url, &url[url.find("res").unwrap()..]] {
            scenario
                .input(Input::Closed(Closed::Frame { code: Some(4000), reason: format!("not at {text}") }));
            assert!(look(&mut scenario)[0].contains("not at …"));
            scenario.next_connect();
            scenario.open();
            scenario.server(&server::resumed(2));
            look(&mut scenario);
        }
    }
}

/// One line for each kind of event, as an application prints it.
#[test]
fn each_event_is_one_plain_line() {
    let mut scenario = Scenario::new(config());
    let mut lines = look(&mut scenario);
    let life: [crate::support::Step; 17] = [
        Scenario::open,
        |scenario| scenario.input(Input::IdentifyGranted),
        |scenario| scenario.server(&server::ready()),
        |scenario| scenario.server(&server::message(2)),
        |scenario| scenario.server(&server::dispatch("NOT_YET_DOCUMENTED", 3)),
        |scenario| scenario.server(r#"{"op":77,"d":[1]}"#),
        |scenario| {
            scenario.advance_until("send");
        },
        |scenario| scenario.server(&server::acknowledgement()),
        |scenario| {
            scenario.input(Input::Closed(Closed::Frame { code: Some(4000), reason: "bye\n".to_owned() }));
        },
        Scenario::open,
        |scenario| scenario.server(&server::message(3)),
        |scenario| scenario.server(&server::message(6)),
        |scenario| {
            scenario.eof();
        },
        Scenario::open,
        |scenario| scenario.server(&server::message(4)),
        |scenario| scenario.server(&server::resumed(5)),
        |scenario| scenario.server("{"),
    ];
    for step in life {
        if scenario.shard.phase() == Phase::BackingOff {
            while scenario.shard.phase() != Phase::Connecting {
                scenario.next_deadline();
            }
        }
        step(&mut scenario);
        lines.extend(look(&mut scenario));
    }
    scenario.eof();
    lines.extend(look(&mut scenario));
    // The wait depends on the seed.
    for line in &mut lines {
        if let Some((start, _)) = line.split_once("; resuming in ") {
            *line = format!("{start}; resuming in …");
        }
    }
    assert_eq!(
        lines,
        [
            "connecting (attempt 0)",
            "connected",
            "hello: a heartbeat every 40000 ms",
            "identifying",
            "READY, sequence 1, 97 bytes",
            "ready",
            "MESSAGE_CREATE, sequence 2, 10 bytes",
            "NOT_YET_DOCUMENTED, sequence 3, 10 bytes",
            "a message with the unknown opcode 77, 3 bytes",
            "latency 0.0 ms",
            "disconnected: closed with code 4000: bye\\n; resuming in …",
            "connecting to resume (attempt 1)",
            "connected",
            "hello: a heartbeat every 40000 ms",
            "resuming after event 3",
            "event 3 was replayed although it had arrived; it is dropped",
            "the server skipped sequence numbers: 6 follows 3",
            "disconnected: the server skipped sequence numbers: 6 came after 3; resuming in …",
            "connecting to resume (attempt 2)",
            "connected",
            "hello: a heartbeat every 40000 ms",
            "resuming after event 3",
            "MESSAGE_CREATE, sequence 4, 10 bytes",
            "RESUMED, sequence 5, 4 bytes",
            "resumed: 1 events replayed",
            "disconnected: a message could not be decoded: the input ended too early, at byte 1; resuming in …",
        ]
    );
    let (health, stats) = (scenario.shard.health(), scenario.shard.stats());
    assert_eq!(
        health.to_string(),
        "reconnecting (attempt 3): a message could not be decoded: the input ended too early, at byte 1 (waiting to connect), \
         0 commands waiting"
    );
    assert_eq!(
        stats.to_string(),
        "3 of 3 connection attempts opened, 3 ended; 1 Identifies, 1 of 2 Resumes answered; 5 dispatches in 13 payloads of \
         698 bytes; 1 of 1 heartbeats acknowledged; 0 commands sent"
    );
    assert_eq!(
        health.ages(scenario.now()).to_string(),
        "received never, acknowledged never, dispatch 0.0 ms ago"
    );
}
