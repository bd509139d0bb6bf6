//! With any faults, a client that reconnects and resumes receives every dispatch once. With any client messages, the
//! gateway answers or closes.

mod common;

use std::time::Duration;

use common::World;
use gateway_codec::{Compression, Encoding, Envelope, InflateLimits, Inflater, inflate_zlib};
use gateway_sim::{
    Action, ClientMessage, Config, ConnectionId, Control, FrameMode, KeyOrder, Output, Point, Rule,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A client that reconnects and resumes after every loss.
struct Client {
    target: &'static str,
    encoding: Encoding,
    compression: Compression,
    connection: ConnectionId,
    inflater: Option<Inflater>,
    session: Option<String>,
    sequence: u64,
    seen: Vec<(u64, String)>,
}

impl Client {
    fn new(world: &mut World, target: &'static str) -> Self {
        let encoding = if target.contains("etf") { Encoding::Etf } else { Encoding::Json };
        let compression = match target {
            target if target.contains("zlib") => Compression::ZlibStream,
            target if target.contains("zstd") => Compression::ZstdStream,
            _ => Compression::None,
        };
        let connection = world.open(target);
        let inflater = Inflater::new(compression, InflateLimits::default());
        Self {
            target,
            encoding,
            compression,
            connection,
            inflater,
            session: None,
            sequence: 0,
            seen: Vec::new(),
        }
    }

    /// Handles all outputs, and reconnects if necessary.
    fn run(&mut self, world: &mut World) {
        while let Some((id, output)) = world.gateway.poll_output() {
            if id != self.connection {
                continue;
            }
            match output {
                Output::Send(message) => {
                    if let Some(document) = self.document(message.binary, message.payload) {
                        self.payload(world, &document);
                    }
                }
                Output::Close(..) => {
                    world.client(id, ClientMessage::Close(Some(4000)));
                    self.reconnect(world);
                }
                Output::Drop | Output::Abort | Output::Cut(_) => self.reconnect(world),
                _ => {}
            }
        }
    }

    fn document(&mut self, binary: bool, payload: Vec<u8>) -> Option<Vec<u8>> {
        let encoding = self.encoding;
        match &mut self.inflater {
            Some(inflater) => {
                let whole = |output: &[u8]| Envelope::parse(output, encoding).is_ok();
                Some(inflater.push(&payload, whole).expect("a stream")?.to_vec())
            }
            None if binary && encoding == Encoding::Json => {
                Some(inflate_zlib(&payload, usize::MAX >> 1).expect("zlib").to_vec())
            }
            None => Some(payload),
        }
    }

    fn payload(&mut self, world: &mut World, document: &[u8]) {
        let envelope = Envelope::parse(document, self.encoding).expect("an envelope");
        match envelope.op {
            0 => {
                let name = envelope.t.expect("a name").into_owned();
                if name == "READY" {
                    let ready: Value = envelope.d.decode().expect("READY");
                    self.session = ready["session_id"].as_str().map(str::to_owned);
                }
                self.sequence = envelope.s.expect("a sequence");
                self.seen.push((self.sequence, name));
            }
            7 => {
                world.client(self.connection, ClientMessage::Close(Some(4000)));
                self.reconnect(world);
            }
            10 => {
                let opening = match &self.session {
                    Some(session) => common::resume(session, self.sequence),
                    None => common::identify_with(json!({"compress": true})),
                };
                self.send(world, &opening);
            }
            9 => self.reconnect(world),
            _ => {}
        }
    }

    fn send(&self, world: &mut World, payload: &Value) {
        let bytes = gateway_codec::encode(payload, self.encoding).expect("a payload");
        match std::str::from_utf8(&bytes) {
            Ok(text) if self.encoding == Encoding::Json => {
                world.client(self.connection, ClientMessage::Text(text));
            }
            _ => world.client(self.connection, ClientMessage::Binary(&bytes)),
        }
    }

    fn reconnect(&mut self, world: &mut World) {
        world.client(self.connection, ClientMessage::Gone);
        self.inflater = Inflater::new(self.compression, InflateLimits::default());
        self.connection = world.open(self.target);
    }
}

fn fault() -> impl Strategy<Value = Control> {
    let point = prop::sample::select(vec![
        Point::Connect,
        Point::Hello,
        Point::Resume,
        Point::Replay,
        Point::Resumed,
    ]);
    let action = prop::sample::select(vec![
        Action::Close(None),
        Action::Close(Some(4000)),
        Action::Close(Some(1000)),
        Action::Abort,
        Action::Drop,
        Action::Reconnect,
        Action::Invalid(true),
        Action::Delay(Duration::from_millis(500)),
        Action::Delay(Duration::from_millis(2500)),
    ]);
    prop_oneof![
        (1..20_u32, 0..3000_usize).prop_map(|(count, padding)| Control::Emit { count, padding }),
        (0..5_u32).prop_map(|then_emit| Control::Reconnect { then_emit }),
        Just(Control::Invalid { resumable: true }),
        prop::option::of(4000..4003_u16).prop_map(|code| Control::Close { code }),
        Just(Control::Abort),
        Just(Control::Drop),
        Just(Control::Cut),
        Just(Control::Beat),
        prop::sample::select(vec![FrameMode::Whole, FrameMode::Fragments, FrameMode::ZlibSplit])
            .prop_map(Control::FrameMode),
        prop::sample::select(vec![KeyOrder::Usual, KeyOrder::DataFirst, KeyOrder::Changing])
            .prop_map(Control::KeyOrder),
        (point, action, 0..4_usize)
            .prop_map(|(on, action, after)| {
                let after = if on == Point::Replay { after } else { 0 };
                Rule { after, ..Rule::once(on, action) }
            })
            .prop_filter("it does something", |rule| rule.check().is_ok())
            .prop_map(Control::Rule),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_resumes_receives_everything_once(
        faults in prop::collection::vec(fault(), 0..30),
        target in prop::sample::select(vec![
            "/?v=10&encoding=json",
            "/?v=10&encoding=json&compress=zlib-stream",
            "/?v=10&encoding=json&compress=zstd-stream",
            "/?v=10&encoding=etf",
            "/?v=10&encoding=etf&compress=zlib-stream",
            "/?v=10&encoding=etf&compress=zstd-stream",
        ]),
    ) {
        let mut config = Config::default();
        config.replay_limit = Some(10_000);
        config.missed_heartbeats = None;
        config.send_limit = usize::MAX;
        let mut world = World::new(config);
        let mut client = Client::new(&mut world, target);
        client.run(&mut world);
        for fault in faults {
            world.control(fault);
            client.run(&mut world);
            world.wait(Duration::from_secs(1));
            client.run(&mut world);
        }
        // A close that met an old rule may have left the client without a connection.
        world.control(Control::ClearRules(None));
        client.reconnect(&mut world);
        client.run(&mut world);
        let ledger = world.gateway.ledger();
        prop_assert_eq!(ledger.sessions(), 1);
        let comparison = ledger.compare(1, client.seen.iter().map(|(sequence, name)| (*sequence, name.as_str())));
        prop_assert!(comparison.is_clean(), "{comparison:?}");
        prop_assert!(comparison.seen >= 3);
    }

    #[test]
    fn any_client_message_is_answered_or_closed(
        messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..64)), 1..20),
        payloads in prop::collection::vec((0..50_u64, "[a-z0-9\\[\\]{}:,\"]{0,20}"), 1..20),
        etf in any::<bool>(),
    ) {
        let mut world = World::plain();
        let target = if etf { "/?v=10&encoding=etf" } else { "/?v=10&encoding=json" };
        for (binary, bytes) in messages {
            let id = world.open(target);
            if binary {
                world.client(id, ClientMessage::Binary(&bytes));
            } else {
                world.client(id, ClientMessage::Text(&String::from_utf8_lossy(&bytes)));
            }
            world.client(id, ClientMessage::Gone);
        }
        for (op, data) in payloads {
            let id = world.open("/?v=10");
            world.seen(id);
            world.client(id, ClientMessage::Text(&format!("{{\"op\":{op},\"d\":{data}}}")));
            let seen = world.seen(id);
            prop_assert_eq!(seen.len(), 1, "{:?}", seen);
            world.client(id, ClientMessage::Gone);
        }
        prop_assert_eq!(world.gateway.connections().count(), 0);
    }
}
