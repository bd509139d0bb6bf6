//! Names with several addresses: the first address that answers is used, and none delays the others for long.

mod support;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use gateway_driver::{Runtime, net};
use support::clock::VirtualRuntime;
use support::{PollOnce, Wakeups};

/// The outcome of a connection to the address with this port.
async fn connect(address: SocketAddr, tried: Arc<Mutex<Vec<u16>>>) -> io::Result<u16> {
    tried.lock().unwrap().push(address.port());
    match address.port() {
        port @ 1..=9 => Ok(port),
        10..=19 => Err(io::Error::other(format!("{} is closed", address.port()))),
        _ => pending().await,
    }
}

/// Connects to these ports of one host: 1 to 9 answer, 10 to 19 refuse, the others are silent. Returns the result after
/// this time, and the ports in the order in which they were tried.
fn run(ports: &[u16], time: Duration) -> (Option<Result<u16, String>>, Vec<u16>) {
    let runtime = VirtualRuntime::default();
    let tried = Arc::new(Mutex::new(Vec::new()));
    let addresses = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
    let result = RefCell::new(None);
    {
        let attempt = |address| connect(address, tried.clone());
        let mut connecting = pin!(net::connect_any(&runtime, addresses, attempt));
        let waker = Waker::from(Arc::new(Wakeups::default()));
        let end = runtime.now() + time;
        loop {
            if let Poll::Ready(done) = connecting.as_mut().poll_once(&waker) {
                result.replace(Some(done.map_err(|error| error.to_string())));
                break;
            }
            if runtime.now() >= end {
                break;
            }
            runtime.advance_to_next(end);
        }
    }
    let tried = tried.lock().unwrap().clone();
    (result.into_inner(), tried)
}

#[test]
fn the_first_address_that_answers_is_used() {
    let at_once = Duration::ZERO;
    assert_eq!(run(&[1, 2], at_once), (Some(Ok(1)), vec![1]));
    assert_eq!(run(&[10, 11, 2, 3], at_once), (Some(Ok(2)), vec![10, 11, 2]));
}

#[test]
fn a_silent_address_delays_the_next_by_a_quarter_of_a_second() {
    assert_eq!(run(&[20, 1], Duration::from_millis(249)), (None, vec![20]));
    assert_eq!(run(&[20, 1], Duration::from_millis(250)), (Some(Ok(1)), vec![20, 1]));
    assert_eq!(run(&[20, 21, 22, 1], Duration::from_millis(750)), (Some(Ok(1)), vec![20, 21, 22, 1]));
    // A refusal starts the next attempt at once.
    assert_eq!(run(&[20, 10, 1], Duration::from_millis(250)), (Some(Ok(1)), vec![20, 10, 1]));
}

#[test]
fn the_last_error_is_reported_once_all_have_failed() {
    let (result, tried) = run(&[10, 11, 12], Duration::ZERO);
    assert_eq!(result, Some(Err("12 is closed".to_owned())));
    assert_eq!(tried, [10, 11, 12]);
    let (result, _) = run(&[], Duration::ZERO);
    assert!(result.unwrap().is_err());
    let (result, tried) = run(&[10, 20], Duration::from_secs(3600));
    assert_eq!((result, tried), (None, vec![10, 20]), "a timeout is for the caller");
}
