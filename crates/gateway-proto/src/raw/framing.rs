//! An open WebSocket over bytes: messages out, messages in, and for every error the close code that RFC 6455 asks for.

use std::io::{self, Read, Write};

use fastrand::Rng;
use tungstenite::Message as WireMessage;
use tungstenite::protocol::{Role, WebSocketContext};

use super::transmit::Transmit;
use crate::websocket::{Failure, Frames, Part, close_frame, control_config, failure, write_message};
use crate::{CloseFrame, Closed, Limits, Message};

/// The framing of one connection. Reads from a slice and writes to a [`Transmit`], both of the caller.
pub(crate) struct Framing {
    frames: Frames,
    /// Answers pings and close frames.
    control: WebSocketContext,
    /// For the masks. The server cannot guess them if the seed is what a seed has to be.
    rng: Rng,
    /// A close frame is among what was sent.
    closing: bool,
    /// What [`Framing::send`] could not keep: the server has not read for too long.
    overfull: bool,
}

/// What bytes amount to.
pub(crate) enum Received {
    Message(Message),
    /// A ping or a pong. What there is to answer has been answered.
    Control,
    /// The last word of the connection. The answer to it has been written.
    Closed(Closed),
}

impl Framing {
    pub(crate) fn new(limits: &Limits, rng: Rng) -> Self {
        Self {
            frames: Frames::new(limits.message_bytes),
            control: WebSocketContext::new(Role::Client, Some(control_config())),
            rng,
            closing: false,
            overfull: false,
        }
    }

    /// Takes bytes off the front of `incoming`, until they make something. None: all are taken, and more must come.
    pub(crate) fn receive(&mut self, incoming: &mut &[u8], transmit: &mut Transmit) -> Option<Received> {
        let closed = match self.frames.take(incoming)? {
            Part::Message(message) => return Some(Received::Message(message)),
            Part::Control(frame) => self.answer(&frame, transmit),
            Part::Failed(failure) => Some(self.fail(failure, transmit)),
        };
        Some(closed.map_or(Received::Control, Received::Closed))
    }

    /// Answers a control frame, if it is one to answer. After a close frame the connection is over.
    fn answer(&mut self, frame: &[u8], transmit: &mut Transmit) -> Option<Closed> {
        let mut pipe = Pipe { incoming: frame, transmit };
        let closed = match self.control.read(&mut pipe) {
            // tungstenite answers it, with 1002 if its code may not be sent.
            Ok(WireMessage::Close(_)) => Some(self.frames.closed().unwrap_or(Closed::Eof)),
            Ok(_) => None,
            Err(error) => failure(&error, &self.frames).map(|failure| self.fail(failure, transmit)),
        };
        self.flush(transmit);
        closed
    }

    fn fail(&mut self, failure: Failure, transmit: &mut Transmit) -> Closed {
        self.close(failure.close, transmit);
        failure.closed
    }

    /// Writes a message.
    pub(crate) fn send(&mut self, message: Message, transmit: &mut Transmit) {
        let mut mask = [0; 4];
        self.rng.fill(&mut mask);
        let mut frame = Vec::new();
        write_message(message, mask, &mut frame);
        if !self.closing && !transmit.push(&frame) {
            self.overfull = true;
        }
    }

    /// Writes a close frame, unless one has been written. Reading goes on.
    pub(crate) fn close(&mut self, frame: CloseFrame, transmit: &mut Transmit) {
        self.closing = true;
        let mut pipe = Pipe { incoming: &[], transmit };
        // Without room even for that the server has stopped reading long ago.
        let _ = self.control.close(&mut pipe, Some(close_frame(frame)));
    }

    /// Moves what waits within tungstenite to `transmit`, if there is room: an answer to a ping, which the next one replaces,
    /// or to a close frame.
    pub(crate) fn flush(&mut self, transmit: &mut Transmit) {
        // The pipe has no errors but the lack of room.
        let _ = self.control.flush(&mut Pipe { incoming: &[], transmit });
    }

    /// Whether the beginning of a message has come and its end has not.
    pub(crate) fn is_message_under_way(&self) -> bool {
        self.frames.is_message_under_way()
    }

    /// Whether the server has not read for so long that something could not be kept for it.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }
}

/// What tungstenite takes for a socket: a slice to read from and a buffer to write to, neither of which ever waits.
struct Pipe<'p> {
    incoming: &'p [u8],
    transmit: &'p mut Transmit,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            read => read,
        }
    }
}

impl Write for Pipe<'_> {
    /// All or nothing: frames of tungstenite's and others never mix.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.transmit.push(bytes) {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
