//! The life of a shard over an in-memory connection: its messages, its events, and the type of each end of a connection.

mod support;

use std::io;
use std::io::Write;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use gateway_driver::DriverConfig;
use gateway_driver::net::resolve_error;
use gateway_driver::proto::disconnect::{DisconnectReason, Rejection};
use gateway_driver::proto::{Closed, ConnectError, Event, Shutdown, StopReason};
use gateway_driver::stream::BoxedStream;
use serde_json::json;
use support::clock::{Dial, VirtualRuntime};
use support::{Client, PollOnce, answer_upgrade, config, dispatch, event, hello, pipe};
use tungstenite::Message;

/// An action of the server.
type Act = fn(&mut support::Server);
/// A check of a value.
type Check<T> = fn(&T) -> bool;

#[test]
fn connects_identifies_and_delivers_in_order() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    for sequence in 2..100 {
        server.send(event(sequence));
    }
    client.settle();
    assert_eq!(client.sequences(), (1..100).collect::<Vec<_>>());
    assert_eq!(client.runtime.connects(), [("gateway.example".to_owned(), 80)]);
    let stats = client.shard.stats();
    assert_eq!((stats.connects, stats.identifies, stats.dispatches), (1, 1, 99));
}

#[test]
fn the_upgrade_request_names_host_and_user_agent_and_offers_no_compression() {
    let mut client = Client::new(config());
    let end = client.wait_for_connection().unwrap();
    let request = answer_upgrade(&mut client, end, b"");
    assert!(
        request.starts_with("GET /?v=10&encoding=json HTTP/1.1\r\nHost: gateway.example\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nUser-Agent: DiscordBot (https://"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("sec-websocket-extensions"), "{request}");
}

#[test]
fn a_lost_connection_is_resumed_at_the_resume_url() {
    let ends: [(&str, Act); 5] = [
        ("dropped", |server| server.end.end()),
        ("reset", |server| server.end.reset()),
        ("op 7", |server| server.send(json!({"op": 7, "d": null, "s": null, "t": null}))),
        ("closed 4000", |server| server.close(4000, "unknown error")),
        ("closed 1001", |server| server.close(1001, "restarting")),
    ];
    for (name, end) in ends {
        let mut client = Client::new(config());
        let mut server = client.connect_and_identify();
        server.send(event(2));
        client.settle();
        end(&mut server);
        client.settle();
        if name == "op 7" {
            assert_eq!(server.expect_close(), Some(4000), "{name}");
            server.end.end();
        }
        let (mut server, sequence) = client.connect_and_resume();
        assert_eq!(sequence, 2, "{name}");
        server.send(event(4));
        client.settle();
        assert_eq!(client.sequences(), [1, 2, 3, 4], "{name}");
        assert_eq!(client.runtime.connects()[1], (support::RESUME_HOST.to_owned(), 80), "{name}");
        assert!(client.events.iter().any(|event| matches!(event, Event::Resumed { .. })), "{name}");
    }
}

#[test]
fn a_dead_connection_is_detected_and_resumed() {
    let mut client = Client::new(config());
    let silent = client.connect_and_identify();
    client.connect_and_resume();
    assert_eq!(client.disconnects(), [DisconnectReason::Zombie]);
    assert!(silent.end.client_is_gone());
}

/// Faults of a server, and their reported types.
#[test]
fn every_end_of_a_connection_has_its_type() {
    let cases: [(&str, Act, Check<Closed>); 9] = [
        ("end", |server| server.end.end(), |closed| *closed == Closed::Eof),
        ("reset", |server| server.end.reset(), |closed| matches!(closed, Closed::Failed(_))),
        (
            "close frame",
            |server| server.close(4008, "too fast"),
            |closed| *closed == Closed::Frame { code: Some(4008), reason: "too fast".to_owned() },
        ),
        (
            "close frame without a code",
            |server| server.send_message(Message::Close(None)),
            |closed| *closed == Closed::Frame { code: None, reason: String::new() },
        ),
        (
            "reserved bits",
            |server| server.end.write_all(b"\xf1\x01x").unwrap(),
            |closed| matches!(closed, Closed::Protocol(_)),
        ),
        (
            "masked frame",
            |server| server.end.write_all(b"\x81\x81aaaax").unwrap(),
            |closed| matches!(closed, Closed::Protocol(_)),
        ),
        (
            "broken UTF-8",
            |server| server.end.write_all(b"\x81\x01\xff").unwrap(),
            |closed| matches!(closed, Closed::Protocol(_)),
        ),
        (
            "a close frame of one byte",
            |server| server.end.write_all(b"\x88\x01x").unwrap(),
            |closed| matches!(closed, Closed::Protocol(_)),
        ),
        (
            "HTTP",
            |server| server.end.write_all("HTTP/1.1 502 Bad Gateway\r\n".repeat(10).as_bytes()).unwrap(),
            |closed| matches!(closed, Closed::Protocol(_)),
        ),
    ];
    for (name, misbehave, expected) in cases {
        let mut client = Client::new(config());
        let mut server = client.connect_and_identify();
        misbehave(&mut server);
        client.settle();
        let [DisconnectReason::Closed(closed)] = &client.disconnects()[..] else {
            panic!("{name}: {:?}", client.disconnects())
        };
        assert!(expected(closed), "{name}: {closed:?}");
        assert!(server.end.client_is_gone(), "{name}: the socket is dropped");
    }
}

#[test]
fn a_message_over_the_limit_is_rejected_before_it_is_read() {
    let mut config = config();
    config.limits.message_bytes = 2000;
    let mut client = Client::new(config);
    let mut server = client.connect_and_identify();
    server.send(dispatch("BIG", 2, json!("x".repeat(1500))));
    // The head of a frame that claims a mebibyte.
    server.end.write_all(b"\x81\x7f\0\0\0\0\0\x10\0\0").unwrap();
    client.settle();
    assert_eq!(client.sequences(), [1, 2]);
    assert_eq!(client.disconnects(), [DisconnectReason::MessageTooLarge]);
}

#[test]
fn a_close_that_stops_the_bot_ends_the_events() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    server.close(4014, "Disallowed intent(s).");
    client.settle();
    assert!(client.ended);
    let reason = StopReason::Rejected(Rejection::DisallowedIntents);
    assert_eq!(client.shard.stop_reason(), Some(&reason));
    assert_eq!(server.expect_close(), Some(4014), "the close frame was answered");
    let again = pin!(client.shard.next_event()).poll_once(Waker::noop());
    assert!(matches!(again, Poll::Ready(None)), "and they stay ended");
}

#[test]
fn a_shutdown_closes_with_its_code_and_counts_no_later_event() {
    for (how, code) in [(Shutdown::Resumable, 4000), (Shutdown::LogOff, 1000)] {
        let mut client = Client::new(config());
        let mut server = client.connect_and_identify();
        client.shard.shutdown(how);
        client.settle();
        assert!(!client.ended, "the server's close frame is waited for");
        if how == Shutdown::Resumable {
            server.send(event(2));
        }
        assert_eq!(server.expect_close(), Some(code));
        client.settle();
        assert!(client.ended);
        assert_eq!(client.shard.stop_reason(), Some(&StopReason::Shutdown(how)));
        match how {
            Shutdown::Resumable => assert_eq!(client.shard.session().unwrap().sequence(), 1),
            Shutdown::LogOff => assert_eq!(client.shard.session(), None),
        }
    }
}

#[test]
fn a_close_that_is_never_answered_ends_in_time() {
    let mut client = Client::new(config());
    let server = client.connect_and_identify();
    client.shard.shutdown(Shutdown::LogOff);
    client.pass(Duration::from_millis(4900));
    assert!(!client.ended);
    client.pass(Duration::from_millis(200));
    assert!(client.ended && server.end.client_is_gone());
}

#[test]
fn failures_to_connect_have_their_types_and_are_retried() {
    let cases: [(Dial, Check<ConnectError>); 2] = [
        (Dial::Fail(resolve_error(io::Error::other("no such name: gateway.example"))), |error| {
            *error == ConnectError::Dns("no such name: …".to_owned())
        }),
        (Dial::Fail(io::ErrorKind::ConnectionRefused.into()), |error| {
            *error == ConnectError::Tcp("connection refused".to_owned())
        }),
    ];
    for (dial, expected) in cases {
        let mut client = Client::new(config());
        client.runtime.plan(dial);
        client.settle();
        let [DisconnectReason::ConnectFailed(error)] = &client.disconnects()[..] else {
            panic!("{:?}", client.disconnects())
        };
        assert!(expected(error), "{error:?}");
        client.connect_and_identify();
    }
}

#[test]
fn a_refused_upgrade_is_reported_in_full_and_its_wait_is_observed() {
    type Answer = (&'static [u8], u16, Option<u64>, &'static [u8]);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let cases: [Answer; 4] = [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nerror 1020", 403, None, b"error 1020"),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n", 429, Some(90), b""),
        (b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nout\r\n0\r\n\r\n", 503, None, b"out"),
        (b"HTTP/1.1 520 \r\n\r\na body without a length here", 520, None, b"a body without a length here"),
    ];
    for (answer, status, retry_after, body) in cases {
        let mut client = Client::new(config());
        let end = client.wait_for_connection().unwrap();
        answer_upgrade(&mut client, end, answer);
        client.pass(Duration::from_secs(1));
        let reasons = client.disconnects();
        let [DisconnectReason::ConnectFailed(ConnectError::Refused(refused))] = &reasons[..] else {
            panic!("{status}: {reasons:?}")
        };
        assert_eq!((refused.status, &refused.body[..]), (status, body));
        assert_eq!(refused.retry_after, retry_after.map(Duration::from_secs));
        let headers = match status {
            403 => vec![header("Content-Length", "10")],
            429 => vec![header("Retry-After", "90"), header("Content-Length", "0")],
            503 => vec![header("Transfer-Encoding", "chunked")],
            _ => vec![],
        };
        assert_eq!(refused.headers, headers);
        if let Some(wait) = retry_after {
            client.pass(Duration::from_secs(wait - 2));
            assert!(client.runtime.accept().is_none(), "{status}: it waits");
        }
        client.connect_and_identify();
    }
}

#[test]
fn an_invalid_answer_to_the_upgrade_has_a_type() {
    for answer in [
        &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let mut client = Client::new(config());
        let end = client.wait_for_connection().unwrap();
        answer_upgrade(&mut client, end, answer);
        let reasons = client.disconnects();
        assert!(
            matches!(&reasons[..], [DisconnectReason::ConnectFailed(ConnectError::Handshake(_))]),
            "{answer:?}: {reasons:?}"
        );
    }
}

/// The clock stands still, so the connect timeout cannot end it.
#[test]
fn a_flood_of_interim_answers_is_rejected() {
    let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50_000);
    for slice in [None, Some(1), Some(4096)] {
        let mut client = Client::new(config());
        let end = client.wait_for_connection().unwrap();
        slice.into_iter().for_each(|bytes| end.set_slice(bytes));
        answer_upgrade(&mut client, end.clone(), &flood);
        let reasons = client.disconnects();
        assert!(
            matches!(&reasons[..], [DisconnectReason::ConnectFailed(ConnectError::Handshake(_))]),
            "{slice:?}: {reasons:?}"
        );
        assert!(end.client_is_gone() && end.unread_by_client() > flood.len() / 2);
        client.connect_and_identify();
    }
}

/// A server that stops sending at each step of a connection.
#[test]
fn silence_at_every_step_is_detected_in_time() {
    let mut hanging = Client::new(config());
    hanging.runtime.plan(Dial::Hang);
    hanging.pass(Duration::from_millis(9900));
    assert_eq!(hanging.disconnects(), []);
    hanging.pass(Duration::from_millis(200));
    assert_eq!(hanging.disconnects(), [DisconnectReason::ConnectTimeout]);
    hanging.connect_and_identify();

    let mut no_upgrade = Client::new(config());
    let end = no_upgrade.wait_for_connection().unwrap();
    no_upgrade.pass(Duration::from_millis(10_100));
    assert_eq!(no_upgrade.disconnects(), [DisconnectReason::ConnectTimeout]);
    assert!(end.client_is_gone());

    let mut no_hello = Client::new(config());
    let server = no_hello.connect();
    no_hello.pass(Duration::from_secs(20));
    assert!(!server.end.client_is_gone(), "a close frame is on its way");
    no_hello.pass(Duration::from_secs(5));
    assert_eq!(no_hello.disconnects(), [DisconnectReason::HelloTimeout]);
    assert!(server.end.client_is_gone(), "it was not answered either");

    let mut no_ready = Client::new(config());
    let mut server = no_ready.connect();
    server.send(hello());
    no_ready.connect_and_identify();
    assert!(matches!(
        no_ready.disconnects()[..],
        [DisconnectReason::Zombie | DisconnectReason::ReadyTimeout]
    ));
}

#[test]
fn a_connector_provides_the_stream() {
    let runtime = VirtualRuntime::default();
    let (hand_over, server_ends) = std::sync::mpsc::channel();
    let mut driver = DriverConfig::default();
    driver.connector = Some(std::sync::Arc::new(move |host: String, port| {
        let (client, server) = pipe::new();
        hand_over.send((host, port, server)).unwrap();
        async move { Ok(Box::new(client) as BoxedStream) }
    }));
    let mut client = Client::with(runtime, config(), driver);
    client.settle();
    let (host, port, end) = server_ends.try_recv().unwrap();
    assert_eq!((host.as_str(), port), ("gateway.example", 80));
    let answer = answer_upgrade(&mut client, end, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(answer.contains("Host: gateway.example"));
    assert!(client.runtime.connects().is_empty(), "the runtime was not asked");
    assert_eq!(client.disconnects().len(), 1);
}

#[test]
fn a_dropped_shard_closes_its_socket() {
    let mut client = Client::new(config());
    let server = client.connect_and_identify();
    let sender = client.shard.sender();
    let Client { shard, .. } = client;
    assert!(!server.end.client_is_gone());
    drop(shard);
    assert!(server.end.client_is_gone());
    let refused = sender.send(gateway_driver::proto::Command::RequestSoundboardSounds {
        guild_ids: vec![gateway_driver::proto::Snowflake(1)],
    });
    assert!(matches!(refused, Err(gateway_driver::proto::command::SendError::Stopped)), "{refused:?}");
}

#[test]
fn a_suspended_machine_resumes_within_seconds() {
    let mut client = Client::new(config());
    let _stale = client.connect_and_identify();
    client.runtime.sleep(Duration::from_secs(3600));
    client.pass(Duration::from_secs(10));
    let slept = Duration::from_secs(3600);
    assert_eq!(client.disconnects(), [DisconnectReason::Suspended { slept }]);
    assert_eq!(client.connect_and_resume().1, 1);
}
