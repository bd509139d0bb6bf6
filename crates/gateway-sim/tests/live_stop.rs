//! A server can be stopped at any time, in any state.

mod common;

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::live::{LIMIT, tcp};
use common::{heartbeat, identify};
use gateway_sim::{Action, ByteEffect, ByteFault, Control, Point, Rule, Server, ServerConfig};
use tungstenite::Message;

#[test]
fn a_server_stops_while_it_comes_up_again() {
    let (stopped, told) = mpsc::channel();
    let work = move || {
        for microseconds in (0..500).map(|turn| 1000 + turn * 7 % 200) {
            let server = Server::start(ServerConfig::default()).expect("a server");
            let down = Control::Down { duration: Duration::from_micros(microseconds), emit: 0 };
            server.control(down).expect("it goes down");
            server.wait(LIMIT, |gateway| (!gateway.is_down()).then_some(())).expect("it is up again");
            drop(server);
        }
        stopped.send(()).expect("the test waits");
    };
    thread::Builder::new().spawn(work).expect("a thread");
    assert!(told.recv_timeout(LIMIT).is_ok(), "a server did not stop");
}

#[test]
fn a_server_stops_regardless_of_its_connections() {
    let server = Server::start(ServerConfig::default()).expect("a server");
    let open = || tungstenite::client("ws://127.0.0.1/?v=10", tcp(&server)).expect("it accepts").0;
    let mut half_a_head = tcp(&server);
    half_a_head.write_all(b"GET /gateway HT").expect("it reads");
    let idle = open();
    // One waits for the end of a delay, and the client of the other does not read megabytes of events.
    let fault = ByteFault { at: 129, effect: ByteEffect::Delay(Duration::from_secs(3600)) };
    server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Bytes(fault)))).expect("a rule");
    let mut delayed = open();
    delayed.send(Message::text(heartbeat(None).to_string())).expect("it reads");
    let mut unread = open();
    unread.send(Message::text(identify().to_string())).expect("it reads");
    let ready = |gateway: &gateway_sim::Gateway| {
        let counters = gateway.counters();
        (counters.readies == 1 && counters.heartbeats == 1).then_some(())
    };
    server.wait(LIMIT, ready).expect("they are ready");
    server.control(Control::Emit { count: 10, padding: 5_000_000 }).expect("events");

    let (stopped, told) = mpsc::channel();
    let stop = move || {
        drop(server);
        stopped.send(()).expect("the test waits");
    };
    thread::Builder::new().spawn(stop).expect("a thread");
    assert!(told.recv_timeout(LIMIT).is_ok(), "the server did not stop");
    drop((half_a_head, idle, delayed, unread));
}
