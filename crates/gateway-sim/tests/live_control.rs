//! Every command of the control interface over HTTP, and its effect on the wire.

mod common;

use std::io::Read;
use std::net::TcpStream;

use common::live::{LIMIT, get, tcp};
use common::{heartbeat, identify, resume};
use gateway_codec::{Compression, Encoding, InflateLimits, Inflater};
use gateway_sim::{Config, Server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// The status and body of the answer to `GET /_ctl/COMMAND`.
fn ask(server: &Server, command: &str) -> (u16, Value) {
    get(server, &format!("/_ctl/{command}"))
}

fn control(server: &Server, command: &str) -> Value {
    let (status, body) = ask(server, command);
    assert_eq!(status, 200, "{command}: {body}");
    body
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn open(server: &Server, query: &str) -> Self {
        let url = format!("ws://127.0.0.1/?v=10&{query}");
        Self(tungstenite::client(url, tcp(server)).expect("the upgrade is accepted").0)
    }

    /// Connects up to READY and the two guilds.
    fn start(server: &Server) -> (Self, String) {
        let mut client = Self::open(server, "encoding=json");
        assert_eq!(client.receive()["op"], 10);
        client.send(&identify());
        let ready = client.receive();
        assert_eq!(ready["t"], "READY");
        client.skip_guilds();
        (client, ready["d"]["session_id"].as_str().unwrap().to_owned())
    }

    fn skip_guilds(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.receive()["t"], "GUILD_CREATE");
        }
    }

    fn receive(&mut self) -> Value {
        match self.0.read().expect("a message") {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("not a text: {other:?}"),
        }
    }

    fn binary(&mut self) -> Vec<u8> {
        match self.0.read().expect("a message") {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("not binary: {other:?}"),
        }
    }

    fn send(&mut self, payload: &Value) {
        self.0.send(Message::text(payload.to_string())).expect("the server reads");
    }

    /// The error that ends the connection. No message may precede it.
    fn end(&mut self) -> String {
        match self.0.read() {
            Err(error) => error.to_string(),
            Ok(message) => panic!("{message:?}"),
        }
    }
}

#[test]
fn mute_suppresses_acks_only() {
    let server = Server::start(Config::default()).unwrap();
    let (mut client, _) = Client::start(&server);
    control(&server, "mute");
    client.send(&heartbeat(None));
    let beaten = |gateway: &gateway_sim::Gateway| (gateway.counters().heartbeats == 1).then_some(());
    server.wait(LIMIT, beaten).expect("the heartbeat arrives");
    control(&server, "emit");
    assert_eq!(client.receive()["op"], 0);
    control(&server, "mute?on=false");
    client.send(&heartbeat(None));
    assert_eq!(client.receive()["op"], 11);
}

#[test]
fn hb_changes_the_next_hello() {
    let server = Server::start(Config::default()).unwrap();
    control(&server, "hb?ms=1234");
    let mut client = Client::open(&server, "encoding=json");
    assert_eq!(client.receive()["d"]["heartbeat_interval"], 1234);
    control(&server, "hb?ms=4321");
    control(&server, "hello");
    assert_eq!(client.receive()["d"]["heartbeat_interval"], 4321);
}

#[test]
fn a_rule_at_each_point() {
    let server = Server::start(Config::default()).unwrap();
    control(&server, "rule?on=connect&do=reconnect");
    assert_eq!(Client::open(&server, "encoding=json").receive()["op"], 7);
    control(&server, "rule?on=hello&do=close:4000");
    let mut client = Client::open(&server, "encoding=json");
    assert_eq!(client.receive()["op"], 10);
    assert!(matches!(client.0.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 4000));

    // Another order would show: delayed messages come after the others.
    control(&server, "rule?on=ready&do=delay:0.2");
    let mut client = Client::open(&server, "encoding=json");
    assert_eq!(client.receive()["op"], 10);
    client.send(&identify());
    let session = client.receive()["d"]["session_id"].as_str().unwrap().to_owned();
    client.send(&heartbeat(None));
    assert_eq!(client.receive()["op"], 11);
    client.skip_guilds();

    control(&server, "rule?on=close&do=ignore");
    control(&server, "abort");
    assert!(client.0.read().is_err());
    control(&server, "emit?n=2");
    control(&server, "rule?on=replay&after=1&do=delay:0.2");
    let mut client = Client::open(&server, "encoding=json");
    assert_eq!(client.receive()["op"], 10);
    client.send(&resume(&session, 3));
    assert_eq!(client.receive()["s"], 4);
    client.send(&heartbeat(None));
    assert_eq!(client.receive()["op"], 11);
    assert_eq!(client.receive()["s"], 5);
    assert_eq!(client.receive()["t"], "RESUMED");

    control(&server, "rule?on=heartbeat&do=abort&shard=0");
    client.send(&heartbeat(None));
    client.end();
    assert_eq!(control(&server, "state")["rules"], 1);
    control(&server, "rule");
    assert_eq!(control(&server, "state")["rules"], 0);
}

#[test]
fn a_rule_refuses_an_upgrade() {
    let server = Server::start(Config::default()).unwrap();
    control(&server, "rule?on=upgrade&do=http:503&header=Retry-After:+9&body=later");
    let error = tungstenite::client("ws://127.0.0.1/?v=10", tcp(&server)).unwrap_err();
    let tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response)) = error else {
        panic!("{error}")
    };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["Retry-After"]),
        (503, &"9".parse().unwrap())
    );
    assert_eq!(Client::open(&server, "encoding=json").receive()["op"], 10);
}

#[test]
fn frames_are_split_on_request() {
    let server = Server::start(Config::default()).unwrap();
    let mut client = Client::open(&server, "encoding=json&compress=zlib-stream");
    let mut inflater = Inflater::new(Compression::ZlibStream, InflateLimits::default()).unwrap();
    assert!(inflater.push(&client.binary(), |_| true).unwrap().is_some());
    control(&server, "frame?mode=zsplit");
    control(&server, "beat");
    assert!(inflater.push(&client.binary(), |_| true).unwrap().is_none());
    assert!(inflater.push(&client.binary(), |_| true).unwrap().is_none());
    assert!(inflater.push(&client.binary(), |_| true).unwrap().is_some());
    control(&server, "frame?mode=fragments");
    control(&server, "beat");
    assert!(
        inflater.push(&client.binary(), |_| true).unwrap().is_some(),
        "the frames of a message are put together"
    );
    // On the wire: a first frame without FIN, or with it.
    for (mode, first_byte) in [("fragments", 0x01), ("whole", 0x81)] {
        control(&server, &format!("frame?mode={mode}"));
        let mut plain = Client::open(&server, "encoding=json");
        assert_eq!(plain.receive()["op"], 10);
        control(&server, "beat");
        let mut head = [0; 1];
        plain.0.get_mut().read_exact(&mut head).unwrap();
        assert_eq!(head[0], first_byte, "{mode}");
    }
}

#[test]
fn down_refuses_all_connections_and_ends_in_time() {
    let server = Server::start(Config::default()).unwrap();
    let (mut client, session) = Client::start(&server);
    assert_eq!(control(&server, "down?secs=0.3&emit=2")["ok"], true);
    client.end();
    assert!(server.wait_until_up(LIMIT));
    let mut client = Client::open(&server, "encoding=json");
    assert_eq!(client.receive()["op"], 10);
    client.send(&resume(&session, 3));
    let names: Vec<Value> = (0..3).map(|_| client.receive()["t"].clone()).collect();
    assert_eq!(names, ["MESSAGE_CREATE", "MESSAGE_CREATE", "RESUMED"]);
}

#[test]
fn raw_payload_and_event_send_their_arguments() {
    let server = Server::start(Config::default()).unwrap();
    let (mut client, _) = Client::start(&server);
    control(&server, "raw?json=%7B%22op%22%3A99,%20%22d%22:1%7D");
    assert_eq!(client.0.read().unwrap(), Message::text(r#"{"op":99, "d":1}"#));
    control(&server, "event?name=NEW%20ONE&d=%5Bnull%5D&session=1");
    assert_eq!(client.receive(), json!({"t": "NEW ONE", "s": 4, "op": 0, "d": [null]}));
    control(&server, "payload?json=%7B%22op%22%3A99%2C%22d%22%3Anull%7D");
    assert_eq!(client.receive(), json!({"op": 99, "d": null}));
    // A client with ETF receives the same as ETF, also under compression.
    for (query, compression) in [("", None), ("&compress=zstd-stream", Some(Compression::ZstdStream))] {
        let mut etf = Client::open(&server, &format!("encoding=etf{query}"));
        let mut inflater = compression.map(|it| Inflater::new(it, InflateLimits::default()).unwrap());
        let mut next = || {
            let bytes = etf.binary();
            let bytes = match &mut inflater {
                Some(inflater) => inflater.push(&bytes, |_| true).unwrap().expect("a whole message").to_vec(),
                None => bytes,
            };
            gateway_codec::decode::<Value>(&bytes, Encoding::Etf).expect("ETF")
        };
        assert_eq!(next()["op"], 10);
        control(&server, "payload?json=%7B%22op%22%3A99%2C%22d%22%3A%7B%22x%22%3Anull%7D%7D");
        assert_eq!(next(), json!({"op": 99, "d": {"x": null}}));
    }
}

#[test]
fn abort_resets_only_its_target() {
    let server = Server::start(Config::default()).unwrap();
    let mut first = Client::open(&server, "encoding=json");
    assert_eq!(first.receive()["op"], 10);
    let mut second = Client::open(&server, "encoding=json");
    assert_eq!(second.receive()["op"], 10);
    assert_eq!(control(&server, "abort?conn=1")["concerned"], 1);
    assert!(first.end().contains("reset"));
    second.send(&heartbeat(None));
    assert_eq!(second.receive()["op"], 11);
}

#[test]
fn invalid_commands_return_a_sentence_and_change_nothing() {
    let server = Server::start(Config::default()).unwrap();
    for (command, sentence) in [
        ("abort?conn=7", "there is no connection 7"),
        ("emit?session=3", "there is no session 3"),
        ("rule?on=connect&do=http:503", "http is for on=upgrade: later there is no HTTP any more"),
        ("rule?on=upgrade&do=http:42", "42 is not a status of HTTP: 100 to 599"),
        (
            "rule?on=resumed&do=delay:1",
            "on=resumed has nothing to leave out or to delay: nothing comes after it by itself",
        ),
        ("rule?on=hello&do=abort&conn=1", "rule has no argument \"conn\""),
        ("payload?json=[]", "a payload is an object"),
    ] {
        let (status, body) = ask(&server, command);
        assert_eq!((status, body["message"].as_str()), (400, Some(sentence)), "{command}");
    }
    assert_eq!(control(&server, "state")["rules"], 0);
}
