//! Lower bound: reads bytes, finds messages, and inflates or copies them into allocated memory, without checks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use gateway_codec::Compression;

use super::ClientOptions;
use super::course::{Course, Runner};
use crate::decode::Bound;

/// The buffer for a read and for the largest message, in bytes.
const BUFFER_BYTES: usize = 4 << 20;

pub(super) fn run(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    course.begin()?;
    let mut bound = Bound::new(options.mode).ok_or("payload compression has no bound")?;
    let mut runner = Runner::new(options, course);
    let mut reading = Reading { bytes: vec![0; BUFFER_BYTES], start: 0, end: 0 };
    let mut stream = TcpStream::connect(options.url.trim_start_matches("ws://")).map_err(text)?;
    let compress = match options.mode.compression {
        Compression::ZlibStream => "&compress=zlib-stream",
        Compression::ZstdStream => "&compress=zstd-stream",
        _ => "",
    };
    let request = format!(
        "GET /?v=10&encoding=json{compress} HTTP/1.1\r\nHost: bound\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(text)?;
    while !reading.skip_head() {
        reading.fill(&mut stream)?;
    }
    // A text of 15 bytes, masked with zeros.
    stream.write_all(b"\x81\x8f\0\0\0\0{\"op\":2,\"d\":{}}").map_err(text)?;
    let mut has_hello = false;
    loop {
        while let Some(message) = reading.message() {
            bound.message(&reading.bytes[message])?;
            if !std::mem::replace(&mut has_hello, true) || runner.is_lead()? {
                continue;
            }
            if runner.has_enough()? {
                return Ok(());
            }
        }
        reading.fill(&mut stream)?;
    }
}

/// The received bytes, and how many of them are consumed.
struct Reading {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Reading {
    fn fill(&mut self, stream: &mut TcpStream) -> Result<(), String> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match stream.read(&mut self.bytes[self.end..]) {
            Ok(0) => Err("the connection has ended, or a message is too large".to_owned()),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Steps over the answer to the upgrade, once it is whole.
    fn skip_head(&mut self) -> bool {
        let end = self.bytes[self.start..self.end].windows(4).position(|four| four == b"\r\n\r\n");
        self.start += end.map_or(0, |end| end + 4);
        end.is_some()
    }

    /// The next message that is whole. The server sends each in one frame, unmasked (RFC 6455, section 5.2).
    fn message(&mut self) -> Option<std::ops::Range<usize>> {
        let (head, length) = match *self.bytes.get(self.start..self.end)? {
            [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            [_, 126, high, low, ..] => (4, u16::from_be_bytes([high, low]).into()),
            [_, length @ ..=125, ..] => (2, length.into()),
            _ => return None,
        };
        let start = self.start + head;
        let end = start.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= self.end)?;
        self.start = end;
        Some(start..end)
    }
}
