//! Reads requests from a stream.

use std::io;
use std::time::Duration;

use smol::io::{AsyncRead, AsyncReadExt};

use super::line::within;
use crate::http::Request;

/// Reads the next head within `limit`, in any pieces. Bytes after it stay in `buffer`. `None` at the end of the stream.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    limit: Duration,
) -> io::Result<Option<Request>> {
    within(limit, read_head(stream, buffer)).await
}

async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    loop {
        if let Some(request) = Request::parse(buffer)? {
            return Ok(Some(request));
        }
        let mut part = [0; 2048];
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&part[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use smol::Timer;
    use smol::block_on;

    use super::*;

    /// A client that sends one byte of a long head at a time.
    struct Trickle(Timer);

    const PAUSE: Duration = Duration::from_millis(1);

    impl AsyncRead for Trickle {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            ready!(Pin::new(&mut self.0).poll(context));
            self.0.set_after(PAUSE);
            buffer[0] = b'A';
            Poll::Ready(Ok(1))
        }
    }

    #[test]
    fn a_head_has_one_deadline_however_it_comes() {
        let mut client = Trickle(Timer::after(PAUSE));
        // The limit is much shorter than the whole head takes, and much longer than one byte takes.
        let mut buffer = Vec::new();
        let result = block_on(read(&mut client, &mut buffer, PAUSE * 100));
        let error = result.expect_err("it is given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
