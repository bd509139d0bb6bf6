//! An open WebSocket over bytes: messages out, messages in, and for every error the close code that RFC 6455 asks for.

use std::io::{self, Read, Write};

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame as WireCloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message as WireMessage, Utf8Bytes};

use super::frames::Frames;
use super::transmit::Transmit;
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
                Ok(WireMessage::Close(_)) => self.closed_by_server(),
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let violation = self.frames.violation()?;
                    self.fail(CloseCode::Protocol, violation, transmit);
                    Closed::Protocol(violation.to_owned())
                }
                Err(error) => self.violated(error, transmit),
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

    /// Writes a close frame. Reading goes on.
    pub(crate) fn close(&mut self, frame: CloseFrame, transmit: &mut Transmit) {
        let reason = match frame.reason {
            std::borrow::Cow::Borrowed(text) => Utf8Bytes::from_static(text),
            std::borrow::Cow::Owned(text) => text.into(),
        };
        self.write_close(WireCloseFrame { code: frame.code.into(), reason }, transmit);
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

    /// A close frame came. tungstenite has answered it, with 1002 if its code may not be sent.
    fn closed_by_server(&self) -> Closed {
        let Some((code, reason)) = self.frames.close_code() else {
            return Closed::Frame { code: None, reason: String::new() };
        };
        if !CloseCode::from(code).is_allowed() {
            return Closed::Protocol(format!("a close frame had the code {code}, which may not be sent"));
        }
        Closed::Frame { code: Some(code), reason: String::from_utf8_lossy(reason).into_owned() }
    }

    /// "The endpoint MUST _Fail the WebSocket Connection_" (RFC 6455, section 7.1.7): a close frame that says why.
    ///
    /// tungstenite's own text may hold a payload, so it is passed on only where it cannot.
    fn violated(&mut self, error: Error, transmit: &mut Transmit) -> Closed {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                self.fail(CloseCode::Size, "message too large", transmit);
                Closed::MessageTooLarge
            }
            Error::Utf8(_) => {
                self.fail(CloseCode::Invalid, "not UTF-8", transmit);
                match self.frames.close_code() {
                    // Only the reason is bad. The code may be one after which nobody must reconnect.
                    Some(_) => self.closed_by_server(),
                    None => Closed::Protocol("a text was not UTF-8".to_owned()),
                }
            }
            Error::Protocol(error) => {
                self.fail(CloseCode::Protocol, "protocol error", transmit);
                Closed::Protocol(describe(&error))
            }
            _ => {
                self.fail(CloseCode::Protocol, "protocol error", transmit);
                Closed::Protocol("a frame could not be read".to_owned())
            }
        }
    }

    /// Writes a close frame, unless one has been written. None of the codes ends the session.
    fn fail(&mut self, code: CloseCode, reason: &'static str, transmit: &mut Transmit) {
        self.write_close(WireCloseFrame { code, reason: Utf8Bytes::from_static(reason) }, transmit);
    }

    fn write_close(&mut self, frame: WireCloseFrame, transmit: &mut Transmit) {
        let mut nothing: &[u8] = &[];
        let mut pipe = Pipe { incoming: &mut nothing, frames: &mut self.frames, transmit };
        // Without room it waits, and without room even for that the server has stopped reading long ago.
        let _ = self.context.close(&mut pipe, Some(frame));
    }
}

/// What a protocol error of tungstenite's means, in words of a reader of RFC 6455.
fn describe(error: &ProtocolError) -> String {
    match error {
        ProtocolError::NonZeroReservedBits => "a frame had reserved bits set".to_owned(),
        ProtocolError::MaskedFrameFromServer => "a frame was masked".to_owned(),
        ProtocolError::FragmentedControlFrame => "a control frame was fragmented".to_owned(),
        ProtocolError::InvalidOpcode(opcode) => format!("a frame had the reserved opcode {opcode}"),
        ProtocolError::UnexpectedContinueFrame => "a fragment continued nothing".to_owned(),
        ProtocolError::ExpectedFragment(_) => "a message began within another".to_owned(),
        ProtocolError::InvalidCloseSequence => "a close frame had half a code".to_owned(),
        other => other.to_string(),
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
        let count = self.frames.admit(offered);
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
