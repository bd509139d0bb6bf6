//! Messages with their WebSocket headers in one buffer.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use gateway_codec::{Compression, Encoding};

use super::{Extent, ServeOptions};
use crate::frames::Frames;
use crate::mode::Mode;

/// The final bit of a frame header (RFC 6455, section 5.2).
const FINAL: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// The bytes of a connection, ready to be written: Hello, READY, the guilds, the small events.
#[derive(Debug)]
pub(super) struct Prepared {
    bytes: Bytes,
    /// The end of each message.
    ends: Vec<usize>,
    /// The number of messages before the small events.
    lead: usize,
    binary: bool,
}

impl Prepared {
    pub(super) fn new(frames: &Frames, mode: Mode, options: &ServeOptions) -> io::Result<Self> {
        let lead = match options.extent {
            Extent::Ready => 2,
            Extent::Guilds | Extent::Events => 2 + options.guilds,
        };
        let share = share(options)?;
        if frames.len() < lead + share {
            let problem = format!("{mode}: {} messages where {} are asked for", frames.len(), lead + share);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let binary = mode != Mode::new(Encoding::Json, Compression::None);
        let mut bytes = Vec::with_capacity(frames.bytes() + 10 * frames.len());
        let mut ends = Vec::with_capacity(lead + share);
        for (place, frame) in frames.iter().take(lead + share).enumerate() {
            match options.heartbeat_ms {
                Some(ms) if place == 0 => {
                    if binary {
                        let problem = "heartbeats are acknowledged in json-plain alone";
                        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
                    }
                    let hello = format!(
                        r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{ms},"_trace":[]}}}}"#
                    );
                    write_message(&mut bytes, binary, hello.as_bytes());
                }
                _ => write_message(&mut bytes, binary, &frame),
            }
            ends.push(bytes.len());
        }
        Ok(Self { bytes: bytes.into(), ends, lead, binary })
    }

    pub(super) fn hello(&self) -> &[u8] {
        self.messages(0..1)
    }

    /// READY, and the guilds if they are sent.
    pub(super) fn lead(&self) -> &[u8] {
        self.messages(1..self.lead)
    }

    /// Small events, counted from 0.
    pub(super) fn events(&self, range: Range<usize>) -> &[u8] {
        self.messages(self.lead + range.start..self.lead + range.end)
    }

    /// A separate message that is not in the frames.
    pub(super) fn message(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_message(&mut bytes, self.binary, payload);
        bytes
    }

    fn messages(&self, range: Range<usize>) -> &[u8] {
        let end = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[end(range.start)..end(range.end)]
    }
}

/// The number of small events for each connection.
pub(super) fn share(options: &ServeOptions) -> io::Result<usize> {
    let invalid = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, problem.to_owned());
    if options.extent != Extent::Events {
        return Ok(0);
    }
    if options.shards == 0 || options.burst == 0 {
        return Err(invalid("at least one connection, and one event in a turn"));
    }
    match options.events % options.shards {
        0 => Ok(options.events / options.shards),
        _ => Err(invalid("every connection must get as many events as the others")),
    }
}

/// Writes a message in one unmasked frame, as a server does.
fn write_message(bytes: &mut Vec<u8>, binary: bool, payload: &[u8]) {
    bytes.push(FINAL | if binary { BINARY } else { TEXT });
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..65536 => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::Role;
    use tungstenite::{Message, WebSocket};

    /// An independent WebSocket implementation reads the frames, for each form of the length.
    #[test]
    fn messages_read_back() {
        let payloads: Vec<Vec<u8>> =
            [0, 1, 125, 126, 65535, 65536].iter().map(|&length| vec![b'x'; length]).collect();
        for binary in [false, true] {
            let mut bytes = Vec::new();
            payloads.iter().for_each(|payload| write_message(&mut bytes, binary, payload));
            let mut reader = WebSocket::from_raw_socket(io::Cursor::new(bytes), Role::Client, None);
            for payload in &payloads {
                let message = reader.read().unwrap();
                assert_eq!(matches!(message, Message::Binary(_)), binary);
                assert_eq!(message.into_data(), payload);
            }
        }
    }
}
