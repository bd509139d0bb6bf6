//! A connection in memory: an async end for the client, a non-blocking end for the test.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// Both ends of a new connection.
pub fn new() -> (ClientEnd, ServerEnd) {
    let pipe = Arc::new(Mutex::new(Pipe::default()));
    (ClientEnd { pipe: pipe.clone() }, ServerEnd { pipe })
}

pub struct ClientEnd {
    pipe: Arc<Mutex<Pipe>>,
}

#[derive(Clone)]
pub struct ServerEnd {
    pipe: Arc<Mutex<Pipe>>,
}

#[derive(Default)]
struct Pipe {
    /// Written by the client and not flushed: invisible for the server.
    unflushed: VecDeque<u8>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The most bytes in transit to the server. `None` for any number.
    room: Option<usize>,
    /// The client has closed its end, or ended its writing half.
    client_closed: bool,
    server_closed: bool,
    reset: bool,
    /// The most bytes of one read or write of the client; every second attempt is pending.
    trickle: Option<usize>,
    read_again: bool,
    write_again: bool,
    /// The most bytes of one read of the client, without a pause.
    slice: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl ServerEnd {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap()
    }

    /// Limits the bytes in transit to the server. `None` for any number.
    pub fn set_room(&self, room: Option<usize>) {
        let mut pipe = self.lock();
        pipe.room = room;
        wake(&mut pipe.writer);
    }

    /// Limits the client to this many bytes per read or write, with a pause after each.
    pub fn set_trickle(&self, bytes: usize) {
        self.lock().trickle = Some(bytes);
    }

    /// Limits the client to this many bytes per read, without a pause.
    pub fn set_slice(&self, bytes: usize) {
        self.lock().slice = Some(bytes);
    }

    /// Ends the stream without a close frame.
    pub fn end(&self) {
        let mut pipe = self.lock();
        pipe.server_closed = true;
        wake(&mut pipe.reader);
        wake(&mut pipe.writer);
    }

    /// Resets the stream in both directions.
    pub fn reset(&self) {
        self.lock().reset = true;
        self.end();
    }

    /// Whether the client has closed its end.
    pub fn client_is_gone(&self) -> bool {
        self.lock().client_closed
    }

    /// Bytes in transit to the client.
    pub fn unread_by_client(&self) -> usize {
        self.lock().to_client.len()
    }
}

impl Pipe {
    fn flush(&mut self) {
        let Self { unflushed, to_server, .. } = self;
        to_server.append(unflushed);
    }
}

/// How many of these bytes may move now. With a trickle every second attempt is pending.
fn poll_some(
    trickle: Option<usize>,
    again: &mut bool,
    context: &mut Context<'_>,
    bytes: usize,
) -> Poll<usize> {
    let Some(trickle) = trickle else { return Poll::Ready(bytes) };
    *again = !*again;
    if *again {
        context.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(bytes.min(trickle))
}

impl Read for ServerEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.lock();
        if pipe.to_server.is_empty() {
            return if pipe.client_closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        wake(&mut pipe.writer);
        pipe.to_server.read(buffer)
    }
}

impl Write for ServerEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.lock();
        if pipe.client_closed || pipe.server_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        pipe.to_client.extend(bytes);
        wake(&mut pipe.reader);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut guard = self.pipe.lock().unwrap();
        let pipe = &mut *guard;
        if !pipe.to_client.is_empty() {
            let slice = buffer.len().min(pipe.slice.unwrap_or(usize::MAX));
            let count = ready!(poll_some(pipe.trickle, &mut pipe.read_again, context, slice));
            return Poll::Ready(pipe.to_client.read(&mut buffer[..count]));
        }
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.server_closed {
            return Poll::Ready(Ok(0));
        }
        pipe.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut guard = self.pipe.lock().unwrap();
        let pipe = &mut *guard;
        if pipe.server_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pipe
            .room
            .map_or(bytes.len(), |room| room.saturating_sub(pipe.to_server.len() + pipe.unflushed.len()));
        if room == 0 {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = ready!(poll_some(pipe.trickle, &mut pipe.write_again, context, bytes.len().min(room)));
        pipe.unflushed.extend(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.lock().unwrap().flush();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.flush();
        pipe.client_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.pipe.lock().unwrap().client_closed = true;
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
