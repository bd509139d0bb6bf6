//! A connection whose server is the test, byte by byte and without a gateway.

use std::time::{Duration, Instant};

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Event, ShardConfig};
use gateway_sim::{FromClient, WebSocketServer, switching_protocols};

use super::wire;

pub(crate) const HELLO: &str = r#"{"op":10,"d":{"heartbeat_interval":41250}}"#;
pub(crate) const READY: &str = r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"abc","resume_gateway_url":"ws://resume.gateway.example"}}"#;

/// The state of the byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Requested, not open.
    Dialing,
    /// Open; the upgrade is not answered.
    Upgrading,
    /// The WebSocket is open; Hello is outstanding.
    Open,
    /// READY was received.
    Ready,
    /// A close frame was sent.
    Closing,
}

pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) deadline: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) connects: Vec<String>,
    pub(crate) shut_downs: usize,
    pub(crate) stopped: bool,
    /// Whether bytes are passed one by one.
    pub(crate) one_byte: bool,
    server: WebSocketServer,
}

impl Peer {
    /// A connection in this state.
    pub(crate) fn at(stage: Stage, config: ShardConfig) -> Self {
        let now = Instant::now();
        let mut peer = Self {
            connection: Connection::new(config, now).unwrap(),
            now,
            deadline: now,
            events: Vec::new(),
            connects: Vec::new(),
            shut_downs: 0,
            stopped: false,
            one_byte: false,
            server: WebSocketServer::default(),
        };
        peer.drain();
        peer.bring_to(stage);
        peer
    }

    /// Brings a connection from dialling to this state.
    pub(crate) fn bring_to(&mut self, stage: Stage) {
        if stage == Stage::Dialing {
            return;
        }
        self.server = WebSocketServer::default();
        self.input(Input::Opened);
        if stage == Stage::Upgrading {
            return;
        }
        let answer = self.right_answer();
        self.bytes(answer.as_bytes());
        if stage == Stage::Open {
            return;
        }
        self.bytes(&wire::text(HELLO));
        self.input(Input::IdentifyGranted);
        self.bytes(&wire::text(READY));
        assert!(self.events.iter().any(|event| matches!(event, Event::Ready)));
        self.frames();
        if stage == Stage::Closing {
            self.bytes(&wire::text(r#"{"op":7,"d":null}"#));
        }
        self.events.clear();
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.connection.handle_input(input, self.now);
        self.drain();
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let size = if self.one_byte { 1 } else { bytes.len().max(1) };
        for mut chunk in bytes.chunks(size) {
            while !chunk.is_empty() {
                self.connection.handle_bytes(&mut chunk, self.now);
                self.drain();
            }
        }
    }

    /// Lets time pass until the next deadline.
    pub(crate) fn wait(&mut self) -> Duration {
        let waited = self.deadline.saturating_duration_since(self.now);
        self.now = self.now.max(self.deadline);
        self.input(Input::Timeout);
        waited
    }

    /// Lets time pass, and handles the deadlines in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.deadline <= end && !self.stopped {
            self.wait();
        }
        self.now = end;
    }

    /// The answer to the upgrade request that RFC 6455 requires.
    pub(crate) fn right_answer(&mut self) -> String {
        self.take_sent();
        let Some(FromClient::Request(request)) = self.server.poll() else { panic!("a request was sent") };
        let key = request.upgrade_key().expect("it asks for an upgrade");
        String::from_utf8(switching_protocols(key)).expect("a head is text")
    }

    /// The frames sent since the last call, as decoded by tungstenite. Panics on invalid ones.
    pub(crate) fn frames(&mut self) -> Vec<FromClient> {
        self.take_sent();
        let frames: Vec<_> = std::iter::from_fn(|| self.server.poll()).collect();
        let wrong = |frame: &FromClient| {
            matches!(frame, FromClient::AfterClose(_) | FromClient::Invalid { .. } | FromClient::TooLarge)
        };
        assert!(!frames.iter().any(wrong), "{frames:?}");
        frames
    }

    /// The code of the close frame sent since the last call, which must be the last frame.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        match self.frames().last()? {
            FromClient::Close(frame) => frame.as_ref().map(|(code, _)| *code),
            other => panic!("{other:?} where a close frame is due"),
        }
    }

    /// The reason of the disconnection since the events were last cleared.
    pub(crate) fn reason(&self) -> Option<&DisconnectReason> {
        let mut reasons = self.events.iter().filter_map(|event| match event {
            Event::Disconnected(disconnected) => Some(&disconnected.reason),
            _ => None,
        });
        let reason = reasons.next();
        assert!(reasons.next().is_none(), "a connection ends once");
        reason
    }

    fn take_sent(&mut self) {
        let sent = self.connection.transmit();
        self.server.receive(sent);
        let count = sent.len();
        self.connection.transmitted(count);
    }

    fn drain(&mut self) {
        loop {
            match self.connection.poll_output() {
                Output::Timeout(deadline) => return self.deadline = deadline,
                Output::Stopped(_) => return self.stopped = true,
                Output::Connect(url) => self.connects.push(url.expose()),
                Output::ShutDown => {
                    self.take_sent();
                    self.shut_downs += 1;
                }
                Output::Event(event) => self.events.push(event),
                Output::AcquireIdentify | Output::CancelIdentify => {}
            }
        }
    }
}
