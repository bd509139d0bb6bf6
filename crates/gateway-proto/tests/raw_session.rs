//! A session while dispatches are queued.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

mod raw_support;

use gateway_proto::Event;
use gateway_proto::raw::Output;
use raw_support::config;
use raw_support::peer::{Peer, Stage};
use raw_support::wire::text;

/// One read may contain many dispatches. An application that stops after one receives the others from the next Resume.
#[test]
fn dispatches_that_were_not_polled_do_not_count() {
    let mut peer = Peer::at(Stage::Ready, config());
    let first = peer.connection.session().unwrap().sequence() + 1;
    let dispatch = |sequence| text(&format!(r#"{{"op":0,"s":{sequence},"t":"TYPING_START","d":null}}"#));
    let bytes: Vec<u8> = (first..first + 4).flat_map(dispatch).collect();
    let now = peer.now;
    let mut bytes = &bytes[..];
    while !bytes.is_empty() {
        peer.connection.handle_bytes(&mut bytes, now);
    }
    let mut sequences = Vec::new();
    let mut sessions = Vec::new();
    loop {
        sessions.push(peer.connection.session().unwrap().sequence());
        match peer.connection.poll_output() {
            Output::Event(Event::Dispatch(dispatch)) => sequences.push(dispatch.sequence().unwrap()),
            Output::Timeout(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sequences, (first..first + 4).collect::<Vec<_>>());
    assert_eq!(sessions, (first - 1..first + 4).collect::<Vec<_>>());
}
