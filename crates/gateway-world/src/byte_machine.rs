//! The shard over plain bytes, driven by a world of messages: between the two a WebSocket whose bytes come in pieces, cut at
//! random places, and end in the middle of a frame when the connection is lost.

use std::collections::VecDeque;
use std::time::Instant;

use fastrand::Rng;
use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::disconnect::Refused;
use gateway_proto::health::{Phase, Stats};
use gateway_proto::raw::{self, Connection};
use gateway_proto::session::{AckError, SessionSnapshot};
use gateway_proto::{
    CloseFrame, Closed, Command, ConnectError, Input, Message, Output, Reconnect, Shard, ShardConfig,
    Shutdown,
};
use tungstenite::handshake::derive_accept_key;

use crate::machine::Machine;

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// [`raw::Connection`] as a [`Machine`]. Given the same messages at the same times it does what a [`Shard`] does.
pub struct ByteMachine {
    connection: Connection,
    /// What came out and was not asked for yet.
    outputs: VecDeque<Output>,
    server: ServerEnd,
    rng: Rng,
}

/// The server's end of the stream.
#[derive(Default)]
struct ServerEnd {
    /// What the client has sent and makes no whole frame, or no whole request, yet.
    received: Vec<u8>,
    /// The upgrade request has been answered.
    upgraded: bool,
    /// Our close frame is out; what the client still says is of no interest.
    closed: bool,
}

impl Machine for ByteMachine {
    fn start(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let rng = Rng::with_seed(!config.seed.unwrap_or_default());
        let connection = Connection::new(config, now)?;
        Ok(Self { connection, outputs: VecDeque::new(), server: ServerEnd::default(), rng })
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        let input = match input {
            Input::Opened => return self.open(now),
            Input::ConnectFailed(ConnectError::Refused(refused)) => return self.refuse(&refused, now),
            Input::Message(message) => return self.message(&message, now),
            Input::Closed(closed) => return self.close(closed, now),
            // The connection sees for itself how far a message has come.
            Input::Progress { .. } => return,
            Input::ConnectFailed(error) => raw::Input::ConnectFailed(error),
            Input::IdentifyGranted => raw::Input::IdentifyGranted,
            Input::IdentifyRefused(refused) => raw::Input::IdentifyRefused(refused),
            Input::ReadingPaused => raw::Input::ReadingPaused,
            Input::ReadingResumed => raw::Input::ReadingResumed,
            Input::WallClock(since_1970) => raw::Input::WallClock(since_1970),
            Input::Timeout => raw::Input::Timeout,
        };
        self.connection.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.write();
            let output = self.connection.poll_output();
            // What is left for a socket that is shut down goes before the shutting down.
            self.write();
            self.outputs.push_back(match output {
                raw::Output::Connect(url) => {
                    self.server = ServerEnd::default();
                    Output::Connect(url)
                }
                raw::Output::AcquireIdentify => Output::AcquireIdentify,
                raw::Output::CancelIdentify => Output::CancelIdentify,
                raw::Output::Event(event) => Output::Event(event),
                raw::Output::ShutDown => Output::Disconnect,
                raw::Output::Timeout(deadline) => Output::Timeout(deadline),
                raw::Output::Stopped(reason) => Output::Stopped(reason),
            });
        }
        self.outputs.pop_front().expect("an output was just put there")
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.connection.send(command)
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.connection.ack(sequence)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.connection.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.connection.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.connection.session()
    }

    fn stats(&self) -> &Stats {
        self.connection.stats()
    }

    fn phase(&self) -> Phase {
        self.connection.health().phase
    }

    fn queued_commands(&self) -> usize {
        self.connection.health().queued_commands
    }
}

impl ByteMachine {
    // ---- To the client --------------------------------------------------------------------------------------------

    /// The stream is open, and the upgrade accepted.
    fn open(&mut self, now: Instant) {
        self.connection.handle_input(raw::Input::Opened, now);
        self.write();
        let Some(key) = self.server.take_key() else { return };
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.feed(answer.as_bytes(), now);
    }

    /// The stream is open, and the upgrade refused.
    fn refuse(&mut self, refused: &Refused, now: Instant) {
        self.connection.handle_input(raw::Input::Opened, now);
        self.write();
        let wait = refused.retry_after.map(|wait| format!("Retry-After: {}\r\n", wait.as_secs()));
        let (status, wait) = (refused.status, wait.unwrap_or_default());
        let answer = format!("HTTP/1.1 {status} No\r\n{wait}Content-Length: 0\r\n\r\n");
        self.feed(answer.as_bytes(), now);
    }

    fn message(&mut self, message: &Message, now: Instant) {
        let (opcode, payload) = match message {
            Message::Text(text) => (TEXT, text),
            Message::Binary(bytes) => (BINARY, bytes),
        };
        let mut bytes = Vec::with_capacity(payload.len() + 20);
        // Every eighth message in two frames.
        if payload.len() > 1 && self.rng.u8(0..8) == 0 {
            let (first, rest) = payload.split_at(self.rng.usize(1..payload.len()));
            frame(opcode, first, &mut bytes);
            frame(FINAL | CONTINUATION, rest, &mut bytes);
        } else {
            frame(FINAL | opcode, payload, &mut bytes);
        }
        self.feed(&bytes, now);
    }

    fn close(&mut self, closed: Closed, now: Instant) {
        let end = match closed {
            Closed::Frame { code, reason } => {
                self.server.closed = true;
                let mut payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
                payload.extend_from_slice(reason.as_bytes());
                let mut bytes = Vec::new();
                frame(FINAL | CLOSE, &payload, &mut bytes);
                self.feed(&bytes, now);
                raw::Input::EndOfStream
            }
            Closed::Eof => {
                self.half_a_message(now);
                raw::Input::EndOfStream
            }
            lost => {
                self.half_a_message(now);
                raw::Input::Failed(lost.to_string())
            }
        };
        self.connection.handle_input(end, now);
    }

    /// What was on its way when the connection was lost: some bytes of a frame, perhaps none.
    fn half_a_message(&mut self, now: Instant) {
        let mut bytes = Vec::new();
        let message = br#"{"t":"MESSAGE_CREATE","s":4294967296,"op":0,"d":{"content":"it never arrives"}}"#;
        frame(FINAL | TEXT, message, &mut bytes);
        bytes.truncate(self.rng.usize(0..bytes.len()));
        self.feed(&bytes, now);
    }

    /// In pieces of any size.
    fn feed(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let largest = if self.rng.u8(0..4) == 0 { 3 } else { bytes.len() };
            let (mut piece, rest) = bytes.split_at(self.rng.usize(1..=largest.min(bytes.len())));
            while !piece.is_empty() {
                let before = piece.len();
                self.connection.handle_bytes(&mut piece, now);
                assert!(piece.len() < before, "the world asks for the outputs of each message");
            }
            bytes = rest;
        }
    }

    // ---- From the client ------------------------------------------------------------------------------------------

    /// Takes what waits to be written, and makes messages of it.
    fn write(&mut self) {
        loop {
            let count = self.connection.transmit().len();
            if count == 0 {
                return;
            }
            self.server.received.extend_from_slice(self.connection.transmit());
            self.connection.transmitted(count);
            while let Some(output) = self.server.next_message() {
                self.outputs.push_back(output);
            }
        }
    }
}

impl ServerEnd {
    /// The `Sec-WebSocket-Key` of the upgrade request, which is whole.
    fn take_key(&mut self) -> Option<String> {
        let text = String::from_utf8(std::mem::take(&mut self.received)).ok()?;
        self.upgraded = true;
        let (_, rest) = text.split_once("Sec-WebSocket-Key: ")?;
        Some(rest.split_once("\r\n")?.0.to_owned())
    }

    /// The next frame of the client, which sends each message in one, masked (RFC 6455, section 5.2).
    fn next_message(&mut self) -> Option<Output> {
        if !self.upgraded {
            return None;
        }
        loop {
            let length = match self.received.get(1)? & 0x7f {
                126 => usize::from(u16::from_be_bytes([*self.received.get(2)?, *self.received.get(3)?])) + 4,
                length => usize::from(length) + 2,
            };
            let start = if self.received[1] & 0x7f == 126 { 8 } else { 6 };
            // The mask is of four bytes.
            let end = length + 4;
            if self.received.len() < end {
                return None;
            }
            let frame: Vec<u8> = self.received.drain(..end).collect();
            let mask = &frame[start - 4..start];
            let unmasked = frame[start..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let payload: Vec<u8> = unmasked.collect();
            match frame[0] & 0x0f {
                TEXT => return Some(Output::Send(Message::Text(payload.into()))),
                BINARY => return Some(Output::Send(Message::Binary(payload.into()))),
                CLOSE if !self.closed => return Some(Output::Close(close_frame(&payload))),
                _ => {}
            }
        }
    }
}

fn close_frame(payload: &[u8]) -> CloseFrame {
    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    CloseFrame { code, reason: reason.into() }
}

/// Appends a frame of a server: not masked.
fn frame(first_byte: u8, payload: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(first_byte);
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}

/// Every third shard over bytes, the others over messages.
#[expect(clippy::large_enum_variant, reason = "a world has few of them, and they live long")]
pub enum MixedMachine {
    /// Over messages.
    Messages(Shard),
    /// Over bytes.
    Bytes(ByteMachine),
}

macro_rules! either {
    ($this:expr, $machine:ident => $call:expr) => {
        match $this {
            MixedMachine::Messages($machine) => $call,
            MixedMachine::Bytes($machine) => $call,
        }
    };
}

impl Machine for MixedMachine {
    fn start(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        match config.shard.id() % 3 {
            2 => ByteMachine::start(config, now).map(Self::Bytes),
            _ => Machine::start(config, now).map(Self::Messages),
        }
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        either!(self, machine => machine.handle_input(input, now));
    }

    fn poll_output(&mut self) -> Output {
        either!(self, machine => machine.poll_output())
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        either!(self, machine => machine.send(command))
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        either!(self, machine => machine.ack(sequence))
    }

    fn shutdown(&mut self, how: Shutdown) {
        either!(self, machine => machine.shutdown(how));
    }

    fn reconnect(&mut self, how: Reconnect) {
        either!(self, machine => machine.reconnect(how));
    }

    fn session(&self) -> Option<SessionSnapshot> {
        either!(self, machine => machine.session())
    }

    fn stats(&self) -> &Stats {
        either!(self, machine => machine.stats())
    }

    fn phase(&self) -> Phase {
        either!(self, machine => machine.phase())
    }

    fn queued_commands(&self) -> usize {
        either!(self, machine => Machine::queued_commands(machine))
    }
}
