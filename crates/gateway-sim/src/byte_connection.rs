//! One connection of a gateway over bytes: HTTP, then optionally a WebSocket, with the gateway's byte faults applied.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bytes_fault::{BytePlan, ByteStep};
use crate::gateway::Gateway;
use crate::http::Request;
use crate::io::{ClientMessage, ConnectionId, Output};
use crate::websocket::{FromClient, WebSocketServer};

/// The server's end of one byte stream to a [`Gateway`]. Sans-I/O: bytes and the time go in, bytes come out.
///
/// The caller passes in received bytes, passes the gateway's outputs for [`id`](Self::id) to
/// [`carry_out`](Self::carry_out), and performs the steps of [`poll_step`](Self::poll_step). README.md shows a loop.
#[derive(Debug, Default)]
pub struct ByteConnection {
    at_resume_url: bool,
    id: Option<ConnectionId>,
    key: String,
    socket: WebSocketServer,
    plan: BytePlan,
    silent: bool,
    /// Whether the stream has ended.
    ended: bool,
    steps: VecDeque<ByteStep>,
}

impl ByteConnection {
    /// Creates a stream that was accepted at the address of [`Config::resume_url`](crate::Config::resume_url).
    pub fn at_resume_url() -> Self {
        Self { at_resume_url: true, ..Self::default() }
    }

    /// The gateway's id of the connection. `None` before the upgrade request.
    pub fn id(&self) -> Option<ConnectionId> {
        self.id
    }

    /// Handles bytes of the stream.
    pub fn receive(&mut self, gateway: &mut Gateway, bytes: &[u8], now: Instant) {
        if self.ended {
            return;
        }
        self.socket.receive(bytes);
        while let Some(received) = self.socket.poll() {
            // A pong is sent before the gateway's answer to what follows the ping.
            self.push_written();
            match received {
                FromClient::Request(request) => self.request(gateway, &request, now),
                FromClient::Text(text) => self.feed(gateway, ClientMessage::Text(&text), now),
                FromClient::Binary(bytes) => self.feed(gateway, ClientMessage::Binary(&bytes), now),
                FromClient::Ping(_) | FromClient::AfterClose(_) => {}
                FromClient::Pong(_) => self.feed(gateway, ClientMessage::Pong, now),
                FromClient::Close(frame) => {
                    self.feed(gateway, ClientMessage::Close(frame.map(|(code, _)| code)), now);
                }
                FromClient::TooLarge => self.feed(gateway, ClientMessage::TooLarge, now),
                FromClient::Invalid { code, .. } => {
                    if code.is_some() {
                        self.socket.close(code, "");
                    }
                    self.finish();
                    self.feed(gateway, ClientMessage::Gone, now);
                }
            }
        }
    }

    /// Handles the end or failure of the stream.
    pub fn end(&mut self, gateway: &mut Gateway, now: Instant) {
        self.ended = true;
        self.feed(gateway, ClientMessage::Gone, now);
    }

    /// Performs an output of the gateway for this connection.
    pub fn carry_out(&mut self, output: Output) {
        match output {
            Output::Accept => {
                let key = std::mem::take(&mut self.key);
                self.socket.accept(&key);
            }
            Output::Refuse(response) => {
                self.socket.respond(&response, false);
                return self.finish();
            }
            Output::Send(message) => self.socket.send(message),
            Output::Ping => self.socket.ping(),
            Output::Close(code, reason) => self.socket.close(code, &reason),
            Output::Drop => return self.finish(),
            Output::Abort => return self.reset(),
            Output::Cut(message) => {
                self.push_written();
                self.socket.send(message);
                let bytes = self.socket.take_written();
                self.socket.write(&bytes[..bytes.len() / 2]);
                return self.reset();
            }
            Output::Silence => self.silent = true,
            Output::Bytes(fault) => self.plan.add(fault),
        }
        self.push_written();
    }

    /// The next step to perform on the stream. [`ByteStep::HalfClose`] is the last of an orderly end: the client then
    /// ends its half.
    pub fn poll_step(&mut self) -> Option<ByteStep> {
        self.steps.pop_front()
    }

    fn request(&mut self, gateway: &mut Gateway, request: &Request, now: Instant) {
        if let Some(key) = request.upgrade_key() {
            self.key = key.to_owned();
            // At that address the gateway expects the whole URL.
            let prefix = gateway.config().resume_url.clone().filter(|_| self.at_resume_url);
            let target = prefix.unwrap_or_default() + &request.target;
            self.id = Some(gateway.open(&target, now));
            return;
        }
        self.socket.respond(&gateway.answer(request), request.keeps_alive());
        self.push_written();
        if !request.keeps_alive() {
            self.finish();
        }
    }

    fn feed(&self, gateway: &mut Gateway, message: ClientMessage<'_>, now: Instant) {
        if let Some(id) = self.id {
            gateway.receive(id, message, now);
        }
    }

    /// Ends the stream in an orderly way.
    fn finish(&mut self) {
        self.end_with(ByteStep::HalfClose);
    }

    fn reset(&mut self) {
        self.end_with(ByteStep::Reset);
    }

    /// Queues the last step, once: the gateway also drops a connection when it learns that it has gone.
    fn end_with(&mut self, step: ByteStep) {
        self.push_written();
        if !self.ended {
            self.steps.push_back(step);
            self.ended = true;
        }
    }

    fn push_written(&mut self) {
        let bytes = self.socket.take_written();
        if !self.silent && !bytes.is_empty() {
            self.steps.extend(self.plan.write(&bytes));
        }
    }
}
