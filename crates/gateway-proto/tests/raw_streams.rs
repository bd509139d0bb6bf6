//! Byte streams: ends in every state, late bytes, partial writes, servers that do not read, and arbitrary steps.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

mod raw_support;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use gateway_proto::codec::{Encoding, Raw};
use gateway_proto::command::Presence;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Closed, Command, ConnectError, Event, Reconnect, Shutdown};
use gateway_sim::{FromClient, WebSocketServer, switching_protocols};
use proptest::prelude::*;
use raw_support::config;
use raw_support::peer::{HELLO, Peer, READY, Stage};
use raw_support::wire::{PING, frame, text};

const STAGES: [Stage; 5] = [Stage::Dialing, Stage::Upgrading, Stage::Open, Stage::Ready, Stage::Closing];

#[test]
fn a_stream_may_end_in_every_state() {
    for stage in STAGES {
        for failure in [None, Some("connection reset by GATEWAY.example")] {
            let mut peer = Peer::at(stage, config());
            peer.input(match failure {
                None => Input::EndOfStream,
                Some(text) => Input::Failed(text.to_owned()),
            });
            let reason = peer.reason().cloned();
            match (stage, &reason) {
                // A stream that is not open cannot end.
                (Stage::Dialing, None) => continue,
                (Stage::Upgrading, Some(DisconnectReason::ConnectFailed(ConnectError::Handshake(_)))) => {}
                (Stage::Open | Stage::Ready, Some(DisconnectReason::Closed(Closed::Eof))) => {
                    assert_eq!(failure, None);
                }
                (Stage::Open | Stage::Ready, Some(DisconnectReason::Closed(Closed::Failed(text)))) => {
                    assert_eq!(text, "connection reset by …");
                }
                (Stage::Closing, Some(DisconnectReason::ReconnectRequested)) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(peer.shut_downs, 1, "{stage:?}");
            // After its end it reports nothing more, and the next connection is made.
            peer.input(Input::EndOfStream);
            peer.input(Input::Failed("again".to_owned()));
            assert_eq!(peer.shut_downs, 1, "{stage:?}");
            assert_eq!(peer.reason().cloned(), reason);
            if peer.connects.len() == 1 {
                peer.wait();
            }
            assert_eq!(peer.connects.len(), 2, "{stage:?}");
        }
    }
}

/// During a large message on a slow line heartbeats are sent, and no acknowledgement can arrive before it is complete
/// (twilight-rs/twilight#1997).
#[test]
fn a_message_that_keeps_arriving_is_not_silence() {
    for (at_a_time, ends) in [(1, None), (400, None), (400, Some(&DisconnectReason::Zombie))] {
        let mut peer = Peer::at(Stage::Ready, config());
        let data = "x".repeat(500 * at_a_time);
        let message = text(&format!(r#"{{"op":0,"s":2,"t":"GUILD_CREATE","d":"{data}"}}"#));
        for part in message.chunks(at_a_time) {
            peer.pass(Duration::from_millis(999));
            peer.bytes(part);
        }
        match ends {
            None => peer.bytes(&text(r#"{"op":11}"#)),
            // After the message silence counts again.
            Some(_) => {
                while peer.reason().is_none() {
                    peer.wait();
                }
            }
        }
        assert_eq!(peer.reason(), ends);
        let beats = peer.frames().iter().filter(|frame| matches!(frame, FromClient::Text(_))).count();
        assert!(beats >= 12, "{beats} heartbeats in 500 s");
        assert!(peer.events.iter().any(|event| matches!(event, Event::Dispatch(_))));
    }
}

/// A caller that does not poll outputs does not make the connection grow, however much the server sends, and nothing is
/// lost.
#[test]
fn no_bytes_are_taken_while_the_outputs_are_full() {
    let mut peer = Peer::at(Stage::Ready, config());
    let (sequences, unknown) = (2..1002, text(r#"{"op":99,"d":null}"#));
    let dispatch = |sequence| text(&format!(r#"{{"op":0,"s":{sequence},"t":"X","d":null}}"#));
    let flood: Vec<u8> =
        sequences.clone().flat_map(|sequence| [dispatch(sequence), unknown.clone()].concat()).collect();
    let (mut rest, now) = (&flood[..], peer.now);
    let mut delivered = Vec::new();
    while !rest.is_empty() {
        let mut taken = 0;
        loop {
            let before = rest.len();
            peer.connection.handle_bytes(&mut rest, now);
            if rest.len() == before || rest.is_empty() {
                break;
            }
            taken += 1;
        }
        assert!(taken <= Connection::OUTPUT_LIMIT, "{taken} messages taken without an output asked for");
        let mut outputs = 0;
        loop {
            match peer.connection.poll_output() {
                Output::Event(Event::Dispatch(dispatch)) => delivered.extend(dispatch.sequence()),
                Output::Event(_) => {}
                Output::Timeout(_) => break,
                other => panic!("{other:?}"),
            }
            outputs += 1;
        }
        // The outputs of the last message may exceed the limit.
        assert!(outputs <= Connection::OUTPUT_LIMIT + 4, "{outputs} outputs waited");
    }
    assert_eq!(delivered, sequences.collect::<Vec<_>>());
}

#[test]
fn bytes_after_a_message_are_left() {
    let mut peer = Peer::at(Stage::Ready, config());
    let dispatch = |sequence| text(&format!(r#"{{"op":0,"s":{sequence},"t":"X","d":null}}"#));
    let bytes = [dispatch(2), frame(0x80 | PING, b"?"), dispatch(3), dispatch(4)[..5].to_vec()].concat();
    let (mut rest, now) = (&bytes[..], peer.now);
    peer.connection.handle_bytes(&mut rest, now);
    assert_eq!(rest, &bytes[dispatch(2).len()..]);
    peer.connection.handle_bytes(&mut rest, now);
    assert_eq!(rest, [dispatch(3), dispatch(4)[..5].to_vec()].concat(), "a ping is a step too");
    peer.connection.handle_bytes(&mut rest, now);
    assert_eq!(rest, &dispatch(4)[..5]);
    peer.connection.handle_bytes(&mut rest, now);
    assert_eq!(rest, b"", "half a message is taken whole");
}

/// The rest of an ended stream is not treated as input of the next one, even if that is opened at once.
#[test]
fn bytes_after_the_end_of_a_stream_are_dropped() {
    for last in [frame(0x88, &4000_u16.to_be_bytes()), frame(0xf1, b"reserved bits")] {
        let mut peer = Peer::at(Stage::Ready, config());
        let bytes = [last, text(HELLO), text(READY)].concat();
        let mut rest = &bytes[..];
        peer.connection.handle_bytes(&mut rest, peer.now);
        assert_eq!(rest, b"");
        assert!(!peer.events.iter().any(|event| matches!(event, Event::Hello { .. })));
    }
    let mut peer = Peer::at(Stage::Dialing, config());
    let hello = text(HELLO);
    let mut late = &hello[..];
    peer.connection.handle_bytes(&mut late, peer.now);
    assert_eq!(late, b"");
}

#[test]
fn a_ping_counts_as_received() {
    let mut peer = Peer::at(Stage::Ready, config());
    peer.pass(Duration::from_secs(5));
    peer.bytes(&frame(0x80 | PING, b""));
    assert_eq!(peer.connection.health().last_received, Some(peer.now));
}

#[test]
fn a_connection_attempt_may_fail() {
    let mut peer = Peer::at(Stage::Dialing, config());
    peer.input(Input::ConnectFailed(ConnectError::Tls("no certificate for gateway.example".to_owned())));
    let expected = ConnectError::Tls("no certificate for …".to_owned());
    assert_eq!(peer.reason(), Some(&DisconnectReason::ConnectFailed(expected)));
    assert_eq!(peer.shut_downs, 0, "there is no socket to shut down");
}

#[test]
fn inputs_that_do_not_apply_change_nothing() {
    for stage in STAGES {
        let mut peer = Peer::at(stage, config());
        let before = format!("{:?}", peer.connection);
        if stage != Stage::Dialing {
            peer.input(Input::Opened);
            peer.input(Input::ConnectFailed(ConnectError::Dns("late".to_owned())));
        } else {
            peer.bytes(b"late");
        }
        peer.input(Input::ReadingPaused);
        peer.input(Input::ReadingResumed);
        peer.input(Input::IdentifyGranted);
        assert_eq!(format!("{:?}", peer.connection), before, "{stage:?}");
        assert_eq!(peer.reason(), None);
    }
}

/// After an end within a frame, within a fragmented message, and within the close handshake.
#[test]
fn a_new_connection_starts_from_clean_state() {
    let leftovers = [&text(READY)[..20], &frame(1, b"{\"op\""), &[0x81], b""];
    for leftover in leftovers {
        let mut peer = Peer::at(Stage::Ready, config());
        peer.bytes(leftover);
        peer.input(Input::EndOfStream);
        // Bytes of the old stream.
        peer.bytes(&text(r#"{"op":9,"d":false}"#));
        peer.bytes(b"\xff\xff\xff");
        if peer.connects.len() == 1 {
            peer.wait();
        }
        assert!(peer.connects[1].starts_with("ws://resume.gateway.example/?v=10"));
        peer.bytes(b"\xff\xff\xff");
        peer.events.clear();
        peer.bring_to(Stage::Open);
        peer.bytes(&text(HELLO));
        let frames = peer.frames();
        assert!(
            matches!(&frames[0], FromClient::Text(text) if text.contains(r#""op":6"#)),
            "it resumes: {frames:?}"
        );
        peer.bytes(&text(r#"{"op":0,"s":2,"t":"RESUMED","d":null}"#));
        assert_eq!(peer.connection.health().phase, Phase::Ready);
    }
}

#[test]
fn bytes_for_an_old_socket_are_dropped_with_it() {
    let now = Instant::now();
    let mut connection = Connection::new(config(), now).unwrap();
    while !matches!(connection.poll_output(), Output::Timeout(_)) {}
    connection.handle_input(Input::Opened, now);
    connection.handle_input(Input::EndOfStream, now);
    loop {
        match connection.poll_output() {
            Output::ShutDown => break,
            Output::Timeout(_) => panic!("the socket is to be shut down"),
            _ => {}
        }
    }
    assert!(connection.transmit().starts_with(b"GET "), "it may still be written");
    connection.poll_output();
    assert_eq!(connection.transmit(), b"");
}

/// One byte at a time, and sometimes none for a while: the server receives the same.
#[test]
fn partial_writes_lose_nothing() {
    let mut whole = Peer::at(Stage::Upgrading, config());
    let request = whole.connection.transmit().to_vec();
    let mut peer = Peer::at(Stage::Upgrading, config());
    let mut sent = Vec::new();
    while let Some(byte) = peer.connection.transmit().first().copied() {
        sent.push(byte);
        peer.connection.transmitted(1);
        peer.connection.transmitted(0);
    }
    assert_eq!(sent, request);
    whole.connection.transmitted(usize::MAX);
    assert_eq!(whole.connection.transmit(), b"");
}

/// A server that pings forever and never reads costs a bounded amount of memory. One that reads again receives everything
/// in order.
#[test]
fn a_server_that_does_not_read_is_bounded() {
    let mut peer = Peer::at(Stage::Ready, config());
    let ping = frame(0x80 | PING, &[b'p'; 125]);
    for _ in 0..40 {
        peer.bytes(&ping.repeat(1000));
        assert!(peer.connection.transmit().len() <= (16 << 10) + 131);
    }
    assert_eq!(peer.reason(), None);
    // All queued pongs, and the newest of those that found no room.
    let mut frames = Vec::new();
    loop {
        let more = peer.frames();
        if more.is_empty() {
            break;
        }
        frames.extend(more);
    }
    assert!(frames.len() > 100 && frames.len() < 130, "{}", frames.len());
    assert!(frames.iter().all(|frame| *frame == FromClient::Pong(vec![b'p'; 125])));
    // Pings are answered again.
    peer.bytes(&ping);
    assert_eq!(peer.frames().len(), 1);
}

/// Pongs do not take the room of messages. A connection on which messages cannot be sent for a long time is closed.
#[test]
fn a_message_that_cannot_be_sent_in_time_ends_the_connection() {
    let mut peer = Peer::at(Stage::Ready, config());
    peer.bytes(&frame(0x80 | PING, &[b'p'; 125]).repeat(20_000));
    let data = format!(r#"{{"guild_id":"1","text":"{}"}}"#, "x".repeat(4000));
    let mut sent = 0;
    while peer.reason().is_none() {
        let command = Command::Raw { op: 4, data: Raw::new(data.clone(), Encoding::Json) };
        sent += usize::from(peer.connection.send(command).is_ok());
        peer.pass(Duration::from_secs(1));
        peer.bytes(&text(r#"{"op":11}"#));
        assert!(peer.connection.transmit().len() < (1 << 20) + 5000);
    }
    assert!(sent > 200, "a megabyte waits before that: {sent}");
    assert!(
        matches!(peer.reason(), Some(DisconnectReason::Closed(Closed::Failed(_)))),
        "{:?}",
        peer.reason()
    );
    assert_eq!(peer.shut_downs, 1);
}

#[test]
fn commands_and_requests_take_effect_at_once() {
    let mut peer = Peer::at(Stage::Ready, config());
    peer.connection.send(Command::UpdatePresence(Presence::default())).unwrap();
    let Output::Timeout(deadline) = peer.connection.poll_output() else { panic!() };
    assert!(deadline <= peer.now, "hand in a timeout at once");
    peer.input(Input::Timeout);
    assert_eq!(peer.frames().len(), 1);
    peer.connection.heartbeat();
    let Output::Timeout(deadline) = peer.connection.poll_output() else { panic!() };
    assert!(deadline <= peer.now, "hand in a timeout at once");
    peer.input(Input::Timeout);
    assert_eq!(peer.frames().len(), 1);
    peer.connection.shutdown(Shutdown::LogOff);
    peer.input(Input::Timeout);
    assert_eq!(peer.close_code(), Some(1000));
    peer.input(Input::EndOfStream);
    assert!(peer.stopped);
}

/// tungstenite as an independent server: its handshake and its frames.
#[test]
fn tungstenite_accepts_the_connection() {
    let mut peer = Peer::at(Stage::Upgrading, config());
    let pipe = Pipe { incoming: peer.connection.transmit().to_vec(), outgoing: Vec::new() };
    peer.connection.transmitted(usize::MAX);
    let mut server = tungstenite::accept(pipe).unwrap();
    server.send(tungstenite::Message::text(HELLO)).unwrap();
    let bytes = std::mem::take(&mut server.get_mut().outgoing);
    peer.bytes(&bytes);
    peer.input(Input::IdentifyGranted);
    server.get_mut().incoming = peer.connection.transmit().to_vec();
    peer.connection.transmitted(usize::MAX);
    assert!(server.read().unwrap().into_text().unwrap().contains(r#""op":2"#));
    peer.connection.reconnect(Reconnect::Fresh);
    peer.input(Input::Timeout);
    server.get_mut().incoming = peer.connection.transmit().to_vec();
    assert!(server.read().unwrap().is_close());
    assert!(matches!(server.read(), Err(tungstenite::Error::ConnectionClosed)));
    let bytes = std::mem::take(&mut server.get_mut().outgoing);
    peer.bytes(&bytes);
    assert_eq!(peer.reason(), Some(&DisconnectReason::Requested));
}

/// The server's socket in memory.
struct Pipe {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.incoming.len());
        buffer[..count].copy_from_slice(&self.incoming[..count]);
        self.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>),
    /// The valid answer to the upgrade request, if one was sent.
    Accept,
    Opened,
    ConnectFailed,
    EndOfStream,
    Failed,
    Granted,
    Paused(bool),
    Wait(u64),
    Write(usize),
    Command,
    Reconnect(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let payload = prop_oneof![
        Just(HELLO.to_owned()),
        Just(READY.to_owned()),
        Just(r#"{"op":7,"d":null}"#.to_owned()),
        Just(r#"{"op":9,"d":false}"#.to_owned()),
        Just(r#"{"op":1,"d":null}"#.to_owned()),
        Just(r#"{"op":11}"#.to_owned()),
        Just(r#"{"op":0,"s":5,"t":"X","d":{}}"#.to_owned()),
    ];
    let step = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Step::Bytes),
        6 => payload.prop_map(|payload| Step::Bytes(text(&payload))),
        1 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(first, payload)| Step::Bytes(frame(first, &payload))),
        4 => Just(Step::Accept),
        4 => Just(Step::Opened),
        1 => Just(Step::ConnectFailed),
        1 => Just(Step::EndOfStream),
        1 => Just(Step::Failed),
        2 => Just(Step::Granted),
        1 => any::<bool>().prop_map(Step::Paused),
        4 => (0_u64..100_000).prop_map(Step::Wait),
        2 => (0_usize..2000).prop_map(Step::Write),
        1 => Just(Step::Command),
        1 => any::<bool>().prop_map(Step::Reconnect),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any steps in any order: no panic, bounded memory, one stream at a time, and always a deadline.
    #[test]
    fn any_steps_are_handled(steps in steps()) {
        let mut now = Instant::now();
        let mut connection = Connection::new(config(), now).unwrap();
        // Whether a stream must be shut down, and whether it was opened.
        let (mut wanted, mut opened) = (false, false);
        let (mut connecting, mut disconnected) = (0_u32, 0_u32);
        for step in std::iter::once(Step::Wait(0)).chain(steps) {
            let mut bytes = Vec::new();
            let input = match step {
                Step::Bytes(random) => {
                    bytes = random;
                    None
                }
                Step::Accept => {
                    let mut server = WebSocketServer::default();
                    server.receive(connection.transmit());
                    let Some(FromClient::Request(request)) = server.poll() else { continue };
                    connection.transmitted(usize::MAX);
                    bytes = switching_protocols(request.upgrade_key().expect("it asks for an upgrade"));
                    None
                }
                Step::Opened => Some(Input::Opened),
                Step::ConnectFailed => Some(Input::ConnectFailed(ConnectError::Tcp(String::new()))),
                Step::EndOfStream => Some(Input::EndOfStream),
                Step::Failed => Some(Input::Failed("gateway.example".to_owned())),
                Step::Granted => Some(Input::IdentifyGranted),
                Step::Paused(true) => Some(Input::ReadingPaused),
                Step::Paused(false) => Some(Input::ReadingResumed),
                Step::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds);
                    Some(Input::Timeout)
                }
                Step::Write(count) => {
                    connection.transmitted(count);
                    continue;
                }
                Step::Command => {
                    connection.send(Command::UpdatePresence(Presence::default())).unwrap();
                    Some(Input::Timeout)
                }
                Step::Reconnect(resume) => {
                    connection.reconnect(if resume { Reconnect::Resume } else { Reconnect::Fresh });
                    Some(Input::Timeout)
                }
            };
            match input {
                Some(Input::Opened) => opened |= wanted,
                Some(Input::ConnectFailed(_)) => wanted &= opened,
                _ => {}
            }
            let mut bytes = &bytes[..];
            match input {
                Some(input) => connection.handle_input(input, now),
                None => connection.handle_bytes(&mut bytes, now),
            }
            let mut count = 0;
            loop {
                count += 1;
                prop_assert!(count < 1000, "it must come to rest");
                match connection.poll_output() {
                    Output::Timeout(deadline) => {
                        prop_assert!(deadline > now, "what is due has been done");
                        if bytes.is_empty() {
                            break;
                        }
                        connection.handle_bytes(&mut bytes, now);
                    }
                    Output::Stopped(_) => break,
                    Output::Connect(_) => {
                        prop_assert!(!wanted, "one stream at a time");
                        (wanted, opened) = (true, false);
                    }
                    Output::ShutDown => {
                        prop_assert!(wanted);
                        wanted = false;
                    }
                    Output::Event(Event::Connecting { .. }) => connecting += 1,
                    Output::Event(Event::Disconnected(_)) => disconnected += 1,
                    _ => {}
                }
            }
            prop_assert!(connection.transmit().len() <= 64 << 10);
            prop_assert!(connecting == disconnected || connecting == disconnected + 1);
        }
    }
}
