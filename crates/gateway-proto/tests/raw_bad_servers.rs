//! Faults of a server as tables: answers to the upgrade, and frames. Each is read whole and byte by byte.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

mod raw_support;

use std::time::Duration;

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::raw::Input;
use gateway_proto::{ConnectError, Event};
use gateway_sim::FromClient;
use raw_support::broken_frames::{MESSAGE_BYTES, broken_frames};
use raw_support::config;
use raw_support::peer::{HELLO, Peer, Stage};
use raw_support::wire::{PING, TEXT, frame, text};

/// A new connection for each way of reading.
fn both_ways(stage: Stage, check: impl Fn(&mut Peer)) {
    for one_byte in [false, true] {
        let mut peer = Peer::at(stage, config());
        peer.one_byte = one_byte;
        check(&mut peer);
    }
}

/// Makes an invalid or unusual answer from the valid one.
type Change = fn(String) -> String;

/// The refusal that ended a connection, with one header on each line.
fn refusal(peer: &Peer) -> (u16, String, &[u8]) {
    match peer.reason() {
        Some(DisconnectReason::ConnectFailed(ConnectError::Refused(refused))) => {
            let headers = refused.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            (refused.status, headers.collect(), &refused.body)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn invalid_answers_to_the_upgrade_are_rejected() {
    let cases: &[(&str, Change)] = &[
        ("bad accept key", |answer| answer.replace("Accept: ", "Accept: x")),
        ("no accept key", |answer| answer.replace("Sec-WebSocket-Accept", "X-Accept")),
        ("another protocol", |answer| answer.replace("Upgrade: websocket", "Upgrade: h2c")),
        ("no upgrade", |answer| answer.replace("Connection: Upgrade", "Connection: close")),
        ("a subprotocol", |answer| answer.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n")),
        ("an extension", |answer| {
            answer.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        }),
        ("HTTP/1.0", |answer| answer.replace("HTTP/1.1", "HTTP/1.0")),
        ("no HTTP", |_| "SSH-2.0-OpenSSH_9.7\r\n".to_owned()),
        ("endless line", |_| "x".repeat(1 << 20)),
        ("endless head", |_| "HTTP/1.1 101 Switching Protocols\r\n".to_owned() + &"X: y\r\n".repeat(1 << 12)),
    ];
    for (name, change) in cases {
        both_ways(Stage::Upgrading, |peer| {
            let answer = change(peer.right_answer());
            peer.bytes(answer.as_bytes());
            let reason = peer.reason();
            assert!(
                matches!(reason, Some(DisconnectReason::ConnectFailed(ConnectError::Handshake(_)))),
                "{name}: {reason:?}"
            );
            assert_eq!(peer.shut_downs, 1, "{name}");
        });
    }
}

#[test]
fn unusual_answers_to_the_upgrade_are_accepted() {
    let cases: &[(&str, Change)] = &[
        ("usual", |answer| answer),
        ("keep-alive", |answer| answer.replace("Connection: Upgrade", "connection: keep-alive, upgrade")),
        ("any case", |answer| answer.replace("Upgrade: websocket", "UPGRADE: WebSocket")),
        ("more headers", |answer| answer.replace("\r\n\r\n", "\r\nServer: cloudflare\r\nDate: now\r\n\r\n")),
        ("hints before", |answer| format!("HTTP/1.1 103 Early Hints\r\n\r\n{answer}")),
    ];
    for (name, change) in cases {
        both_ways(Stage::Upgrading, |peer| {
            let mut answer = change(peer.right_answer()).into_bytes();
            // Bytes directly after the head belong to the WebSocket.
            answer.extend_from_slice(&text(HELLO));
            peer.bytes(&answer);
            assert!(peer.events.iter().any(|event| matches!(event, Event::Hello { .. })), "{name}");
        });
    }
}

#[test]
fn a_truncated_answer_fails_with_the_end_of_the_stream() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
    for length in 0..answer.len() {
        let mut peer = Peer::at(Stage::Upgrading, config());
        peer.bytes(&answer.as_bytes()[..length]);
        assert_eq!(peer.reason(), None);
        match length % 2 {
            0 => peer.input(Input::EndOfStream),
            _ => peer.input(Input::Failed("reset by gateway.example".to_owned())),
        }
        match peer.reason() {
            Some(DisconnectReason::ConnectFailed(ConnectError::Handshake(text))) => {
                assert!(!text.contains("example"), "the host is kept secret");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_that_never_arrives_times_out() {
    let mut peer = Peer::at(Stage::Upgrading, config());
    peer.bytes(b"HTTP/1.1 101 Switching");
    assert_eq!(peer.wait(), Duration::from_secs(10), "the shard's own time to connect");
    assert_eq!(peer.reason(), Some(&DisconnectReason::ConnectTimeout));
    assert_eq!(peer.shut_downs, 1);
}

#[test]
fn refusals_report_their_body() {
    let cases: &[(&str, u16, &str)] = &[
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nbanned", 403, "banned"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, ""),
        ("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno", 301, "no"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
    ];
    for (answer, status, body) in cases {
        both_ways(Stage::Upgrading, |peer| {
            peer.bytes(answer.as_bytes());
            let head = answer.split_once("\r\n\r\n").unwrap().0;
            let headers = head.split_once("\r\n").unwrap().1.to_owned() + "\r\n";
            assert_eq!(refusal(peer), (*status, headers, body.as_bytes()));
            assert_eq!(peer.shut_downs, 1);
        });
    }
}

#[test]
fn the_body_of_a_refusal_is_waited_for_a_second() {
    both_ways(Stage::Upgrading, |peer| {
        peer.bytes(b"HTTP/1.1 503 Down\r\nRetry-After: 60\r\nContent-Length: 100\r\n\r\nmainte");
        assert_eq!(peer.reason(), None);
        assert_eq!(peer.wait(), Duration::from_secs(1));
        let headers = "Retry-After: 60\r\nContent-Length: 100\r\n".to_owned();
        assert_eq!(refusal(peer), (503, headers, &b"mainte"[..]));
        peer.bytes(b"nance");
        assert_eq!(peer.connects.len(), 1);
        assert_eq!(peer.wait(), Duration::from_secs(60));
        assert_eq!(peer.connects.len(), 2);
    });
}

/// The connect timeout may be shorter than that second.
#[test]
fn a_known_refusal_is_not_reported_as_a_timeout() {
    let mut config = config();
    config.timeouts.connect = Duration::from_millis(500);
    let mut peer = Peer::at(Stage::Upgrading, config);
    peer.bytes(b"HTTP/1.1 503 Down\r\n\r\n");
    assert_eq!(peer.wait(), Duration::from_millis(500));
    assert_eq!(refusal(&peer), (503, String::new(), &b""[..]));
}

#[test]
fn a_refusal_ends_with_the_stream() {
    for end in [Input::EndOfStream, Input::Failed("reset".to_owned())] {
        let mut peer = Peer::at(Stage::Upgrading, config());
        peer.bytes(b"HTTP/1.1 503 Down\r\n\r\nsorry");
        peer.input(end);
        assert_eq!(refusal(&peer), (503, String::new(), &b"sorry"[..]));
    }
}

/// The close code sent to the server, the reason reported to the application, and whether the session is kept.
#[test]
fn invalid_frames_close_the_connection() {
    for case in broken_frames() {
        let name = case.name;
        for one_byte in [false, true] {
            let mut config = config();
            config.limits.message_bytes = MESSAGE_BYTES;
            let mut peer = Peer::at(Stage::Ready, config);
            peer.one_byte = one_byte;
            peer.bytes(&case.bytes);
            assert!(case.expected.fits(peer.reason()), "{name}: {:?}", peer.reason());
            assert_eq!(peer.close_code(), case.answer, "{name}");
            assert_eq!(peer.shut_downs, 1, "{name}: the end of the stream is not waited for");
            assert_eq!(peer.stopped, case.expected.is_final(), "{name}");
            assert_eq!(peer.connection.session().is_some(), case.expected.keeps_session(), "{name}");
        }
    }
}

#[test]
fn pings_are_answered_and_pongs_ignored() {
    both_ways(Stage::Ready, |peer| {
        peer.bytes(&[frame(0x80 | PING, b"1"), frame(0x8a, b"unasked"), frame(0x80 | PING, b"")].concat());
        assert_eq!(peer.frames(), [FromClient::Pong(b"1".to_vec()), FromClient::Pong(Vec::new())]);
        assert_eq!(peer.reason(), None);
    });
}

#[test]
fn control_frames_may_come_within_a_message() {
    both_ways(Stage::Open, |peer| {
        let (first, second) = HELLO.split_at(10);
        let bytes = [frame(TEXT, first.as_bytes()), frame(0x80 | PING, b"?"), frame(0x80, second.as_bytes())];
        peer.bytes(&bytes.concat());
        assert!(peer.events.iter().any(|event| matches!(event, Event::Hello { .. })));
        assert_eq!(peer.frames().len(), 1);
    });
}
