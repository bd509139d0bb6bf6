//! The server's side of a byte stream: what the simulated gateway says as bytes, and what a client's bytes say.

use std::io;
use std::time::Duration;

use gateway_sim::{BytePlan, ByteStep, Message, Output, Response};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Error, WebSocket};

use super::client::Act;
use super::pipe::{self, Pipe};

/// What comes to the client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delivery {
    Bytes(Vec<u8>),
    /// What follows comes so much later.
    Wait(Duration),
    End,
    Reset,
}

/// Turns what the gateway says into bytes.
#[derive(Default)]
pub(crate) struct Sending {
    key: String,
    plan: BytePlan,
    silent: bool,
}

impl Sending {
    /// For an upgrade request with this key.
    pub(crate) fn new(key: String) -> Self {
        Self { key, ..Self::default() }
    }

    pub(crate) fn deliveries(&mut self, output: Output) -> Vec<Delivery> {
        match output {
            _ if self.silent => Vec::new(),
            Output::Accept => self.put(&switching_protocols(&derive_accept_key(self.key.as_bytes()))),
            Output::Refuse(response) => {
                let mut deliveries = self.put(&http_response(&response));
                deliveries.push(Delivery::End);
                deliveries
            }
            Output::Send(message) => self.put(&message_frames(&message)),
            Output::Ping => self.put(&frame_bytes(Frame::ping(Vec::new()))),
            Output::Close(code, reason) => {
                let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                self.put(&frame_bytes(Frame::close(frame)))
            }
            Output::Drop => vec![Delivery::End],
            Output::Abort => vec![Delivery::Reset],
            Output::Cut(message) => {
                let bytes = message_frames(&message);
                let mut deliveries = self.put(&bytes[..bytes.len() / 2]);
                deliveries.push(Delivery::Reset);
                deliveries
            }
            Output::Silence => {
                self.silent = true;
                Vec::new()
            }
            Output::Bytes(fault) => {
                self.plan.add(fault);
                Vec::new()
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Vec<Delivery> {
        let steps = self.plan.write(bytes).into_iter();
        steps
            .filter_map(|step| match step {
                ByteStep::Write(bytes) => Some(Delivery::Bytes(bytes)),
                ByteStep::Wait(time) => Some(Delivery::Wait(time)),
                ByteStep::HalfClose => Some(Delivery::End),
                ByteStep::Reset => Some(Delivery::Reset),
                _ => None,
            })
            .collect()
    }
}

/// Reads what a client writes.
pub(crate) enum Receiving {
    /// The upgrade request, as far as it has come.
    Head(Vec<u8>),
    Open(Box<WebSocket<Pipe>>),
}

impl Default for Receiving {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Receiving {
    pub(crate) fn acts(&mut self, bytes: &[u8]) -> Vec<Act> {
        let mut acts = Vec::new();
        match self {
            Self::Head(head) => {
                head.extend_from_slice(bytes);
                if let Some((act, length)) = request(head) {
                    let mut socket = pipe::reader(Role::Server, None);
                    socket.get_mut().push(&head[length..]);
                    *self = Self::Open(Box::new(socket));
                    acts.push(act);
                }
            }
            Self::Open(socket) => socket.get_mut().push(bytes),
        }
        if let Self::Open(socket) = self {
            while let Some(act) = next_act(socket) {
                acts.push(act);
            }
        }
        acts
    }
}

fn next_act(socket: &mut WebSocket<Pipe>) -> Option<Act> {
    loop {
        return match socket.read() {
            Ok(tungstenite::Message::Text(text)) => Some(Act::Text(text.as_bytes().to_vec())),
            Ok(tungstenite::Message::Binary(bytes)) => Some(Act::Binary(bytes.to_vec())),
            Ok(tungstenite::Message::Close(frame)) => Some(Act::Closes(frame.map(|frame| frame.code.into()))),
            Ok(tungstenite::Message::Pong(_)) => Some(Act::Pong),
            Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Frame(_)) => continue,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            // A client that breaks the protocol is heard no more; the scenario misses what it should have said.
            Err(_) => None,
        };
    }
}

/// The request, if its head is whole, and the length of the head.
fn request(head: &[u8]) -> Option<(Act, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(head).ok()? else { return None };
    let key = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Sec-WebSocket-Key"));
    let key = key.map(|header| String::from_utf8_lossy(header.value).into_owned()).unwrap_or_default();
    Some((Act::Opens { target: request.path.unwrap_or_default().to_owned(), key }, length))
}

/// The answer that accepts an upgrade.
fn switching_protocols(accept: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

fn http_response(response: &Response) -> Vec<u8> {
    let mut head =
        format!("HTTP/1.1 {} Refused\r\nContent-Length: {}\r\n", response.status, response.body.len());
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}\r\n{}", response.body).into_bytes()
}

/// A message as WebSocket frames.
fn message_frames(message: &Message) -> Vec<u8> {
    let first = OpCode::Data(if message.binary { Data::Binary } else { Data::Text });
    let size = message.payload.len().div_ceil(message.fragments.max(1)).max(1);
    let mut parts: Vec<&[u8]> = message.payload.chunks(size).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let last = parts.len() - 1;
    let frames = parts.iter().enumerate().map(|(index, part)| {
        let opcode = if index == 0 { first } else { OpCode::Data(Data::Continue) };
        frame_bytes(Frame::message(part.to_vec(), opcode, index == last))
    });
    frames.flatten().collect()
}

fn frame_bytes(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a vector takes any number of bytes");
    bytes
}
