//! A byte stream in memory that a WebSocket reads, and its errors as a driver would tell them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use gateway_driver::proto::config::Limits;
use tungstenite::WebSocket;
use tungstenite::protocol::{Role, WebSocketConfig};

/// What has come and was not read; what is written goes nowhere.
#[derive(Debug, Default)]
pub(crate) struct Pipe(VecDeque<u8>);

/// The reading half of one end of a WebSocket.
pub(crate) fn reader(role: Role, limits: Option<&Limits>) -> WebSocket<Pipe> {
    let limit = limits.map(|limits| limits.message_bytes);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    WebSocket::from_raw_socket(Pipe::default(), role, Some(config))
}

impl Pipe {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
