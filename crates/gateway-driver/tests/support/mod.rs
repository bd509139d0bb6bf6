//! A shard under a virtual clock, and a scripted gateway.

#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]

pub mod clock;
pub mod pipe;

use std::cell::Cell;
use std::io::{Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use gateway_driver::proto::{Compression, Event, Intents, ShardConfig};
use gateway_driver::{DriverConfig, Runtime, Shard};
use serde_json::{Value, json};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tungstenite::protocol::CloseFrame;
use tungstenite::{HandshakeError, Message, WebSocket};

use clock::VirtualRuntime;
use pipe::ServerEnd;

/// Secrets that must not occur in any text.
pub const TOKEN: &str = "TOKEN-secret-of-the-bot";
pub const SESSION_ID: &str = "SESSION-secret-of-the-shard";
pub const RESUME_HOST: &str = "resume-secret.gateway.example";

pub const HEARTBEAT: Duration = Duration::from_secs(40);

thread_local! {
    /// Whether the shard is being polled: log lines are then its own, and not the server's.
    pub static POLLED: Cell<bool> = const { Cell::new(false) };
}

/// A configuration for a gateway without TLS.
pub fn config() -> ShardConfig {
    let mut config = ShardConfig::new(TOKEN, Intents::GUILDS);
    config.compression = Compression::None;
    config.url = "ws://gateway.example/".to_owned();
    config.seed = Some(7);
    config
}

/// A shard and its events so far.
pub struct Client {
    pub runtime: VirtualRuntime,
    pub shard: Shard<VirtualRuntime>,
    pub events: Vec<Event>,
    pub ended: bool,
    wakeups: Arc<Wakeups>,
}

impl Client {
    pub fn new(config: ShardConfig) -> Self {
        Self::with(VirtualRuntime::default(), config, DriverConfig::default())
    }

    pub fn with(runtime: VirtualRuntime, config: ShardConfig, driver: DriverConfig) -> Self {
        let shard = Shard::with(runtime.clone(), config, driver).unwrap();
        Self { runtime, shard, events: Vec::new(), ended: false, wakeups: Arc::default() }
    }

    /// Polls the shard until it is pending, if it was woken. Each poll uses a new future, which is then dropped, so that
    /// a test fails if that loses anything.
    pub fn settle(&mut self) {
        while !self.ended && self.wakeups.take() {
            self.step();
        }
    }

    /// Polls the shard once, for an event.
    pub fn step(&mut self) {
        let waker = Waker::from(self.wakeups.clone());
        POLLED.set(true);
        let polled = pin!(self.shard.next_event()).poll_once(&waker);
        POLLED.set(false);
        match polled {
            Poll::Ready(Some(event)) => {
                self.events.push(event);
                self.wakeups.wake_by_ref();
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Pending => {}
        }
    }

    /// Whether the shard's task was woken.
    pub fn is_woken(&self) -> bool {
        self.wakeups.woken.load(Ordering::SeqCst)
    }

    /// As [`Client::is_woken`], and resets it.
    pub fn take_wakeup(&self) -> bool {
        self.wakeups.take()
    }

    /// Lets time pass, and runs the shard at every deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.runtime.now() + time;
        self.settle();
        while !self.runtime.advance_to_next(end) {
            self.settle();
        }
        self.settle();
    }

    /// Lets time pass until the shard has connected. `None` if it does not within five minutes.
    pub fn wait_for_connection(&mut self) -> Option<ServerEnd> {
        let end = self.runtime.now() + Duration::from_secs(300);
        loop {
            self.settle();
            if let Some(end) = self.runtime.accept() {
                return Some(end);
            }
            if self.runtime.now() >= end {
                return None;
            }
            self.runtime.advance_to_next(end);
        }
    }

    /// Connects and opens the WebSocket.
    pub fn connect(&mut self) -> Server {
        let end = self.wait_for_connection().expect("the shard connects");
        let mut upgrading = Upgrading::new(end);
        loop {
            self.settle();
            if let Some(server) = upgrading.go_on() {
                return server;
            }
        }
    }

    /// Connects, and goes through Hello, Identify and READY.
    pub fn connect_and_identify(&mut self) -> Server {
        let mut server = self.connect();
        server.send(hello());
        self.settle();
        assert_eq!(server.expect_op(2)["d"]["token"], TOKEN);
        server.send(ready());
        self.settle();
        server
    }

    /// Connects again, and goes through Hello, Resume and RESUMED. Returns the sequence number of the Resume.
    pub fn connect_and_resume(&mut self) -> (Server, u64) {
        let mut server = self.connect();
        server.send(hello());
        self.settle();
        let resume = server.expect_op(6);
        assert_eq!(resume["d"]["session_id"], SESSION_ID);
        let sequence = resume["d"]["seq"].as_u64().unwrap();
        server.send(dispatch("RESUMED", sequence + 1, json!({})));
        self.settle();
        (server, sequence)
    }

    /// The sequence numbers of all dispatches so far.
    pub fn sequences(&self) -> Vec<u64> {
        let dispatches = self.events.iter().filter_map(|event| match event {
            Event::Dispatch(dispatch) => dispatch.sequence(),
            _ => None,
        });
        dispatches.collect()
    }

    /// The reasons of all disconnections so far.
    pub fn disconnects(&self) -> Vec<gateway_driver::proto::disconnect::DisconnectReason> {
        let reasons = self.events.iter().filter_map(|event| match event {
            Event::Disconnected(disconnected) => Some(disconnected.reason.clone()),
            _ => None,
        });
        reasons.collect()
    }
}

/// Polls a future once, with a waker of the test.
pub trait PollOnce: Future {
    fn poll_once(self: Pin<&mut Self>, waker: &Waker) -> Poll<Self::Output> {
        self.poll(&mut Context::from_waker(waker))
    }
}

impl<F: Future + ?Sized> PollOnce for F {}

/// Records whether the task was woken. A task that was never polled counts as woken.
pub struct Wakeups {
    woken: AtomicBool,
}

impl Default for Wakeups {
    fn default() -> Self {
        Self { woken: AtomicBool::new(true) }
    }
}

impl Wakeups {
    /// Whether the task was woken since the last call.
    pub fn take(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
    }
}

/// A WebSocket that is being opened.
pub struct Upgrading {
    end: ServerEnd,
    handshake: Option<MidHandshake<ServerHandshake<ServerEnd, NoCallback>>>,
}

impl Upgrading {
    pub fn new(end: ServerEnd) -> Self {
        let config = tungstenite::protocol::WebSocketConfig::default();
        let handshake = ServerHandshake::start(end.clone(), NoCallback, Some(config));
        Self { end, handshake: Some(handshake) }
    }

    /// Continues the handshake. `None` if the client's request is incomplete.
    pub fn go_on(&mut self) -> Option<Server> {
        match self.handshake.take()?.handshake() {
            Ok(socket) => return Some(Server { end: self.end.clone(), socket }),
            Err(HandshakeError::Interrupted(handshake)) => self.handshake = Some(handshake),
            Err(HandshakeError::Failure(error)) => panic!("the upgrade is wrong: {error}"),
        }
        None
    }
}

/// The gateway's end of an open WebSocket.
pub struct Server {
    pub end: ServerEnd,
    socket: WebSocket<ServerEnd>,
}

impl Server {
    pub fn send(&mut self, payload: Value) {
        self.socket.send(Message::text(payload.to_string())).unwrap();
    }

    pub fn send_message(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    pub fn close(&mut self, code: u16, reason: &'static str) {
        self.socket
            .send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })))
            .unwrap();
    }

    /// The next message of the client. `None` if there is none, or the connection has ended.
    pub fn receive(&mut self) -> Option<Message> {
        self.socket.read().ok()
    }

    /// The next payload of the client except heartbeats.
    pub fn receive_payload(&mut self) -> Option<Value> {
        loop {
            let payload: Value = serde_json::from_str(self.receive()?.to_text().ok()?).ok()?;
            if payload["op"] != 1 {
                return Some(payload);
            }
        }
    }

    pub fn expect_op(&mut self, op: u64) -> Value {
        let payload = self.receive_payload().expect("the client has sent something");
        assert_eq!(payload["op"], op, "{payload}");
        payload
    }

    /// The code of the client's close frame, if that is the next message.
    pub fn expect_close(&mut self) -> Option<u16> {
        loop {
            if let Message::Close(frame) = self.receive()? {
                // Sends the answer, which ends the connection.
                let _ = self.socket.flush();
                return frame.map(|frame| frame.code.into());
            }
        }
    }
}

/// Sends raw bytes as the answer to an upgrade request.
pub fn answer_upgrade(client: &mut Client, mut end: ServerEnd, answer: &[u8]) -> String {
    client.settle();
    let mut request = Vec::new();
    let _ = end.read_to_end(&mut request);
    end.write_all(answer).unwrap();
    client.settle();
    String::from_utf8(request).unwrap()
}

pub fn hello() -> Value {
    json!({"t": null, "s": null, "op": 10, "d": {"heartbeat_interval": HEARTBEAT.as_millis() as u64}})
}

pub fn ready() -> Value {
    let resume_url = format!("ws://{RESUME_HOST}");
    let data = json!({"v": 10, "session_id": SESSION_ID, "resume_gateway_url": resume_url, "guilds": []});
    dispatch("READY", 1, data)
}

pub fn acknowledgement() -> Value {
    json!({"t": null, "s": null, "op": 11, "d": null})
}

pub fn dispatch(name: &str, sequence: u64, data: Value) -> Value {
    json!({"t": name, "s": sequence, "op": 0, "d": data})
}

/// A plain event.
pub fn event(sequence: u64) -> Value {
    dispatch("TYPING_START", sequence, json!({"channel_id": "1", "user_id": "2"}))
}

/// A time after every deadline of a shard.
pub fn far(now: Instant) -> Instant {
    now + Duration::from_secs(24 * 60 * 60)
}
