//! The front beyond the plain case: TLS, byte faults, the control interface, the trace, the address for Resume.

mod common;

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::live::{LIMIT, get, tcp};
use common::{heartbeat, identify, resume};
use gateway_sim::{
    Action, ByteEffect, ByteFault, Config, Control, Point, Response, Rule, Server, ServerConfig,
};
use serde_json::Value;
use tungstenite::{Error, Message, WebSocket};

/// A WebSocket after its upgrade, over any stream.
fn websocket<S: Read + Write>(stream: S) -> Result<WebSocket<S>, String> {
    match tungstenite::client("ws://127.0.0.1/?v=10&encoding=json", stream) {
        Ok((client, _)) => Ok(client),
        Err(error) => Err(error.to_string()),
    }
}

fn receive<S: Read + Write>(client: &mut WebSocket<S>) -> Value {
    match client.read().expect("a message") {
        Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("not a text: {other:?}"),
    }
}

fn send<S: Read + Write>(client: &mut WebSocket<S>, payload: &Value) {
    client.send(Message::text(payload.to_string())).expect("the server reads");
}

fn start<S: Read + Write>(client: &mut WebSocket<S>) -> Value {
    assert_eq!(receive(client)["op"], 10);
    send(client, &identify());
    let ready = receive(client);
    assert_eq!(ready["t"], "READY");
    for _ in 0..2 {
        assert_eq!(receive(client)["t"], "GUILD_CREATE");
    }
    ready["d"].clone()
}

#[test]
fn control_over_http() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    start(&mut client);
    let (status, state) = get(&server, "/_ctl/state");
    assert_eq!((status, &state["identifies"], &state["sessions"][0]["seq"]), (200, &1.into(), &3.into()));
    assert_eq!(get(&server, "/_ctl/emit?n=2&pad=10").0, 200);
    assert_eq!(receive(&mut client)["s"], 4);
    assert_eq!(receive(&mut client)["s"], 5);
    assert_eq!(get(&server, "/_ctl/event?name=NEW_THING&d=%7B%22a%22%3A1%7D").0, 200);
    assert_eq!(receive(&mut client)["d"]["a"], 1);
    assert_eq!(get(&server, "/_ctl/reconnect").0, 200);
    assert_eq!(receive(&mut client)["op"], 7);
    assert_eq!(get(&server, "/_ctl/beat").0, 200);
    assert_eq!(receive(&mut client)["op"], 1);
    assert_eq!(get(&server, "/_ctl/invalid?resumable=true").0, 200);
    assert_eq!(receive(&mut client)["d"], true);
    assert_eq!(get(&server, "/_ctl/close?code=4000").0, 200);
    assert!(matches!(client.read(), Ok(Message::Close(_))));
    for (path, sentence) in [
        ("/_ctl/fly", "there is no command \"fly\""),
        ("/_ctl/close?code=1005", "1005 cannot be sent; leave the code out for a close frame without one"),
        ("/_ctl/pump?rate=0&secs=1", "rate must be a number above 0"),
    ] {
        let (status, body) = get(&server, path);
        assert_eq!((status, body["message"].as_str()), (400, Some(sentence)), "{path}");
    }
}

#[test]
fn the_control_interface_can_be_switched_off() {
    let mut config = ServerConfig::default();
    config.control = false;
    let server = Server::start(config).unwrap();
    assert_eq!(get(&server, "/_ctl/state").0, 404);
}

#[test]
fn several_requests_on_one_connection() {
    let server = Server::start(Config::default()).unwrap();
    let mut stream = tcp(&server);
    for _ in 0..3 {
        write!(stream, "GET /gateway HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
        }
        assert!(response.starts_with(b"HTTP/1.1 200 OK"));
    }
}

#[test]
fn invalid_requests_end_only_their_connection() {
    let server = Server::start(Config::default()).unwrap();
    for request in ["\0\0\0\r\n\r\n", "GET / HTTP/9\r\n\r\n", &"A".repeat(20_000)] {
        let mut stream = tcp(&server);
        let _ = stream.write_all(request.as_bytes());
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
    let mut stream = tcp(&server);
    write!(stream, "POST /gateway HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 405 "));
}

#[test]
fn a_refused_upgrade_has_its_status_and_headers() {
    let server = Server::start(Config::default()).unwrap();
    let refusal = Response::empty(429).header("Retry-After", "7");
    server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(refusal)))).unwrap();
    let error = tungstenite::client("ws://127.0.0.1/?v=10", tcp(&server)).unwrap_err();
    let tungstenite::HandshakeError::Failure(Error::Http(response)) = error else { panic!("{error}") };
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["Retry-After"], "7");
    assert!(websocket(tcp(&server)).is_ok());
}

#[test]
fn garbage_frames_end_the_connection_and_keep_the_session() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    let ready = start(&mut client);
    client.get_mut().write_all(&[0xff; 64]).unwrap();
    drop(client);
    assert!(server.wait(LIMIT, |gateway| (gateway.connections().count() == 0).then_some(())).is_some());
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    send(&mut client, &resume(ready["session_id"].as_str().unwrap(), 3));
    assert_eq!(receive(&mut client)["t"], "RESUMED");
}

#[test]
fn a_client_that_violates_the_protocol_is_failed() {
    let server = Server::start(Config::default()).unwrap();
    // All but the first have a mask of zeros.
    let violations: [(&str, &[u8], u16); 6] = [
        ("no mask", &[0x81, 0x02, b'{', b'}'], 1002),
        ("a reserved bit", &[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}'], 1002),
        ("a reserved opcode", &[0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a ping in fragments", &[0x09, 0x80, 0, 0, 0, 0], 1002),
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0], 1002),
        ("a text that is not UTF-8", &[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ];
    for (what, bytes, code) in violations {
        let mut client = websocket(tcp(&server)).unwrap();
        assert_eq!(receive(&mut client)["op"], 10);
        client.get_mut().write_all(bytes).unwrap();
        match client.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert!(server.wait(LIMIT, |gateway| (gateway.connections().count() == 0).then_some(())).is_some());
}

#[test]
fn the_gateway_alone_answers_a_close_frame() {
    let server = Server::start(Config::default()).unwrap();
    let rule = |action| server.control(Control::Rule(Rule::once(Point::Close, action))).unwrap();
    rule(Action::Close(Some(4001)));
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    client.close(None).unwrap();
    let Ok(Message::Close(Some(frame))) = client.read() else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 4001);

    // If it is ignored, the close frame is followed by the end of the stream, with nothing in between.
    rule(Action::Ignore);
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    client.close(None).unwrap();
    let closed =
        |gateway: &gateway_sim::Gateway| (gateway.counters().client_closes[&1005] == 2).then_some(());
    assert!(server.wait(LIMIT, closed).is_some());
    server.control(Control::Drop).unwrap();
    let mut rest = Vec::new();
    client.get_mut().read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn queued_pongs_are_bounded() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.resize(ping.len() + 125, b'?');
    let pings = ping.repeat(1000);
    let stream = client.get_mut();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Far more than the buffers of both ends hold: the server stops reading, so that the client can no longer write.
    let blocked = (0..1000).find_map(|_| stream.write_all(&pings).err());
    let kind = blocked.expect("the server stops reading").kind();
    assert!(matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{kind:?}");
    // Other connections are not affected.
    assert_eq!(receive(&mut websocket(tcp(&server)).unwrap())["op"], 10);
    // Once the client reads, the answers arrive.
    assert!(matches!(client.read(), Ok(Message::Pong(_))));
}

#[test]
fn a_message_of_megabytes_from_a_client_is_4002() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    // The server may close before it has read everything.
    let _ = client.send(Message::text("x".repeat(4 * 1024 * 1024)));
    loop {
        match client.read() {
            Ok(Message::Close(Some(frame))) => return assert_eq!(u16::from(frame.code), 4002),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn faults_in_the_bytes_of_a_connection() {
    let server = Server::start(Config::default()).unwrap();
    let on_upgrade = |at, effect| {
        let fault = ByteFault { at, effect };
        server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Bytes(fault)))).unwrap();
        websocket(tcp(&server))
    };
    // Small pieces change nothing; this client needs the answer to its upgrade in fewer than 64 of them.
    let mut client = on_upgrade(0, ByteEffect::Split(3)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    // Nor do single bytes.
    let mut client = on_upgrade(129, ByteEffect::Split(1)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    // The first byte of the answer to the upgrade is no longer `H`.
    assert!(on_upgrade(0, ByteEffect::Corrupt).is_err());
    // Within the answer.
    assert!(on_upgrade(20, ByteEffect::Reset).is_err());
    assert!(on_upgrade(20, ByteEffect::HalfClose).is_err());
    // After the answer (129 bytes), within Hello.
    for effect in [ByteEffect::Reset, ByteEffect::HalfClose] {
        let mut client = on_upgrade(140, effect).unwrap();
        assert!(client.read().is_err(), "{effect:?}");
    }
    // The first frame has lost its head.
    let mut client = on_upgrade(129, ByteEffect::Truncate(2)).unwrap();
    assert!(!matches!(client.read(), Ok(Message::Text(_))));
    // Delayed, but complete.
    let mut client = on_upgrade(129, ByteEffect::Delay(Duration::from_millis(50))).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    // Nothing arrives, and the server still reads.
    let mut client = on_upgrade(129, ByteEffect::Stall).unwrap();
    send(&mut client, &heartbeat(None));
    assert!(server.wait(LIMIT, |gateway| (gateway.counters().heartbeats == 1).then_some(())).is_some());
}

#[test]
fn half_a_message_and_then_a_reset() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    let ready = start(&mut client);
    server.control(Control::Cut).unwrap();
    assert!(client.read().is_err());
    let mut client = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    send(&mut client, &resume(ready["session_id"].as_str().unwrap(), 3));
    assert_eq!(receive(&mut client)["s"], 4);
}

#[test]
fn an_abort_is_a_reset_and_a_drop_ends_the_stream() {
    let server = Server::start(Config::default()).unwrap();
    for (control, kind) in [(Control::Abort, Some(io::ErrorKind::ConnectionReset)), (Control::Drop, None)] {
        let mut stream = websocket(tcp(&server)).unwrap();
        assert_eq!(receive(&mut stream)["op"], 10);
        server.control(control).unwrap();
        let mut rest = Vec::new();
        let result = stream.get_mut().read_to_end(&mut rest);
        assert_eq!(result.err().map(|error| error.kind()), kind);
        assert!(rest.is_empty());
    }
}

#[test]
fn silence_answers_no_ping() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    let ready = start(&mut client);
    server.control(Control::Silence).unwrap();
    client.send(Message::Ping("?".into())).unwrap();
    send(&mut client, &heartbeat(None));
    server.wait(LIMIT, |gateway| (gateway.counters().heartbeats == 1).then_some(())).unwrap();
    // The next event on the wire is the end, which the session's next connection causes.
    let mut other = websocket(tcp(&server)).unwrap();
    assert_eq!(receive(&mut other)["op"], 10);
    send(&mut other, &resume(ready["session_id"].as_str().unwrap(), 3));
    assert_eq!(receive(&mut other)["t"], "RESUMED");
    drop(server);
    assert!(client.read().is_err());
}

#[test]
fn resume_has_a_separate_address_on_request() {
    let mut config = ServerConfig::default();
    config.resume_port = true;
    let server = Server::start(config).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    let ready = start(&mut client);
    let url = ready["resume_gateway_url"].as_str().unwrap();
    assert_ne!(url, server.url());
    let (mut client, _) = tungstenite::connect(format!("{url}/?v=10")).unwrap();
    assert_eq!(receive(&mut client)["op"], 10);
    assert_eq!(server.with(|gateway| gateway.counters().resume_url_connects), 1);
}

#[test]
fn ready_can_name_another_url() {
    let mut config = ServerConfig::default();
    config.url = Some("ws://gateway.example:443".to_owned());
    let server = Server::start(config).unwrap();
    assert_eq!(get(&server, "/api/v10/gateway").1["url"], "ws://gateway.example:443");
    assert!(server.url().starts_with("ws://127.0.0.1:"));
}

/// A trace that the test can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_trace_contains_all_messages_and_no_secret() {
    let lines = Lines::default();
    let mut config = ServerConfig::default();
    config.trace = Some(Box::new(lines.clone()));
    let server = Server::start(config).unwrap();
    let mut client = websocket(tcp(&server)).unwrap();
    let ready = start(&mut client);
    send(&mut client, &heartbeat(Some(3)));
    assert_eq!(receive(&mut client)["op"], 11);
    client.close(None).unwrap();
    while client.read().is_ok() {}
    assert!(server.wait(LIMIT, |gateway| (gateway.connections().count() == 0).then_some(())).is_some());
    drop(server);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("simulated-token"));
    assert!(!text.contains(ready["session_id"].as_str().unwrap()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let what = line["name"].as_str().map(str::to_owned).unwrap_or_else(|| line["op"].to_string());
            format!("{} {} {what}", line["dir"].as_str().unwrap(), line["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            "in open null",
            "out accept null",
            "out message 10",
            "in message 2",
            "out message READY",
            "out message GUILD_CREATE",
            "out message GUILD_CREATE",
            "in message 1",
            "out message 11",
            "in close null",
            "out close null",
            "out drop null",
        ]
    );
    assert!(lines.iter().map(|line| line["t"].as_f64().unwrap()).is_sorted());
    assert!(lines.iter().all(|line| line["conn"] == 1));
    assert_eq!(lines[5]["seq"], 2);
}

#[cfg(feature = "tls")]
mod tls {
    use std::net::TcpStream;

    use super::*;
    use gateway_sim::Tls;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    fn connect(
        server: &Server,
        name: &str,
    ) -> Result<WebSocket<StreamOwned<ClientConnection, TcpStream>>, String> {
        let mut roots = RootCertStore::empty();
        let root = server.root_certificate().expect("a root");
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        websocket(StreamOwned::new(connection, tcp(server)))
    }

    fn server(tls: Tls) -> Server {
        let mut config = ServerConfig::default();
        config.tls = Some(tls);
        Server::start(config).unwrap()
    }

    #[test]
    fn a_session_over_tls() {
        let server = server(Tls::default());
        assert!(server.url().starts_with("wss://127.0.0.1:"));
        assert!(server.http_url().starts_with("https://127.0.0.1:"));
        for name in ["127.0.0.1", "localhost"] {
            let mut client = connect(&server, name).unwrap();
            assert_eq!(receive(&mut client)["op"], 10);
            send(&mut client, &heartbeat(None));
            assert_eq!(receive(&mut client)["op"], 11);
        }
        let mut client = connect(&server, "localhost").unwrap();
        start(&mut client);
        server.control(Control::Emit { count: 1, padding: 5_000_000 }).unwrap();
        assert_eq!(receive(&mut client)["s"], 4);
        server.control(Control::Close { code: Some(4000) }).unwrap();
        assert!(matches!(client.read(), Ok(Message::Close(Some(_)))));
    }

    #[test]
    fn clients_reject_invalid_certificates() {
        let mut wrong_name = Tls::default();
        wrong_name.names = vec!["elsewhere.invalid".to_owned()];
        let mut expired = Tls::default();
        expired.expired = true;
        for (tls, reason) in [(wrong_name, "NotValidForName"), (expired, "xpired")] {
            let Err(error) = connect(&server(tls), "localhost") else { panic!("connected") };
            assert!(error.contains(reason) || error.contains("not valid for name"), "{error}");
        }
    }

    #[test]
    fn plain_text_to_a_tls_port_ends_the_connection() {
        let server = server(Tls::default());
        assert!(websocket(tcp(&server)).is_err());
        assert!(connect(&server, "localhost").is_ok());
    }
}
