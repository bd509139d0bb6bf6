//! A connection and whoever writes the test in the place of its server: byte by byte, without a simulator.

use std::time::{Duration, Instant};

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Event, ShardConfig};

use super::wire::{self, ClientFrame, ServerReader};

pub(crate) const HELLO: &str = r#"{"op":10,"d":{"heartbeat_interval":41250}}"#;
pub(crate) const READY: &str = r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"abc","resume_gateway_url":"ws://resume.gateway.example"}}"#;

/// How far the byte stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Asked for, not open.
    Dialing,
    /// Open; the answer to the upgrade has not come.
    Upgrading,
    /// The WebSocket is open; Hello has not come.
    Open,
    /// READY has come.
    Ready,
    /// A close frame has been sent.
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
    /// Hand in byte by byte.
    pub(crate) one_byte: bool,
    reader: ServerReader,
}

impl Peer {
    /// A connection that has come so far.
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
            reader: ServerReader::default(),
        };
        peer.drain();
        peer.bring_to(stage);
        peer
    }

    /// From a connection that dials to one that has come so far.
    pub(crate) fn bring_to(&mut self, stage: Stage) {
        if stage == Stage::Dialing {
            return;
        }
        self.reader = ServerReader::default();
        self.input(Input::Opened);
        if stage == Stage::Upgrading {
            return;
        }
        let answer = wire::accept(&self.request());
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

    /// Lets time pass up to the next deadline.
    pub(crate) fn wait(&mut self) -> Duration {
        let waited = self.deadline.saturating_duration_since(self.now);
        self.now = self.now.max(self.deadline);
        self.input(Input::Timeout);
        waited
    }

    /// Lets time pass, and meets the deadlines in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.deadline <= end && !self.stopped {
            self.wait();
        }
        self.now = end;
    }

    pub(crate) fn request(&mut self) -> String {
        self.take_sent();
        self.reader.request().expect("a request was sent")
    }

    /// The frames sent since the last call.
    pub(crate) fn frames(&mut self) -> Vec<ClientFrame> {
        self.take_sent();
        std::iter::from_fn(|| self.reader.frame()).collect()
    }

    /// The code of the close frame sent since the last call, which is the last frame.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        let frames = self.frames();
        let closes = frames.iter().filter(|frame| frame.opcode == wire::CLOSE).count();
        assert!(closes <= 1, "a close frame is sent once");
        frames.last()?.close().map(|(code, _)| code)
    }

    /// Why the connection ended that has ended since the events were last cleared.
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
        self.reader.push(sent);
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
