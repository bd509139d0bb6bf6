//! A shard over bytes, as its driver sees it: the client of `gateway-proto`, or the state machine with another WebSocket.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use bytes::Bytes;
use gateway_proto::command::SendError;
use gateway_proto::config::ConfigError;
use gateway_proto::disconnect::Refused;
use gateway_proto::health::{Health, Stats};
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::session::{AckError, SessionSnapshot};
use gateway_proto::{
    Closed, Command, ConnectError, GatewayUrl, Message, Output as Said, Reconnect, Shard, ShardConfig,
    Shutdown,
};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, HandshakeError, WebSocket};

/// A shard over bytes. The methods mean what they mean for [`raw::Connection`](Connection).
pub trait ByteClient {
    /// [`Connection::handle_bytes`].
    fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant);
    /// [`Connection::handle_input`].
    fn handle_input(&mut self, input: Input, now: Instant);
    /// [`Connection::poll_output`].
    fn poll_output(&mut self) -> Output;
    /// [`Connection::transmit`].
    fn transmit(&self) -> &[u8];
    /// [`Connection::transmitted`].
    fn transmitted(&mut self, count: usize);
    /// [`Connection::send`].
    ///
    /// # Errors
    ///
    /// Where the command is not taken.
    fn send(&mut self, command: Command) -> Result<(), SendError>;
    /// [`Connection::ack`].
    ///
    /// # Errors
    ///
    /// Where there is no such dispatch to acknowledge.
    fn ack(&mut self, sequence: u64) -> Result<(), AckError>;
    /// [`Connection::shutdown`].
    fn shutdown(&mut self, how: Shutdown);
    /// [`Connection::reconnect`].
    fn reconnect(&mut self, how: Reconnect);
    /// [`Connection::session`].
    fn session(&self) -> Option<SessionSnapshot>;
    /// [`Connection::stats`].
    fn stats(&self) -> &Stats;
    /// [`Connection::health`].
    fn health(&self) -> Health;
}

impl ByteClient for Connection {
    fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant) {
        self.handle_bytes(bytes, now);
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        self.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        self.poll_output()
    }

    fn transmit(&self) -> &[u8] {
        self.transmit()
    }

    fn transmitted(&mut self, count: usize) {
        self.transmitted(count);
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.send(command)
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.ack(sequence)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.session()
    }

    fn stats(&self) -> &Stats {
        self.stats()
    }

    fn health(&self) -> Health {
        self.health()
    }
}

/// The state machine over messages, with the upgrade and the framing of tungstenite: what a library with a WebSocket of its
/// own makes of a [`Shard`].
pub struct MessageClient {
    shard: Shard,
    stream: Stream,
    /// What is to be done besides what the shard says.
    outputs: VecDeque<Output>,
    /// Bytes for the server.
    written: Vec<u8>,
}

enum Stream {
    None,
    Dialing(GatewayUrl),
    Upgrading(Box<MidHandshake<ClientHandshake<Pipe>>>),
    Open {
        socket: Box<WebSocket<Pipe>>,
        /// The close frame of the shard is out.
        closing: bool,
    },
}

impl ByteClient for MessageClient {
    fn handle_bytes(&mut self, bytes: &mut &[u8], now: Instant) {
        let bytes = std::mem::take(bytes);
        match &mut self.stream {
            Stream::Upgrading(waiting) => {
                let answer = &mut waiting.get_mut().get_mut().incoming;
                answer.extend(bytes);
                // tungstenite takes a head in many small reads for an attack, so it is not given before it is whole.
                if answer.make_contiguous().windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    self.upgrade(now);
                }
            }
            Stream::Open { socket, .. } => socket.get_mut().incoming.extend(bytes),
            Stream::None | Stream::Dialing(_) => {}
        }
        self.read_messages(now);
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        let input = match input {
            Input::Opened => return self.opened(now),
            Input::ConnectFailed(error) => {
                self.stream = Stream::None;
                gateway_proto::Input::ConnectFailed(error)
            }
            Input::EndOfStream => return self.ended(Closed::Eof, "the stream ended", now),
            Input::Failed(detail) => return self.ended(Closed::Failed(detail.clone()), &detail, now),
            Input::IdentifyGranted => gateway_proto::Input::IdentifyGranted,
            Input::IdentifyRefused(refused) => gateway_proto::Input::IdentifyRefused(refused),
            Input::ReadingPaused => gateway_proto::Input::ReadingPaused,
            Input::ReadingResumed => gateway_proto::Input::ReadingResumed,
            Input::WallClock(since_1970) => gateway_proto::Input::WallClock(since_1970),
            Input::Timeout => gateway_proto::Input::Timeout,
        };
        self.shard.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            let said = self.shard.poll_output();
            if let Some(output) = self.carry_out(said) {
                return output;
            }
        }
    }

    fn transmit(&self) -> &[u8] {
        &self.written
    }

    fn transmitted(&mut self, count: usize) {
        self.written.drain(..count.min(self.written.len()));
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.shard.ack(sequence)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shard.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.shard.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.shard.session()
    }

    fn stats(&self) -> &Stats {
        self.shard.stats()
    }

    fn health(&self) -> Health {
        self.shard.health()
    }
}

impl MessageClient {
    /// A shard that has not connected.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be used.
    pub fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let shard = Shard::new(config, now)?;
        Ok(Self { shard, stream: Stream::None, outputs: VecDeque::new(), written: Vec::new() })
    }

    /// What the shard says, for the owner of the stream; `None` if it was said to the server.
    fn carry_out(&mut self, said: Said) -> Option<Output> {
        Some(match said {
            Said::Connect(url) => {
                self.stream = Stream::Dialing(url.clone());
                self.written.clear();
                Output::Connect(url)
            }
            Said::Disconnect => {
                self.stream = Stream::None;
                Output::ShutDown
            }
            Said::Send(message) => {
                self.write(match message {
                    // A shard writes texts that are UTF-8.
                    Message::Text(text) => {
                        tungstenite::Message::text(String::from_utf8_lossy(&text).into_owned())
                    }
                    Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
                });
                return None;
            }
            Said::Close(frame) => {
                if let Stream::Open { closing, .. } = &mut self.stream {
                    *closing = true;
                }
                let frame = CloseFrame { code: frame.code.into(), reason: frame.reason.as_ref().into() };
                self.write(tungstenite::Message::Close(Some(frame)));
                return None;
            }
            Said::AcquireIdentify => Output::AcquireIdentify,
            Said::CancelIdentify => Output::CancelIdentify,
            Said::Event(event) => Output::Event(event),
            Said::Timeout(deadline) => Output::Timeout(deadline),
            Said::Stopped(reason) => Output::Stopped(reason),
        })
    }

    fn write(&mut self, message: tungstenite::Message) {
        if let Stream::Open { socket, .. } = &mut self.stream {
            // Refused once the server has closed, which is then read.
            let _ = socket.send(message);
            self.written.append(&mut socket.get_mut().outgoing);
        }
    }

    fn opened(&mut self, now: Instant) {
        let Stream::Dialing(url) = &self.stream else { return };
        let request = url.expose().into_client_request();
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.shard.config().limits.message_bytes))
            .max_frame_size(Some(self.shard.config().limits.message_bytes));
        match request.and_then(|request| ClientHandshake::start(Pipe::default(), request, Some(config))) {
            Ok(waiting) => {
                self.stream = Stream::Upgrading(Box::new(waiting));
                self.upgrade(now);
            }
            Err(error) => self.connect_failed(ConnectError::Handshake(error.to_string()), now),
        }
    }

    fn upgrade(&mut self, now: Instant) {
        let Stream::Upgrading(waiting) = std::mem::replace(&mut self.stream, Stream::None) else { return };
        match waiting.handshake() {
            Ok((socket, _)) => {
                self.stream = Stream::Open { socket: Box::new(socket), closing: false };
                self.shard.handle_input(gateway_proto::Input::Opened, now);
            }
            Err(HandshakeError::Interrupted(mut waiting)) => {
                self.written.append(&mut waiting.get_mut().get_mut().outgoing);
                self.stream = Stream::Upgrading(Box::new(waiting));
            }
            Err(HandshakeError::Failure(error)) => self.connect_failed(refusal(error), now),
        }
    }

    /// The stream is open, but leads to no WebSocket.
    fn connect_failed(&mut self, error: ConnectError, now: Instant) {
        self.stream = Stream::None;
        self.outputs.push_back(Output::ShutDown);
        self.shard.handle_input(gateway_proto::Input::ConnectFailed(error), now);
    }

    fn closed(&mut self, closed: Closed, now: Instant) {
        self.stream = Stream::None;
        self.outputs.push_back(Output::ShutDown);
        self.shard.handle_input(gateway_proto::Input::Closed(closed), now);
    }

    fn ended(&mut self, closed: Closed, detail: &str, now: Instant) {
        match &self.stream {
            Stream::Upgrading(_) => self.connect_failed(ConnectError::Handshake(detail.to_owned()), now),
            Stream::Open { .. } => self.closed(closed, now),
            Stream::None | Stream::Dialing(_) => {}
        }
    }

    fn read_messages(&mut self, now: Instant) {
        while let Stream::Open { socket, closing } = &mut self.stream {
            let closed = match socket.read() {
                Ok(tungstenite::Message::Text(text)) => {
                    self.message(Message::Text(Bytes::from(text)), now);
                    continue;
                }
                Ok(tungstenite::Message::Binary(bytes)) => {
                    self.message(Message::Binary(bytes), now);
                    continue;
                }
                Ok(tungstenite::Message::Close(frame)) => {
                    if !*closing {
                        // tungstenite has its answer ready.
                        let _ = socket.flush();
                    }
                    let code = frame.as_ref().map(|frame| frame.code.into());
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    Closed::Frame { code, reason }
                }
                Ok(_) => {
                    let _ = socket.flush();
                    self.written.append(&mut socket.get_mut().outgoing);
                    continue;
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => closed_by(error),
            };
            self.written.append(&mut socket.get_mut().outgoing);
            self.closed(closed, now);
        }
    }

    /// What the shard says to a message is taken before the next message: it may be that it drops the stream.
    fn message(&mut self, message: Message, now: Instant) {
        self.shard.handle_input(gateway_proto::Input::Message(message), now);
        loop {
            match self.shard.poll_output() {
                Said::Timeout(_) | Said::Stopped(_) => return,
                said => {
                    let output = self.carry_out(said);
                    self.outputs.extend(output);
                }
            }
        }
    }
}

/// Why an upgrade has failed.
fn refusal(error: Error) -> ConnectError {
    let Error::Http(response) = error else { return ConnectError::Handshake(error.to_string()) };
    let headers = response.headers().iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut refused = Refused::new(response.status().as_u16());
    refused.headers = headers;
    refused.retry_after = refused.header("Retry-After").and_then(Refused::parse_retry_after);
    refused.body = response.body().clone().unwrap_or_default();
    ConnectError::Refused(refused)
}

fn closed_by(error: Error) -> Closed {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Closed::Eof,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Eof,
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Closed::MessageTooLarge,
        Error::Protocol(error) => Closed::Protocol(error.to_string()),
        Error::Utf8(_) => Closed::Protocol("a text was not UTF-8".to_owned()),
        error => Closed::Failed(error.to_string()),
    }
}

/// The client's end of a stream in memory: reads give what has come, and writes take everything.
#[derive(Default)]
struct Pipe {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
