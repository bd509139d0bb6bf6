//! Opens TCP connections, as far as this is the same on every runtime.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::Runtime;

/// The time after which the next address is tried in parallel (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address of a name that answers.
///
/// IPv6 and IPv4 addresses alternate. The next address is tried when one has failed, or when the newest has not answered
/// within 250 ms, so that an unreachable address family delays nothing (RFC 8305, "Happy Eyeballs").
///
/// # Errors
///
/// The error of the last address, once all have failed. A name without addresses is a failed look-up.
pub async fn connect_any<R, S, F, Connecting>(
    runtime: &R,
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: F,
) -> io::Result<S>
where
    R: Runtime,
    F: Fn(SocketAddr) -> Connecting,
    Connecting: Future<Output = io::Result<S>> + Send,
{
    let mut waiting = interleave(addresses);
    let mut attempts: Vec<Pin<Box<Connecting>>> = Vec::new();
    let mut delay = Box::pin(runtime.sleep_until(runtime.now()));
    let mut failure = resolve_error(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    poll_fn(move |context| {
        loop {
            let mut index = 0;
            while index < attempts.len() {
                match attempts[index].as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        failure = error;
                        drop(attempts.swap_remove(index));
                        delay.set(runtime.sleep_until(runtime.now()));
                    }
                    Poll::Pending => index += 1,
                }
            }
            if waiting.is_empty() {
                return match attempts.is_empty() {
                    true => Poll::Ready(Err(std::mem::replace(&mut failure, io::ErrorKind::Other.into()))),
                    false => Poll::Pending,
                };
            }
            if !attempts.is_empty() && delay.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            attempts.extend(waiting.pop_front().map(|address| Box::pin(connect(address))));
            delay.set(runtime.sleep_until(runtime.now() + ATTEMPT_DELAY));
        }
    })
    .await
}

/// Marks an error as a failed name look-up, for [`Runtime::connect`].
pub fn resolve_error(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), ResolveError(error))
}

/// Whether an error was marked by [`resolve_error`].
pub(crate) fn is_resolve_error(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ResolveError>()).is_some()
}

#[derive(Debug)]
struct ResolveError(io::Error);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ResolveError {}

/// Alternates IPv6 and IPv4, starting with the family that the resolver put first.
fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return VecDeque::new() };
    let (mut ours, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut mixed = VecDeque::with_capacity(ours.len() + others.len());
    while !ours.is_empty() || !others.is_empty() {
        mixed.extend(ours.pop_front());
        mixed.extend(others.pop_front());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse =
            |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = |list: &[&str]| Vec::from(interleave(parse(list)));
        assert_eq!(
            mixed(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]),
            parse(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"])
        );
        assert_eq!(mixed(&["1.0.0.1:1", "[::1]:1"]), parse(&["1.0.0.1:1", "[::1]:1"]));
        assert!(mixed(&[]).is_empty());
    }

    #[test]
    fn a_failed_look_up_is_told_from_a_failed_connection() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(is_resolve_error(&resolve_error(refused())));
        assert!(!is_resolve_error(&refused()));
        assert_eq!(resolve_error(refused()).to_string(), refused().to_string());
    }
}
