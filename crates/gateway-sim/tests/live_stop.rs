//! A server comes to its end whenever it is told to, whatever it is doing just then.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gateway_sim::{Control, Server, ServerConfig};

/// Far longer than it ever takes.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn it_stops_while_it_comes_up_again() {
    let (stopped, told) = mpsc::channel();
    let work = move || {
        for microseconds in (0..500).map(|turn| 1000 + turn * 7 % 200) {
            let server = Server::start(ServerConfig::default()).expect("a server");
            let down = Control::Down { duration: Duration::from_micros(microseconds), emit: 0 };
            server.control(down).expect("it goes down");
            server.wait(LIMIT, |gateway| (!gateway.is_down()).then_some(())).expect("it is up again");
            drop(server);
        }
        stopped.send(()).expect("somebody waits");
    };
    thread::Builder::new().spawn(work).expect("a thread");
    assert!(told.recv_timeout(LIMIT).is_ok(), "a server did not stop");
}
