//! The writing thread of a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::http;
use super::socket::Socket;
use super::state::{Clock, Command};
use crate::bytes_fault::{BytePlan, ByteStep};
use crate::gateway::Output;
use crate::wire::Message;

/// How long the client may take to end its half after ours.
const LINGER: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    pub(super) socket: Socket,
    pub(super) key: String,
    pub(super) queued: Arc<AtomicUsize>,
    /// Disconnected when the reader has ended.
    pub(super) reader: Receiver<()>,
    pub(super) clock: Clock,
    pub(super) plan: BytePlan,
    pub(super) silent: bool,
}

/// Whether anything can follow.
#[derive(PartialEq)]
enum Next {
    More,
    Ended,
}

impl Writer {
    /// Writes until the connection ends.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        while let Ok(command) = queue.recv() {
            match self.command(command) {
                Ok(Next::More) => {}
                Ok(Next::Ended) => return,
                Err(_) => break,
            }
        }
        self.socket.end();
    }

    fn command(&mut self, command: Command) -> io::Result<Next> {
        let output = match command {
            Command::Bytes(_) if self.silent => return Ok(Next::More),
            Command::Bytes(bytes) => return self.put(&bytes),
            Command::Output(output) => output,
        };
        match output {
            Output::Accept => self.put(&http::switching_protocols(&self.key)),
            Output::Refuse(response) => {
                self.put(&http::response(&response, false))?;
                Ok(self.finish())
            }
            Output::Send(message) => {
                let bytes = frames(&message)?;
                let result = self.put(&bytes);
                self.queued.fetch_sub(message.payload.len(), Ordering::Relaxed);
                result
            }
            Output::Ping => self.put(&frame_bytes(Frame::ping(Vec::new()))?),
            Output::Close(code, reason) => {
                let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                self.put(&frame_bytes(Frame::close(frame))?)
            }
            Output::Drop => Ok(self.finish()),
            Output::Abort => {
                self.socket.reset();
                Ok(Next::Ended)
            }
            Output::Cut(message) => {
                let bytes = frames(&message)?;
                self.put(&bytes[..bytes.len() / 2])?;
                self.socket.reset();
                Ok(Next::Ended)
            }
            Output::Silence => {
                self.silent = true;
                Ok(Next::More)
            }
            Output::Bytes(fault) => {
                self.plan.add(fault);
                Ok(Next::More)
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Next> {
        for step in self.plan.write(bytes) {
            match step {
                ByteStep::Write(bytes) => self.socket.write_all(&bytes)?,
                ByteStep::Wait(time) => {
                    // Ends early if the client goes away.
                    if self.reader.recv_timeout(self.clock.wait(time)) == Err(RecvTimeoutError::Disconnected)
                    {
                        return Ok(Next::Ended);
                    }
                }
                ByteStep::HalfClose => self.socket.half_close(),
                ByteStep::Reset => {
                    self.socket.reset();
                    return Ok(Next::Ended);
                }
            }
        }
        Ok(Next::More)
    }

    /// Ends our half, and the other when the client has ended it or has had the time to.
    fn finish(&self) -> Next {
        self.socket.finish();
        let _ = self.reader.recv_timeout(LINGER);
        self.socket.end();
        Next::Ended
    }
}

/// A message as WebSocket frames.
fn frames(message: &Message) -> io::Result<Vec<u8>> {
    let first = if message.binary { Data::Binary } else { Data::Text };
    let size = message.payload.len().div_ceil(message.fragments.max(1)).max(1);
    let mut bytes = Vec::with_capacity(message.payload.len() + 16);
    let mut parts = message.payload.chunks(size).peekable();
    let mut kind = first;
    if parts.peek().is_none() {
        bytes.extend(frame_bytes(Frame::message(Vec::new(), OpCode::Data(kind), true))?);
    }
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        bytes.extend(frame_bytes(Frame::message(part.to_vec(), OpCode::Data(kind), last))?);
        kind = Data::Continue;
    }
    Ok(bytes)
}

fn frame_bytes(frame: Frame) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}
