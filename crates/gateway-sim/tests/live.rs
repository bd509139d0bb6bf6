//! The TCP front with tungstenite as the client, over real sockets.

mod common;

use std::net::TcpStream;
use std::time::Duration;

use common::{identify, resume};
use gateway_sim::{Config, Control, Server, ServerConfig};
use serde_json::Value;
use tungstenite::{Message, WebSocket};

type Client = WebSocket<tungstenite::stream::MaybeTlsStream<TcpStream>>;

const LIMIT: Duration = Duration::from_secs(30);

fn connect(server: &Server) -> Client {
    let url = format!("{}/?v=10&encoding=json", server.url());
    let (mut client, _) = tungstenite::connect(url).expect("the server accepts");
    assert_eq!(receive(&mut client)["op"], 10);
    client
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

/// Identifies and reads up to the last guild. Returns the session id.
fn start(client: &mut Client) -> String {
    send(client, &identify());
    let ready = receive(client);
    for _ in 0..2 {
        assert_eq!(receive(client)["t"], "GUILD_CREATE");
    }
    ready["d"]["session_id"].as_str().expect("a session id").to_owned()
}

#[test]
fn a_session_survives_a_reset() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server);
    let session = start(&mut client);
    server.control(Control::Abort).unwrap();
    assert!(client.read().is_err());
    server.control(Control::Emit { count: 2, padding: 0 }).unwrap();
    let mut client = connect(&server);
    send(&mut client, &resume(&session, 3));
    let seen: Vec<_> = (0..3).map(|_| receive(&mut client)).collect();
    assert_eq!(seen.iter().map(|value| value["s"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(seen[2]["t"], "RESUMED");
    let comparison = server.ledger().compare(
        1,
        [(1, "READY"), (2, "GUILD_CREATE"), (3, "GUILD_CREATE")]
            .into_iter()
            .chain(seen.iter().map(|value| (value["s"].as_u64().unwrap(), value["t"].as_str().unwrap()))),
    );
    assert!(comparison.is_clean(), "{comparison:?}");
}

#[test]
fn a_close_of_the_client_is_answered() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server);
    client.close(None).unwrap();
    loop {
        match client.read() {
            Ok(Message::Close(_)) => break,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
    let gone = server.wait(LIMIT, |gateway| (gateway.connections().count() == 0).then_some(()));
    assert!(gone.is_some());
}

#[test]
fn pings_are_answered() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server);
    client.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("are you there".into()));
}

#[test]
fn while_it_is_down_connects_are_refused() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server);
    let session = start(&mut client);
    server.control(Control::Down { duration: Duration::from_millis(300), emit: 4 }).unwrap();
    assert!(client.read().is_err());
    assert!(tungstenite::connect(server.url()).is_err() || server.with(|gateway| !gateway.is_down()));
    assert!(server.wait_until_up(LIMIT));
    let mut client = connect(&server);
    send(&mut client, &resume(&session, 3));
    for sequence in 4..8 {
        assert_eq!(receive(&mut client)["s"], sequence);
    }
    assert_eq!(receive(&mut client)["t"], "RESUMED");
}

#[test]
fn dropping_the_server_ends_its_connections() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = connect(&server);
    drop(server);
    assert!(client.read().is_err());
}

#[test]
fn an_observer_sees_the_payloads_and_a_fast_clock_shortens_waits() {
    let (records, observed) = std::sync::mpsc::channel();
    let mut config = ServerConfig::default();
    config.gateway.payloads = true;
    config.gateway.missed_heartbeats = None;
    config.gateway.hello_delay = Duration::from_secs(3600);
    config.speed = 1_000_000;
    config.observer = Some(Box::new(move |record| {
        let _ = records.send((record.kind, record.payload.clone()));
    }));
    let server = Server::start(config).unwrap();
    // Hello is sent after an hour of the gateway's time.
    let mut client = connect(&server);
    server.control(Control::Ping).unwrap();
    assert!(matches!(client.read(), Ok(Message::Ping(_))));
    client.flush().expect("the server reads");
    send(&mut client, &serde_json::json!({"op": 1, "d": null}));
    let seen: Vec<_> = std::iter::from_fn(|| observed.recv_timeout(LIMIT).ok()).take(6).collect();
    let kinds: Vec<_> = seen.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["open", "accept", "message", "ping", "pong", "message"]);
    assert_eq!(seen[0].1.as_deref(), Some(b"/?v=10&encoding=json".as_slice()));
    assert_eq!(seen[5].1.as_deref(), Some(br#"{"d":null,"op":1}"#.as_slice()));
}
