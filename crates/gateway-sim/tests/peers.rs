//! Eighteen habits of real clients that a gateway must accept, each over a real port where the wire matters.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Seen, World, data, heartbeat, identify, identify_with, name, op, resume};
use gateway_codec::{Compression, InflateLimits, Inflater};
use gateway_sim::{ClientMessage, Config, Control, FrameMode, Output, Server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

type Client = WebSocket<tungstenite::stream::MaybeTlsStream<TcpStream>>;

#[expect(clippy::disallowed_methods, reason = "a client without a library")]
fn tcp(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    stream
}

/// The whole response to one request.
fn get(server: &Server, path: &str, authorization: Option<&str>) -> String {
    let mut stream = tcp(server);
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{authorization}\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn body(response: &str) -> Value {
    serde_json::from_str(response.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

fn connect(server: &Server, target: &str) -> Client {
    tungstenite::connect(format!("{}{target}", server.url())).expect("the server accepts").0
}

fn receive(client: &mut Client) -> Value {
    match client.read().expect("a message") {
        Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("not a text: {other:?}"),
    }
}

fn send(client: &mut Client, payload: &Value) {
    client.send(Message::text(payload.to_string())).expect("the server reads");
}

#[test]
fn point_01_rest_answers_are_application_json_exactly() {
    let server = Server::start(Config::default()).unwrap();
    for path in [
        "/gateway",
        "/api/v10/gateway",
        "/api/v9/gateway/bot",
        "/api/v10/users/@me",
        "/api/v10/oauth2/applications/@me",
        "/v10/applications/@me",
    ] {
        let response = get(&server, path, Some("Bot simulated-token"));
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {response}");
        assert!(response.contains("\r\nContent-Type: application/json\r\n"), "{path}: {response}");
    }
    assert!(get(&server, "/api/v10/users/@me", Some("Bot wrong")).starts_with("HTTP/1.1 401 "));
    assert!(get(&server, "/api/v10/gateway/bot", None).starts_with("HTTP/1.1 401 "));
    assert!(get(&server, "/api/v10/elsewhere", Some("Bot simulated-token")).starts_with("HTTP/1.1 404 "));
    let bot = body(&get(&server, "/api/v10/gateway/bot", Some("Bot simulated-token")));
    for key in ["total", "remaining", "reset_after", "max_concurrency"] {
        assert!(bot["session_start_limit"][key].is_u64(), "{key}");
    }
    assert_eq!(bot["shards"], 1);
}

#[test]
fn point_02_urls_are_bare_and_any_target_is_accepted() {
    let server = Server::start(Config::default()).unwrap();
    let url = body(&get(&server, "/api/v10/gateway", None))["url"].as_str().unwrap().to_owned();
    assert_eq!(url, server.url());
    assert!(!url.trim_start_matches("ws://").contains(['/', '?']), "{url}");
    for target in ["/?v=10&encoding=json", "//?v=10&encoding=json", "?v=10", "/?encoding=json&v=10", "/?v=10"]
    {
        // Some libraries put the query directly after the port; their HTTP layer then sends `/?…` or `?…`.
        let mut stream = tcp(&server);
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = [0; 128];
        stream.read_exact(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head);
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{target}: {head}");
    }
}

#[test]
fn point_03_versions_9_and_10_are_served() {
    for version in [9, 10] {
        let mut world = World::plain();
        let id = world.open(&format!("/?v={version}&encoding=json"));
        world.send(id, &identify());
        let seen = world.seen(id);
        assert_eq!(data(&seen[2])["v"], version);
    }
}

#[test]
fn point_04_the_resume_url_does_not_come_from_the_host_header() {
    let server = Server::start(Config::default()).unwrap();
    // The client's library sends `Host` with the port; the gateway must ignore it.
    let response = get(&server, "/api/v10/gateway", None);
    assert_eq!(body(&response)["url"], server.url());
    // The same if the upgrade has such a `Host`.
    for host in ["127.0.0.1", "gateway.example", "127.0.0.1:9"] {
        let request = tungstenite::http::Request::builder()
            .uri("ws://127.0.0.1/?v=10&encoding=json")
            .header("Host", host)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", tungstenite::handshake::client::generate_key())
            .body(())
            .unwrap();
        // Each client has its own gateway, so that none has to wait for its Identify.
        let server = Server::start(Config::default()).unwrap();
        let (mut client, _) = tungstenite::client(request, tcp(&server)).expect("the server accepts");
        client.read().expect("Hello");
        client.send(Message::text(identify().to_string())).expect("the server reads");
        let ready: Value = serde_json::from_str(client.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(ready["d"]["resume_gateway_url"], server.url(), "{host}");
    }
}

#[test]
fn point_05_heartbeats_before_identify_or_resume_are_acked() {
    let mut world = World::plain();
    let id = world.connect();
    for sequence in [None, Some(0), Some(7)] {
        world.send(id, &heartbeat(sequence));
        assert_eq!(op(&world.seen(id)[0]), Some(11), "{sequence:?}");
    }
    world.send(id, &identify());
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));
}

#[test]
fn point_06_resume_may_come_before_hello_and_while_the_old_socket_is_open() {
    let mut config = Config::default();
    config.hello_delay = Duration::from_secs(1);
    let mut world = World::new(config);
    let old = world.open("/?v=10");
    world.send(old, &identify());
    let session = common::session_id(&world.seen(old)[1]);
    let id = world.open("/?v=10");
    world.send(id, &resume(&session, 3));
    let mut outputs = Vec::new();
    while let Some(output) = world.gateway.poll_output() {
        outputs.push(output);
    }
    assert!(
        outputs
            .iter()
            .any(|(connection, output)| *connection == old && matches!(output, Output::Close(Some(4000), _)))
    );
    assert_eq!(world.gateway.session_of(id), Some(1));
    assert_eq!(world.gateway.counters().resumed, 1);
    assert_eq!(world.gateway.counters().resumed_while_old_open, 1);
    world.wait(Duration::from_secs(1));
    assert_eq!(op(&world.seen(id)[0]), Some(10));
}

#[test]
fn point_07_resume_or_identify_on_the_same_connection_after_op_9() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.control(Control::Invalid { resumable: true });
    world.seen(id);
    world.send(id, &resume(&session, 3));
    assert_eq!(name(&world.seen(id)[0]), Some("RESUMED"));
    world.control(Control::Invalid { resumable: false });
    world.wait(Duration::from_secs(6));
    world.seen(id);
    world.send(id, &identify());
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));
}

#[test]
fn point_08_transport_compression_wins_over_payload_compression() {
    for target in ["/?v=10&compress=zstd-stream", "/?v=10&compress=zlib-stream"] {
        let mut world = World::plain();
        let id = world.open(target);
        world.send(id, &identify_with(json!({"compress": true})));
        let compression =
            if target.contains("zstd") { Compression::ZstdStream } else { Compression::ZlibStream };
        let mut inflater = Inflater::new(compression, InflateLimits::default()).unwrap();
        let mut payloads = Vec::new();
        for seen in world.seen(id).into_iter().skip(1) {
            let Seen::Binary(bytes) = seen else { panic!("{seen:?}") };
            let inflated = inflater.push(&bytes, |_| true).unwrap().expect("a whole message");
            payloads.push(serde_json::from_slice::<Value>(&inflated).unwrap());
        }
        assert_eq!(payloads[0]["op"], 10);
        assert_eq!(payloads[1]["t"], "READY");
    }
}

#[test]
fn point_09_tokens_with_and_without_bot() {
    for token in ["simulated-token", "Bot simulated-token"] {
        let mut world = World::plain();
        let id = world.connect();
        world.send(id, &identify_with(json!({"token": token})));
        let session = common::session_id(&world.seen(id)[0]);
        world.client(id, ClientMessage::Gone);
        let id = world.connect();
        world.send(id, &json!({"op": 6, "d": {"token": token, "session_id": session, "seq": 3}}));
        assert_eq!(name(&world.seen(id)[0]), Some("RESUMED"));
    }
}

#[test]
fn point_10_incomplete_identifies_are_accepted() {
    for changes in [
        json!({"properties": {"$os": "linux", "$browser": "x", "$device": "x"}}),
        json!({"properties": {"os": "", "browser": "", "device": ""}}),
        json!({"presence": {"since": {"secs_since_epoch": 1, "nanos_since_epoch": 0}, "status": "online"}}),
        json!({"presence": {"since": 0, "game": {"name": "x"}, "status": ""}}),
        json!({"shard": [0, 1]}),
        json!({"large_threshold": 250}),
    ] {
        let mut world = World::plain();
        let id = world.connect();
        world.send(id, &identify_with(changes.clone()));
        assert_eq!(name(&world.seen(id)[0]), Some("READY"), "{changes}");
    }
    let mut world = World::plain();
    let id = world.connect();
    let mut payload = identify();
    payload["d"]["presence"] = Value::Null;
    world.send(id, &payload);
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));
}

#[test]
fn point_11_resumed_has_an_object_and_op_9_a_boolean() {
    let mut world = World::plain();
    let (id, session) = world.start();
    world.client(id, ClientMessage::Gone);
    let id = world.connect();
    world.send(id, &resume(&session, 3));
    assert!(data(&world.seen(id)[0]).is_object());
    for resumable in [true, false] {
        world.control(Control::Invalid { resumable });
        assert!(data(&world.seen(id)[0]).is_boolean());
    }
}

#[test]
fn point_12_ready_has_what_clients_need() {
    let mut world = World::plain();
    let id = world.connect();
    world.send(id, &identify_with(json!({"shard": [0, 1]})));
    let seen = world.seen(id);
    let ready = data(&seen[0]);
    assert_eq!(ready["session_id"].as_str().map(str::len), Some(32));
    assert!(ready["resume_gateway_url"].is_string());
    assert!(ready["user"]["id"].is_string());
    assert!(ready["guilds"].is_array());
    assert!(ready["application"]["id"].is_string() && ready["application"]["flags"].is_u64());
    assert_eq!((&ready["v"], &ready["shard"]), (&json!(10), &json!([0, 1])));
}

#[test]
fn point_13_keys_come_in_the_order_t_s_op_d() {
    let mut world = World::plain();
    let id = world.open("/?v=10");
    world.send(id, &identify());
    world.send(id, &heartbeat(None));
    while let Some((_, output)) = world.gateway.poll_output() {
        if let Output::Send(message) = output {
            let text = String::from_utf8(message.payload).unwrap();
            let positions = ["{\"t\":", ",\"s\":", ",\"op\":", ",\"d\":"].map(|key| text.find(key).unwrap());
            assert!(positions.is_sorted() && positions[0] == 0, "{text}");
        }
    }
}

#[test]
fn point_14_permessage_deflate_is_declined() {
    let server = Server::start(Config::default()).unwrap();
    let mut stream = tcp(&server);
    write!(
        stream,
        "GET /?v=10 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "));
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
}

#[test]
fn point_15_identify_may_come_late() {
    let mut world = World::plain();
    let id = world.connect();
    for _ in 0..10 {
        world.wait(Duration::from_secs(30));
        world.send(id, &heartbeat(None));
        assert_eq!(op(&world.seen(id)[0]), Some(11));
    }
    world.send(id, &identify());
    assert_eq!(name(&world.seen(id)[0]), Some("READY"));
}

#[test]
fn point_16_one_message_for_each_payload_and_fragments_only_on_request() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server, "/?v=10&compress=zlib-stream");
    let mut inflater = Inflater::new(Compression::ZlibStream, InflateLimits::default()).unwrap();
    let mut next = |client: &mut Client| loop {
        let Message::Binary(bytes) = client.read().expect("a message") else { panic!("not binary") };
        let whole = bytes.ends_with(&[0, 0, 255, 255]);
        match inflater.push(&bytes, |output| output.ends_with(b"}")).expect("a stream") {
            Some(payload) => return (whole, serde_json::from_slice::<Value>(&payload).expect("JSON")),
            None => assert!(!whole),
        }
    };
    assert_eq!(next(&mut client).1["op"], 10);
    send(&mut client, &identify());
    for name in ["READY", "GUILD_CREATE", "GUILD_CREATE"] {
        let (whole, payload) = next(&mut client);
        assert!(whole, "one message for each payload");
        assert_eq!(payload["t"], name);
    }
    server.control(Control::FrameMode(FrameMode::Fragments)).unwrap();
    server.control(Control::Emit { count: 1, padding: 5_000_000 }).unwrap();
    assert_eq!(next(&mut client).1["s"], 4);
    server.control(Control::FrameMode(FrameMode::ZlibSplit)).unwrap();
    server.control(Control::Emit { count: 1, padding: 0 }).unwrap();
    let (whole, payload) = next(&mut client);
    assert!(!whole, "the marker is split over two messages");
    assert_eq!(payload["s"], 5);
}

#[test]
fn point_17_unknown_ops_and_events_are_sent_only_on_request() {
    let mut config = Config::default();
    config.rate = 200.0;
    let mut world = World::new(config);
    let (id, _) = world.start();
    world.wait(Duration::from_secs(60));
    let known = |seen: &Seen| matches!(op(seen), Some(0 | 1 | 7 | 9 | 10 | 11));
    assert!(world.seen(id).iter().all(known));
    world.control(Control::Raw(json!({"t": null, "s": null, "op": 99, "d": null}).to_string()));
    assert_eq!(op(&world.seen(id)[0]), Some(99));
}

#[test]
fn point_18_a_client_close_is_answered_and_may_be_followed_by_a_reset() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server, "/?v=10&encoding=json");
    receive(&mut client);
    send(&mut client, &identify());
    receive(&mut client);
    client
        .close(Some(tungstenite::protocol::CloseFrame { code: 4000.into(), reason: "resuming".into() }))
        .unwrap();
    let echo = loop {
        if let Message::Close(frame) = client.read().expect("the echo") {
            break frame.expect("a code").code;
        }
    };
    assert_eq!(u16::from(echo), 4000);
    let mut client = connect(&server, "/?v=10&encoding=json");
    receive(&mut client);
    client.close(None).unwrap();
    drop(client);
    let all_gone = |gateway: &gateway_sim::Gateway| (gateway.connections().count() == 0).then_some(());
    assert!(server.wait(Duration::from_secs(30), all_gone).is_some());
    assert_eq!(server.with(|gateway| gateway.state()["sessions"].as_array().map(Vec::len)), Some(1));
}
