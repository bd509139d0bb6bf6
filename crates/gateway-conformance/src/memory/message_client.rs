//! The shard over messages, with the upgrade and the framing that its owner has to bring.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use gateway_driver::proto::command::SendError;
use gateway_driver::proto::config::ConfigError;
use gateway_driver::proto::disconnect::Refused;
use gateway_driver::proto::session::AckError;
use gateway_driver::proto::{
    Closed, Command, ConnectError, GatewayUrl, Input, Message, Output, Reconnect, Shard, ShardConfig,
    Shutdown,
};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Error, WebSocket};

use super::client::{Act, Client, News, Order};
use super::pipe::{self, Pipe};
use crate::probe::Probe;

/// Nothing depends on its being random here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(crate) struct MessageClient {
    shard: Shard,
    stream: Stream,
    /// What is to be done besides what the shard says.
    orders: VecDeque<Order>,
    writes_stopped: bool,
}

enum Stream {
    None,
    Dialing(GatewayUrl),
    /// The upgrade request is sent; of the answer so much has come.
    Upgrading(Vec<u8>),
    Open {
        socket: Box<WebSocket<Pipe>>,
        closing: bool,
    },
}

impl Client for MessageClient {
    fn new(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let shard = Shard::new(config, now)?;
        Ok(Self { shard, stream: Stream::None, orders: VecDeque::new(), writes_stopped: false })
    }

    fn poll(&mut self) -> Order {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return order;
            }
            let output = self.shard.poll_output();
            if let Some(order) = self.order(output) {
                return order;
            }
        }
    }

    fn tell(&mut self, news: News, now: Instant) {
        match news {
            News::StreamOpen => {
                if let Stream::Dialing(url) = &self.stream {
                    let target = url.path_and_query().to_owned();
                    self.orders.push_back(Order::Act(Act::Opens { target, key: KEY.to_owned() }));
                    self.stream = Stream::Upgrading(Vec::new());
                }
            }
            News::ConnectFailed(error) => self.connect_failed(error, now),
            News::Bytes(bytes) => self.receive(&bytes, now),
            News::End => self.ended(Closed::Eof, "the stream ended", now),
            News::Reset => self.ended(Closed::Failed("reset".to_owned()), "reset", now),
            News::IdentifyGranted => self.shard.handle_input(Input::IdentifyGranted, now),
            News::ReadingPaused => self.shard.handle_input(Input::ReadingPaused, now),
            News::ReadingResumed => self.shard.handle_input(Input::ReadingResumed, now),
            News::WallClock(time) => self.shard.handle_input(Input::WallClock(time), now),
            News::Timeout => self.shard.handle_input(Input::Timeout, now),
        }
    }

    fn stop_writes(&mut self) {
        self.writes_stopped = true;
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shard.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.shard.reconnect(how);
    }

    fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.shard.ack(sequence)
    }

    fn probe(&self) -> Probe {
        Probe {
            health: self.shard.health(),
            stats: self.shard.stats().clone(),
            session: self.shard.session(),
        }
    }
}

impl MessageClient {
    fn order(&mut self, output: Output) -> Option<Order> {
        Some(match output {
            Output::Connect(url) => {
                self.stream = Stream::Dialing(url.clone());
                self.writes_stopped = false;
                Order::Connect(url)
            }
            Output::Disconnect => {
                self.stream = Stream::None;
                Order::Disconnect
            }
            Output::Send(_) | Output::Close(_) if self.writes_stopped => return None,
            Output::Send(Message::Text(text)) => Order::Act(Act::Text(text.to_vec())),
            Output::Send(Message::Binary(bytes)) => Order::Act(Act::Binary(bytes.to_vec())),
            Output::Close(frame) => {
                if let Stream::Open { closing, .. } = &mut self.stream {
                    *closing = true;
                }
                Order::Act(Act::Closes(Some(frame.code)))
            }
            Output::AcquireIdentify => Order::AcquireIdentify,
            Output::CancelIdentify => Order::CancelIdentify,
            Output::Event(event) => Order::Event(event),
            Output::Timeout(deadline) => Order::Timeout(deadline),
            Output::Stopped(reason) => Order::Stopped(reason),
        })
    }

    fn connect_failed(&mut self, error: ConnectError, now: Instant) {
        self.stream = Stream::None;
        self.orders.push_back(Order::Disconnect);
        self.shard.handle_input(Input::ConnectFailed(error), now);
    }

    fn closed(&mut self, closed: Closed, now: Instant) {
        self.stream = Stream::None;
        self.orders.push_back(Order::Disconnect);
        self.shard.handle_input(Input::Closed(closed), now);
    }

    fn ended(&mut self, closed: Closed, words: &str, now: Instant) {
        match &self.stream {
            Stream::Upgrading(_) => self.connect_failed(ConnectError::Handshake(words.to_owned()), now),
            Stream::Open { .. } => self.closed(closed, now),
            Stream::None | Stream::Dialing(_) => {}
        }
    }

    fn receive(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.stream {
            Stream::Upgrading(answer) => {
                answer.extend_from_slice(bytes);
                match upgraded(answer) {
                    None => return,
                    Some(Err(error)) => return self.connect_failed(error, now),
                    Some(Ok(length)) => {
                        let mut socket = pipe::reader(Role::Client, Some(&self.shard.config().limits));
                        socket.get_mut().push(&answer[length..]);
                        self.stream = Stream::Open { socket: Box::new(socket), closing: false };
                        self.shard.handle_input(Input::Opened, now);
                    }
                }
            }
            Stream::Open { socket, .. } => socket.get_mut().push(bytes),
            Stream::None | Stream::Dialing(_) => {}
        }
        self.read_messages(now);
    }

    fn read_messages(&mut self, now: Instant) {
        while let Stream::Open { socket, closing } = &mut self.stream {
            let closed = match socket.read() {
                Ok(tungstenite::Message::Text(text)) => {
                    self.shard.handle_input(Input::Message(Message::Text(Bytes::from(text))), now);
                    self.obey_at_once();
                    continue;
                }
                Ok(tungstenite::Message::Binary(bytes)) => {
                    self.shard.handle_input(Input::Message(Message::Binary(bytes)), now);
                    self.obey_at_once();
                    continue;
                }
                Ok(tungstenite::Message::Ping(_)) => {
                    self.orders.push_back(Order::Act(Act::Pong));
                    continue;
                }
                Ok(tungstenite::Message::Close(frame)) => {
                    let code = frame.as_ref().map(|frame| frame.code.into());
                    if !*closing {
                        self.orders.push_back(Order::Act(Act::Closes(code)));
                    }
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    Closed::Frame { code, reason }
                }
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => closed_by(error),
            };
            self.closed(closed, now);
        }
    }

    /// What the shard says to a message comes before the next message: it may be that it drops the stream.
    fn obey_at_once(&mut self) {
        loop {
            match self.shard.poll_output() {
                Output::Timeout(_) | Output::Stopped(_) => return,
                output => {
                    let order = self.order(output);
                    self.orders.extend(order);
                }
            }
        }
    }
}

/// What the answer to the upgrade request says, once it is whole: how long its head is, or what is wrong.
fn upgraded(answer: &[u8]) -> Option<Result<usize, ConnectError>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let handshake = |words: &str| Some(Err(ConnectError::Handshake(words.to_owned())));
    let length = match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(error) => return handshake(&error.to_string()),
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    if response.code == Some(101) {
        return match header("Sec-WebSocket-Accept") == Some(derive_accept_key(KEY.as_bytes()).as_str()) {
            true => Some(Ok(length)),
            false => handshake("the answer is to another question"),
        };
    }
    let body_bytes = header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if answer.len() - length < body_bytes {
        return None;
    }
    Some(Err(ConnectError::Refused(Refused {
        status: response.code.unwrap_or_default(),
        retry_after: header("Retry-After").and_then(Refused::parse_retry_after),
        body: answer[length..length + body_bytes].to_vec(),
        ..Refused::default()
    })))
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
