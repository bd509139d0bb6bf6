//! A shard over bytes that exchanges messages with the world. Between the two is a WebSocket whose bytes arrive in random
//! pieces, and end within a frame when the connection is lost. The invariants for messages are thereby checked over
//! bytes.

use std::collections::VecDeque;
use std::time::Instant;

use fastrand::Rng;
use gateway_proto::config::ConfigError;
use gateway_proto::disconnect::Refused;
use gateway_proto::raw::{self, Connection};
use gateway_proto::{CloseFrame, Closed, ConnectError, Input, Message, Output, ShardConfig};
use gateway_sim::{FromClient, Response, WebSocketServer, frame};

use crate::client::{Client, application_of, over_messages};

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Creates a [`Connection`] that exchanges messages: a WebSocket between the two delivers the bytes in pieces. For the
/// same messages at the same times it behaves as a [`Shard`](gateway_proto::Shard).
///
/// # Errors
///
/// If the configuration cannot be used.
pub fn messages_over_bytes(config: ShardConfig, now: Instant) -> Result<Box<dyn Client>, ConfigError> {
    let rng = Rng::with_seed(!config.seed.unwrap_or_default());
    let connection = Connection::new(config, now)?;
    let (outputs, server) = (VecDeque::new(), WebSocketServer::default());
    Ok(Box::new(OverBytes { connection, outputs, server, closed: false, rng }))
}

struct OverBytes {
    connection: Connection,
    /// Outputs that were not polled yet.
    outputs: VecDeque<Output>,
    /// The server's end of the stream.
    server: WebSocketServer,
    /// The server has sent its close frame; later messages of the client are ignored.
    closed: bool,
    rng: Rng,
}

impl Client for OverBytes {
    fn handle_input(&mut self, input: Input, now: Instant) {
        let input = match input {
            Input::Opened => return self.open(now),
            Input::ConnectFailed(ConnectError::Refused(refused)) => return self.refuse(&refused, now),
            Input::Message(message) => return self.message(&message, now),
            Input::Closed(closed) => return self.close(closed, now),
            input => input,
        };
        Client::handle_input(&mut self.connection, input, now);
    }

    fn poll_output(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.write();
            let output = Client::poll_output(&mut self.connection);
            // The remaining bytes are written before the socket is shut down.
            self.write();
            if let Output::Connect(_) = output {
                (self.server, self.closed) = (WebSocketServer::default(), false);
            }
            self.outputs.push_back(output);
        }
        self.outputs.pop_front().expect("an output was just put there")
    }

    application_of!(self => self.connection);
}

impl OverBytes {
    // ---- To the client --------------------------------------------------------------------------------------------

    /// The stream is open, and the upgrade is accepted.
    fn open(&mut self, now: Instant) {
        if let Some(key) = self.upgrade_key(now) {
            self.server.accept(&key);
            self.feed_written(now);
        }
    }

    /// The stream is open, and the upgrade is refused.
    fn refuse(&mut self, refused: &Refused, now: Instant) {
        if self.upgrade_key(now).is_some() {
            let mut response = Response::empty(refused.status);
            if let Some(wait) = refused.retry_after {
                response = response.header("Retry-After", &wait.as_secs().to_string());
            }
            self.server.respond(&response, false);
            self.feed_written(now);
        }
    }

    /// Opens the stream and reads the upgrade request.
    fn upgrade_key(&mut self, now: Instant) -> Option<String> {
        self.connection.handle_input(raw::Input::Opened, now);
        let count = self.connection.transmit().len();
        self.server.receive(self.connection.transmit());
        self.connection.transmitted(count);
        match self.server.poll() {
            Some(FromClient::Request(request)) => request.upgrade_key().map(str::to_owned),
            _ => None,
        }
    }

    fn feed_written(&mut self, now: Instant) {
        let bytes = self.server.take_written();
        self.feed(&bytes, now);
    }

    fn message(&mut self, message: &Message, now: Instant) {
        let (opcode, payload) = match message {
            Message::Text(text) => (TEXT, text),
            Message::Binary(bytes) => (BINARY, bytes),
        };
        // Every eighth message in two frames.
        let bytes = if payload.len() > 1 && self.rng.u8(0..8) == 0 {
            let (first, rest) = payload.split_at(self.rng.usize(1..payload.len()));
            [frame(opcode, first), frame(FINAL | CONTINUATION, rest)].concat()
        } else {
            frame(FINAL | opcode, payload)
        };
        self.feed(&bytes, now);
    }

    fn close(&mut self, closed: Closed, now: Instant) {
        let end = match closed {
            Closed::Frame { code, reason } => {
                self.closed = true;
                self.server.close(code, &reason);
                self.feed_written(now);
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

    /// Delivers part of a frame, possibly empty, as if the connection were lost within it.
    fn half_a_message(&mut self, now: Instant) {
        let message = br#"{"t":"MESSAGE_CREATE","s":4294967296,"op":0,"d":{"content":"it never arrives"}}"#;
        let bytes = frame(FINAL | TEXT, message);
        let length = self.rng.usize(0..bytes.len());
        self.feed(&bytes[..length], now);
    }

    /// Delivers bytes in pieces of random size.
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

    /// Takes the bytes to be written, and decodes them to messages.
    fn write(&mut self) {
        loop {
            let count = self.connection.transmit().len();
            if count == 0 {
                return;
            }
            self.server.receive(self.connection.transmit());
            self.connection.transmitted(count);
            while let Some(received) = self.server.poll() {
                self.outputs.extend(match received {
                    FromClient::Text(text) => Some(Output::Send(Message::Text(text.into()))),
                    FromClient::Binary(bytes) => Some(Output::Send(Message::Binary(bytes.into()))),
                    FromClient::Close(frame) if !self.closed => {
                        let (code, reason) = frame.unwrap_or((1005, String::new()));
                        Some(Output::Close(CloseFrame { code, reason: reason.into() }))
                    }
                    FromClient::Close(_) | FromClient::Ping(_) | FromClient::Pong(_) => None,
                    wrong => panic!("no client may send this: {wrong:?}"),
                });
            }
        }
    }
}

/// Creates every third shard over bytes, the others over messages.
///
/// # Errors
///
/// If the configuration cannot be used.
pub fn every_third_over_bytes(config: ShardConfig, now: Instant) -> Result<Box<dyn Client>, ConfigError> {
    match config.shard.id() % 3 {
        2 => messages_over_bytes(config, now),
        _ => over_messages(config, now),
    }
}
