//! A shard on a virtual clock. The test acts as its server.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "every test file uses its own part"
)]

#[path = "../support/played.rs"]
mod played;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_proto::{
    CloseFrame, Compression, Event, Input, Intents, Message, Output, Shard, ShardConfig, StopReason,
};
use serde_json::{Value, json};

pub const INTERVAL: Duration = Duration::from_secs(40);
pub const SESSION: &str = "session-of-the-test";

pub struct Client {
    pub shard: Shard,
    pub now: Instant,
    /// The payloads that the shard has sent since the test last took them, without heartbeats.
    pub sent: VecDeque<Value>,
    pub events: Vec<Event>,
    pub closes: Vec<CloseFrame>,
    pub connects: u32,
    pub dropped: u32,
    pub deadline: Instant,
    pub stopped: Option<StopReason>,
    /// Whether permits to identify are granted.
    pub grants: bool,
    heartbeats: u32,
    start: Instant,
    pages: played::Pages,
}

/// Replays the transcript.
impl Drop for Client {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pages.check(self.start, &["-of-the-test", "resume.discord.gg"]);
        }
    }
}

pub fn config() -> ShardConfig {
    let mut config = ShardConfig::new("token-of-the-test", Intents::GUILDS);
    config.compression = Compression::None;
    config.seed = Some(1);
    config
}

impl Client {
    pub fn new(config: ShardConfig) -> Self {
        let now = Instant::now();
        let pages = played::Pages::default();
        let mut client = Self {
            shard: Shard::with_transcript(config, now, pages.clone()).unwrap(),
            now,
            sent: VecDeque::new(),
            events: Vec::new(),
            closes: Vec::new(),
            connects: 0,
            dropped: 0,
            deadline: now,
            stopped: None,
            grants: true,
            heartbeats: 0,
            start: now,
            pages,
        };
        client.drain();
        client
    }

    pub fn input(&mut self, input: Input) {
        self.shard.handle_input(input, self.now);
        self.drain();
    }

    pub fn drain(&mut self) {
        loop {
            match self.shard.poll_output() {
                Output::Connect(_) => self.connects += 1,
                Output::AcquireIdentify if self.grants => {
                    self.shard.handle_input(Input::IdentifyGranted, self.now);
                }
                Output::AcquireIdentify | Output::CancelIdentify => {}
                Output::Send(message) => {
                    let payload: Value = serde_json::from_slice(message.as_bytes()).unwrap();
                    match payload["op"] == 1 {
                        true => self.heartbeats += 1,
                        false => self.sent.push_back(payload),
                    }
                }
                Output::Event(event) => self.events.push(event),
                Output::Close(frame) => self.closes.push(frame),
                Output::Disconnect => self.dropped += 1,
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Output::Stopped(reason) => {
                    self.stopped = Some(reason);
                    return;
                }
            }
        }
    }

    /// Receives a message of the server.
    pub fn receive(&mut self, payload: Value) {
        self.input(Input::Message(Message::Text(payload.to_string().into_bytes().into())));
    }

    pub fn dispatch(&mut self, name: &str, sequence: u64, data: Value) {
        self.receive(json!({"op": 0, "t": name, "s": sequence, "d": data}));
    }

    /// Receives plain events with these numbers.
    pub fn events(&mut self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            self.dispatch("TYPING_START", sequence, json!({}));
        }
    }

    pub fn ready(&mut self) {
        self.ready_of(SESSION);
    }

    pub fn ready_of(&mut self, session: &str) {
        let data = json!({"session_id": session, "resume_gateway_url": "wss://resume.discord.gg"});
        self.dispatch("READY", 1, data);
    }

    /// Opens the WebSocket and receives Hello.
    pub fn open(&mut self) {
        self.input(Input::Opened);
        self.receive(json!({"op": 10, "d": {"heartbeat_interval": INTERVAL.as_millis() as u64}}));
    }

    /// Runs from the start to READY.
    pub fn identify(&mut self) {
        self.open();
        assert_eq!(self.expect(2)["shard"], json!([0, 1]));
        self.ready();
    }

    /// Loses the connection, and waits until the shard connects again.
    pub fn lose_connection(&mut self) {
        let connects = self.connects;
        self.input(Input::Closed(gateway_proto::Closed::Eof));
        while self.connects == connects {
            self.wait();
        }
    }

    /// Advances to the next deadline.
    pub fn wait(&mut self) {
        self.now = self.now.max(self.deadline);
        self.input(Input::Timeout);
    }

    /// Lets time pass with a server that acknowledges every heartbeat at once.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.deadline <= end {
            let heartbeats = self.heartbeats;
            self.wait();
            if self.heartbeats > heartbeats {
                self.receive(json!({"op": 11}));
            }
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    /// The data of the next message sent, which must have this opcode.
    pub fn expect(&mut self, op: u64) -> Value {
        let mut payload = self.sent.pop_front().expect("the shard has sent something");
        assert_eq!(payload["op"], op, "{payload}");
        payload["d"].take()
    }

    /// The numbers of the dispatches since the last call.
    pub fn delivered(&mut self) -> Vec<u64> {
        let events = std::mem::take(&mut self.events);
        let numbers = events.iter().filter_map(|event| match event {
            Event::Dispatch(dispatch) => dispatch.sequence(),
            _ => None,
        });
        numbers.collect()
    }
}
