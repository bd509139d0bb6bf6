//! A session in each encoding, byte for byte. The test `recordings` of `gateway-codec` reads the same files.
//!
//! `UPDATE_RECORDINGS=1 cargo test -p gateway-sim --test recordings` writes them again.

mod common;

use std::path::Path;

use common::{World, heartbeat, identify, resume};
use gateway_codec::{Encoding, decode, encode};
use gateway_sim::{ClientMessage, Config, ConnectionId, Control, Output};
use serde_json::{Value, json};

/// A client that records every message unchanged.
struct Recorder {
    world: World,
    encoding: Encoding,
    connection: ConnectionId,
    messages: Vec<Vec<u8>>,
}

impl Recorder {
    fn new(encoding: Encoding) -> Self {
        let mut config = Config::default();
        config.members = 3;
        let mut world = World::new(config);
        let connection = world.open(target(encoding));
        Self { world, encoding, connection, messages: Vec::new() }
    }

    fn send(&mut self, payload: &Value) {
        let bytes = encode(payload, self.encoding).unwrap();
        match self.encoding {
            Encoding::Json => {
                let text = std::str::from_utf8(&bytes).unwrap();
                self.world.client(self.connection, ClientMessage::Text(text));
            }
            Encoding::Etf => self.world.client(self.connection, ClientMessage::Binary(&bytes)),
        }
    }

    fn control(&mut self, control: Control) {
        self.world.control(control);
    }

    fn receive(&mut self) {
        while let Some((_, output)) = self.world.gateway.poll_output() {
            if let Output::Send(message) = output {
                self.messages.push(message.payload);
            }
        }
    }

    fn session_id(&self) -> String {
        let payloads = self.messages.iter().map(|bytes| decode::<Value>(bytes, self.encoding).unwrap());
        let mut sessions =
            payloads.filter_map(|payload| payload["d"]["session_id"].as_str().map(str::to_owned));
        sessions.next().expect("READY names the session")
    }
}

fn target(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "/?v=10&encoding=json",
        Encoding::Etf => "/?v=10&encoding=etf",
    }
}

/// Values that simulated events do not have: numbers at their limits, text of every width, deep and empty containers.
fn unusual() -> Value {
    json!({"t": "UNUSUAL", "s": 9, "op": 0, "d": {
        "numbers": [0, 1, 255, 256, -1, -128, 2_147_483_648_u64, -2_147_483_649_i64, 0.5, -1.5e300],
        "texts": ["", "\"op\":7", "é", "\u{1f600}", "\u{0}\n\t\\", "x".repeat(300)],
        "empty": [[], {}, [[]], null],
        "deep": {"a": [{"b": [{"op": 9, "d": false}]}]},
        "flags": [true, false, null],
        "small": [1, 2, 3],
    }})
}

fn record(encoding: Encoding) -> Vec<Vec<u8>> {
    let mut recorder = Recorder::new(encoding);
    recorder.send(&identify());
    recorder.control(Control::Emit { count: 4, padding: 0 });
    recorder.send(&heartbeat(Some(7)));
    recorder.control(Control::Beat);
    recorder.control(Control::Payload(unusual()));
    recorder.control(Control::Emit { count: 1, padding: 2000 });
    recorder.control(Control::Invalid { resumable: true });
    recorder.receive();
    let session = recorder.session_id();
    recorder.world.client(recorder.connection, ClientMessage::Gone);
    recorder.connection = recorder.world.open(target(encoding));
    recorder.send(&resume(&session, 5));
    recorder.control(Control::Reconnect { then_emit: 1 });
    recorder.receive();
    recorder.messages
}

/// Each message after its length, 32 bits in little-endian order.
fn records(messages: &[Vec<u8>]) -> Vec<u8> {
    let record = |message: &Vec<u8>| [&(message.len() as u32).to_le_bytes(), &message[..]].concat();
    messages.iter().flat_map(record).collect()
}

#[test]
fn a_session_equals_its_recording() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway-codec/tests/recordings");
    for encoding in [Encoding::Json, Encoding::Etf] {
        let file = folder.join(format!("{encoding}.bin"));
        let messages = record(encoding);
        assert!(messages.len() >= 20, "{} messages", messages.len());
        if std::env::var_os("UPDATE_RECORDINGS").is_some() {
            std::fs::write(&file, records(&messages)).unwrap();
        }
        let recorded = std::fs::read(&file).unwrap();
        assert!(records(&messages) == recorded, "{encoding} differs: see the top of this file");
    }
}
