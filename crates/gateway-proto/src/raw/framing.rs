//! An open WebSocket over bytes: messages out, messages in, and for every error the close code that RFC 6455 asks for.

use std::io::{self, Read, Write};

use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame as WireCloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message as WireMessage, Utf8Bytes};

use super::transmit::Transmit;
use crate::websocket::{Failure, Frames, failure};
use crate::{CloseFrame, Closed, Limits, Message};

/// tungstenite zero-fills so much at each read.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// How many bytes may wait for a server that does not read, besides those in [`Transmit`].
const BACKLOG_BYTES: usize = 1 << 20;

/// The framing of one connection. Reads from a slice and writes to a [`Transmit`], both of the caller.
pub(crate) struct Framing {
    context: WebSocketContext,
    frames: Frames,
    /// What [`Framing::send`] could not keep: the server has not read for too long.
    overfull: bool,
}

/// What bytes amount to.
pub(crate) enum Received {
    Message(Message),
    /// The last word of the connection. The answer to it has been written.
    Closed(Closed),
}

impl Framing {
    pub(crate) fn new(limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(BACKLOG_BYTES.max(limits.payload_bytes.saturating_mul(2)))
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let context = WebSocketContext::new(Role::Client, Some(config));
        Self { context, frames: Frames::default(), overfull: false }
    }

    /// Takes bytes off the front of `incoming`, until they make something. None: all are taken, and more must come.
    ///
    /// Pings are answered on the way.
    pub(crate) fn receive(&mut self, incoming: &mut &[u8], transmit: &mut Transmit) -> Option<Received> {
        loop {
            let mut pipe = Pipe { incoming, frames: &mut self.frames, transmit };
            let closed = match self.context.read(&mut pipe) {
                Ok(WireMessage::Text(text)) => return Some(Received::Message(Message::Text(text.into()))),
                Ok(WireMessage::Binary(bytes)) => return Some(Received::Message(Message::Binary(bytes))),
                // tungstenite has answered it, with 1002 if its code may not be sent.
                Ok(WireMessage::Close(_)) => self.frames.closed().unwrap_or(Closed::Eof),
                Ok(_) => continue,
                Err(error) => match failure(&error, &self.frames) {
                    Some(Failure { close, closed }) => {
                        self.close(close, transmit);
                        closed
                    }
                    // All bytes are taken. The pipe has no other errors.
                    None => return None,
                },
            };
            self.flush(transmit);
            return Some(Received::Closed(closed));
        }
    }

    /// Writes a message.
    pub(crate) fn send(&mut self, message: Message, transmit: &mut Transmit) {
        let (bytes, kind) = match message {
            Message::Text(bytes) => (bytes, Data::Text),
            Message::Binary(bytes) => (bytes, Data::Binary),
        };
        let frame = WireMessage::Frame(Frame::message(bytes, OpCode::Data(kind), true));
        let mut nothing: &[u8] = &[];
        let mut pipe = Pipe { incoming: &mut nothing, frames: &mut self.frames, transmit };
        // When there is no room in `transmit`, the frame waits within tungstenite.
        if let Err(Error::WriteBufferFull(_)) = self.context.write(&mut pipe, frame) {
            self.overfull = true;
        }
    }

    /// Writes a close frame, unless one has been written. Reading goes on.
    pub(crate) fn close(&mut self, frame: CloseFrame, transmit: &mut Transmit) {
        let reason = match frame.reason {
            std::borrow::Cow::Borrowed(text) => Utf8Bytes::from_static(text),
            std::borrow::Cow::Owned(text) => text.into(),
        };
        let frame = WireCloseFrame { code: frame.code.into(), reason };
        let mut nothing: &[u8] = &[];
        let mut pipe = Pipe { incoming: &mut nothing, frames: &mut self.frames, transmit };
        // Without room it waits, and without room even for that the server has stopped reading long ago.
        let _ = self.context.close(&mut pipe, Some(frame));
    }

    /// Whether the beginning of a message has come and its end has not.
    pub(crate) fn is_message_under_way(&self) -> bool {
        self.frames.is_message_under_way()
    }

    /// Moves what waits within tungstenite to `transmit`, as far as there is room.
    pub(crate) fn flush(&mut self, transmit: &mut Transmit) {
        let mut nothing: &[u8] = &[];
        let mut pipe = Pipe { incoming: &mut nothing, frames: &mut self.frames, transmit };
        // The pipe has no errors but the lack of room.
        let _ = self.context.flush(&mut pipe);
    }

    /// Whether the server has not read for so long that something could not be kept for it.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }
}

/// What tungstenite takes for a socket: a slice to read from and a buffer to write to, neither of which ever waits.
struct Pipe<'p, 'i> {
    incoming: &'p mut &'i [u8],
    frames: &'p mut Frames,
    transmit: &'p mut Transmit,
}

impl Read for Pipe<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let offered = &self.incoming[..self.incoming.len().min(buffer.len())];
        let count = self.frames.admit_frame(offered);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&offered[..count]);
        *self.incoming = &self.incoming[count..];
        Ok(count)
    }
}

impl Write for Pipe<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.transmit.push(bytes) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
