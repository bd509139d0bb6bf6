//! Messages of the server in every encoding and compression, valid and invalid.

use gateway_proto::codec::{self, Deflater};
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::{Closed, Compression, Encoding, Event, Input, Output};

use crate::support::output_text::hex;
use crate::support::{BASE, RESUME, SESSION, Scenario, secs, server};

/// A connection with compression by the server.
struct Compressed {
    scenario: Scenario,
    /// `None` for payload compression, which has no context.
    deflater: Option<Deflater>,
}

const STREAMS: [Compression; 2] = [Compression::ZlibStream, Compression::ZstdStream];

impl Compressed {
    /// Dialled and open.
    fn open(compression: Compression) -> Self {
        let scenario = Scenario::with(Phase::AwaitingHello, |config| config.compression = compression);
        Self { scenario, deflater: Deflater::new(compression) }
    }

    fn ready(compression: Compression) -> Self {
        let mut this = Self::open(compression);
        this.server(&server::hello());
        this.scenario.input(Input::IdentifyGranted);
        this.server(&server::ready());
        this.scenario.log();
        this
    }

    fn frame(&mut self, text: &str) -> Vec<u8> {
        compress(&mut self.deflater, text)
    }

    fn server(&mut self, text: &str) {
        let frame = self.frame(text);
        self.scenario.server_binary(frame);
    }
}

fn compress(stream: &mut Option<Deflater>, text: &str) -> Vec<u8> {
    match stream {
        Some(stream) => stream.push(text.as_bytes()),
        None => codec::deflate_zlib(text.as_bytes()),
    }
}

/// Both streams carry a whole session: Hello, READY, events, a reconnect with new contexts, a replay
/// (serenity-rs/serenity#1508; discordeno/discordeno#3815).
#[test]
fn a_compressed_stream_starts_again_with_every_connection() {
    for compression in STREAMS {
        let mut server = Compressed::ready(compression);
        let half = server.frame(&server::message(2));
        server.scenario.server_binary(&half[..half.len() / 2]);
        server.scenario.eof();
        let url = server.scenario.log().pop().unwrap();
        assert!(url.ends_with(&format!("&compress={compression}")), "{url}");
        // Half a message of the old connection does not affect the new one.
        server.deflater = Deflater::new(compression);
        server.scenario.input(Input::Opened);
        server.server(&server::hello());
        server.server(&server::message(2));
        server.server(&server::resumed(3));
        assert_eq!(server.scenario.log().last().unwrap(), "resumed, 1 replayed", "{compression}");
    }
}

/// A zlib message may be split over WebSocket messages anywhere, also within its end marker (discord-jda/JDA#1019).
#[test]
fn a_zlib_message_may_be_split_at_every_byte() {
    let length = Compressed::ready(Compression::ZlibStream).frame(&server::message(2)).len();
    for at in 0..=length {
        let mut server = Compressed::ready(Compression::ZlibStream);
        let frame = server.frame(&server::message(2));
        server.scenario.server_binary(&frame[..at]);
        server.scenario.server_binary(&frame[at..]);
        assert_eq!(server.scenario.log(), ["dispatch MESSAGE_CREATE 2"], "split at {at}");
    }
}

/// Messages of sizes around buffer boundaries arrive complete, in both streams (serenity-rs/serenity#3462;
/// discordjs/discord.js#10416; twilight-rs/twilight#853).
#[test]
fn messages_of_every_size_arrive_whole() {
    for compression in STREAMS {
        let mut server = Compressed::ready(compression);
        for (number, size) in [1_usize, 32_767, 32_768, 32_769, 65_536, 5_000_000].into_iter().enumerate() {
            let noise: String = (0..size).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
            let sequence = number as u64 + 2;
            server.server(&format!(r#"{{"t":"BIG","s":{sequence},"op":0,"d":"{noise}"}}"#));
            let outputs = server.scenario.outputs();
            let Some((_, Output::Event(Event::Dispatch(dispatch)))) = outputs.last() else {
                panic!("{compression}, {size}: {outputs:?}")
            };
            assert_eq!(dispatch.decode::<String>().unwrap(), noise, "{compression}");
        }
    }
}

/// With payload compression the server compresses some payloads, each by itself, and sends others as text
/// (DSharpPlus/DSharpPlus#2015; hikari-py/hikari#2545).
#[test]
fn payload_compression_mixes_text_and_binary() {
    let mut server = Compressed::open(Compression::Payload);
    assert!(!server.scenario.shard.config().url.contains("compress"));
    server.scenario.server(&server::hello());
    server.scenario.input(Input::IdentifyGranted);
    assert!(server.scenario.log().last().unwrap().contains(r#""compress":true"#));
    server.server(&server::ready());
    server.scenario.server(&server::message(2));
    server.server(&server::message(3));
    let delivered = ["dispatch READY 1", "ready", "dispatch MESSAGE_CREATE 2", "dispatch MESSAGE_CREATE 3"];
    assert_eq!(server.scenario.log(), delivered);
}

/// Text in a compressed stream is read as JSON, with a notice.
#[test]
fn text_in_a_compressed_stream_is_read_as_json() {
    for compression in STREAMS {
        let mut server = Compressed::ready(compression);
        server.scenario.server(&server::message(2));
        server.server(&server::message(3));
        assert_eq!(
            server.scenario.log(),
            ["notice UnexpectedFormat", "dispatch MESSAGE_CREATE 2", "dispatch MESSAGE_CREATE 3"]
        );
    }
}

/// Without stream compression the first byte of a binary message determines its format.
#[test]
fn the_first_byte_of_a_binary_message_determines_its_format() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server_binary(server::message(2));
    assert_eq!(scenario.log(), ["notice UnexpectedFormat", "dispatch MESSAGE_CREATE 2"]);
    scenario.server_binary(compress(&mut None, &server::message(3)));
    assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 3"]);
    for odd in [&[131_u8, 106][..], b"", b"\0", b"[]", b"\x28\xb5\x2f\xfd"] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server_binary(odd);
        assert_eq!(scenario.log(), ["close 4000 undecodable message"], "{odd:?}");
    }
}

/// The same session in ETF has the same events, and binary messages in both directions.
#[test]
fn etf_delivers_the_same_session() {
    let etf = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        codec::encode(&value, Encoding::Etf).unwrap()
    };
    let mut scenario = Scenario::with(Phase::AwaitingHello, |config| config.encoding = Encoding::Etf);
    scenario.server_binary(etf(&server::hello()));
    scenario.input(Input::IdentifyGranted);
    scenario.server_binary(etf(&server::ready()));
    scenario.server_binary(etf(&server::message(2)));
    let log = scenario.log();
    assert!(log[3].starts_with("send 83740000000"), "{log:?}");
    assert_eq!(log[4..], ["dispatch READY 1", "ready", "dispatch MESSAGE_CREATE 2"]);
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), &RESUME.replace("json", "etf"));
    scenario.input(Input::Opened);
    scenario.server_binary(etf(&server::hello()));
    scenario.server(&server::resumed(3));
    let log = scenario.log();
    assert_eq!(log[4..], ["notice UnexpectedFormat", "dispatch RESUMED 3", "resumed, 0 replayed"]);
    assert!(log[3].contains(&hex(SESSION.as_bytes())), "{log:?}");
}

/// Bytes after an ETF term are ignored, as Discord's own decoder does, and reported.
#[test]
fn bytes_after_a_term_are_reported_and_ignored() {
    let etf = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        codec::encode(&value, Encoding::Etf).unwrap()
    };
    let mut scenario = Scenario::with(Phase::Ready, |config| config.encoding = Encoding::Etf);
    scenario.server_binary([etf(&server::message(2)), b"\x83j\0".to_vec()].concat());
    assert_eq!(scenario.log(), ["notice TrailingBytes { count: 3 }", "dispatch MESSAGE_CREATE 2"]);
    scenario.server_binary(etf(&server::message(3)));
    assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 3"]);
}

/// Keys in any order, with white space, with decoys in `d`, with extra fields (twilight-rs/twilight#1995).
#[test]
fn an_envelope_is_read_in_any_order() {
    for text in [
        r#"{"d":{"op":9,"s":99,"t":"READY","d":false},"s":2,"op":0,"t":"MESSAGE_CREATE"}"#,
        " { \"op\" : 0 ,\n\"x\":{\"op\":7}, \"t\" : \"MESSAGE_CREATE\", \"s\":2, \"d\" : null } ",
        r#"{"\u006fp":0,"t":"MESSAGE_\u0043REATE","s":2}"#,
    ] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server(text);
        assert_eq!(scenario.log(), ["dispatch MESSAGE_CREATE 2"], "{text}");
    }
}

/// Unknown opcodes and those of clients are reported and have no other effect (twilight-rs/twilight#1995).
#[test]
fn unknown_opcodes_are_reported() {
    for op in [2, 3, 6, 8, 12, 99, u64::MAX] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server(&format!(r#"{{"op":{op},"d":{{"a":[1]}}}}"#));
        let outputs = scenario.outputs();
        let [(_, Output::Event(Event::Unknown(unknown)))] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((unknown.op, unknown.data.as_bytes()), (op, &br#"{"a":[1]}"#[..]));
    }
}

/// `d` of an unexpected shape affects only that event: the connection continues, and the number counts.
#[test]
fn an_invalid_event_affects_only_itself() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(r#"{"t":"PRESENCE_UPDATE","s":2,"op":0,"d":{"user":5}}"#);
    let outputs = scenario.outputs();
    let [(_, Output::Event(Event::Dispatch(dispatch)))] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(dispatch.decode::<Vec<u8>>().is_err());
    assert_eq!(dispatch.raw().as_bytes(), br#"{"user":5}"#);
    assert_eq!(scenario.shard.session().unwrap().sequence(), 2);
}

/// A message that cannot be decoded closes the connection with 4000, and the session is resumed.
#[test]
fn undecodable_messages_are_replayed() {
    for garbage in ["", "garbage", "[]", "{}", r#"{"op":"0"}"#, r#"{"t":"X","s":2,"op":0,"d":{"#, "\u{0}"] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server(garbage);
        assert_eq!(scenario.log(), ["close 4000 undecodable message"], "{garbage}");
        scenario.closed(4000);
        let end = scenario.disconnected();
        assert!(matches!(end.reason, DisconnectReason::Undecodable(_)) && end.resumable);
        assert_eq!(scenario.shard.stats().undecodable, 1);
    }
}

/// A stream that cannot be inflated is unusable: a new connection with new contexts resumes (discord-jda/JDA#1019).
#[test]
fn a_broken_stream_is_replayed() {
    for compression in STREAMS {
        let mut server = Compressed::ready(compression);
        server.scenario.server_binary(*b"\xff\xff\xff\xff not what it should be \0\0\xff\xff");
        assert_eq!(server.scenario.log(), ["close 4000 undecodable message"], "{compression}");
        server.server(&server::message(3));
        assert_eq!(server.scenario.log(), [""; 0], "nothing after it counts");
        server.scenario.eof();
        assert_eq!(server.scenario.disconnected().retry_in, Some(secs(0)));
    }
}

/// Two failures at the same number: the replay itself cannot be decoded, and only a new session gets past it.
#[test]
fn a_replay_that_fails_twice_at_the_same_number_ends_the_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server("garbage");
    scenario.eof();
    scenario.open();
    scenario.server("garbage");
    assert_eq!(scenario.shard.session(), None);
    scenario.eof();
    assert_eq!(scenario.next_connect(), BASE);
}

/// A notice reports that the session is given up, with the sequence number.
#[test]
fn a_replay_that_is_given_up_is_reported() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::message(2));
    scenario.server("garbage");
    scenario.eof();
    scenario.open();
    scenario.log();
    scenario.server("garbage");
    assert_eq!(scenario.log(), ["notice ReplayGivenUp { after: 2 }", "close 4000 undecodable message"]);
    scenario.eof();
    let end = scenario.disconnected();
    assert!(matches!(end.reason, DisconnectReason::Undecodable(_)) && !end.resumable);
}

/// A replay that was read to its end did not contain the message. A later one that cannot be decoded is another message.
#[test]
fn garbage_after_each_whole_replay_costs_no_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..10 {
        scenario.server("garbage");
        scenario.eof();
        scenario.next_connect();
        scenario.open();
        scenario.server(r#"{"t":"RESUMED","s":null,"op":0,"d":null}"#);
    }
    assert_eq!(scenario.shard.session().unwrap().sequence(), 1);
    assert_eq!(scenario.shard.stats().undecodable, 10);
}

/// Replayed events that are not delivered again count for the position too.
#[test]
fn garbage_among_duplicates_has_its_own_position() {
    let mut scenario = Scenario::with(Phase::Ready, |config| {
        config.delivery = gateway_proto::config::Delivery::Acknowledged;
    });
    for sequence in 2..7 {
        scenario.server(&server::message(sequence));
    }
    scenario.eof();
    for reached in [3, 5, 4, 4] {
        assert!(scenario.shard.session().is_some());
        scenario.next_connect();
        scenario.open();
        for sequence in 2..=reached {
            scenario.server(&server::message(sequence));
        }
        scenario.log();
        scenario.server("garbage");
        scenario.eof();
    }
    assert_eq!(scenario.log()[0], "notice ReplayGivenUp { after: 4 }");
    assert_eq!(scenario.shard.session(), None);
}

/// A failure at another number concerns another message.
#[test]
fn a_replay_that_fails_further_on_is_resumed_again() {
    let mut scenario = Scenario::at(Phase::Ready);
    for sequence in 2..7 {
        scenario.server("garbage");
        scenario.eof();
        scenario.next_connect();
        scenario.open();
        scenario.server(&server::message(sequence));
    }
    assert!(scenario.shard.session().is_some());
}

/// A failure in one session does not count for the next.
#[test]
fn failed_replays_count_for_each_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server("garbage");
    scenario.eof();
    scenario.open();
    scenario.server(&server::invalid_session(false));
    scenario.eof();
    scenario.next_connect();
    scenario.open();
    scenario.input(Input::IdentifyGranted);
    scenario.server(&server::ready());
    scenario.server("garbage");
    assert!(scenario.shard.session().is_some(), "at number 1, as before, but of another session");
}

/// Garbage before the Resume is not part of a replay: it does not count against the session.
#[test]
fn garbage_before_hello_costs_no_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    for _ in 0..4 {
        scenario.input(Input::Opened);
        scenario.server("<html>502</html>");
        scenario.eof();
        scenario.next_connect();
    }
    assert!(scenario.shard.session().is_some());
}

/// A Resume would replay a message over the limit, so the shard starts a new session (twilight-rs/twilight#853).
#[test]
fn a_message_over_the_limit_ends_the_session() {
    let mut frame = Scenario::with(Phase::Ready, |config| config.limits.message_bytes = 1024);
    frame.server(&format!(r#"{{"op":0,"d":"{}"}}"#, "x".repeat(1024)));
    assert_eq!(frame.log(), ["notice ReplayGivenUp { after: 1 }", "close 4000 message too large"]);
    let mut socket = Scenario::at(Phase::Ready);
    socket.input(Input::Closed(Closed::MessageTooLarge));
    assert_eq!(socket.shard.session(), None);
    for mut scenario in [frame, socket] {
        if scenario.shard.phase() == Phase::Closing {
            scenario.eof();
        }
        let end = scenario.disconnected();
        assert_eq!((end.reason, end.resumable), (DisconnectReason::MessageTooLarge, false));
        assert_eq!(scenario.next_connect(), BASE);
    }
}

/// Before the Resume such a message is not an event of the session.
#[test]
fn a_message_over_the_limit_before_the_resume_costs_no_session() {
    for too_large in [
        |scenario: &mut Scenario| scenario.input(Input::Closed(Closed::MessageTooLarge)),
        |scenario: &mut Scenario| {
            scenario.server(&"x".repeat(1025));
            scenario.eof();
        },
    ] {
        let mut scenario = Scenario::with(Phase::Ready, |config| config.limits.message_bytes = 1024);
        scenario.eof();
        scenario.input(Input::Opened);
        scenario.log();
        too_large(&mut scenario);
        let end = scenario.disconnected();
        assert_eq!((end.reason, end.resumable), (DisconnectReason::MessageTooLarge, true));
        assert_eq!(scenario.next_connect(), BASE, "nothing that says Hello is at the resume URL");
    }
}

/// A message of exactly the largest size is read.
#[test]
fn a_message_that_fills_the_limit_is_read() {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.limits.message_bytes = 1024);
    let frame = r#"{"op":99,"d":""}"#.len();
    scenario.server(&format!(r#"{{"op":99,"d":"{}"}}"#, "x".repeat(1024 - frame)));
    assert_eq!(scenario.log(), ["unknown op 99"]);
}

/// A decompression bomb is not inflated beyond the limit.
#[test]
fn a_decompression_bomb_exceeds_the_limit() {
    for compression in [Compression::ZlibStream, Compression::ZstdStream, Compression::Payload] {
        let mut scenario = Scenario::with(Phase::AwaitingHello, |config| {
            config.compression = compression;
            config.limits.inflated_bytes = 100_000;
        });
        let bomb = format!(r#"{{"op":0,"d":"{}"}}"#, "x".repeat(10_000_000));
        let frame = compress(&mut Deflater::new(compression), &bomb);
        assert!(frame.len() < 100_000);
        scenario.server_binary(frame);
        assert_eq!(scenario.log(), ["close 4000 message too large"], "{compression}");
    }
}

/// Received bytes are counted, before and after inflating.
#[test]
fn messages_and_payloads_are_counted() {
    let mut server = Compressed::ready(Compression::ZlibStream);
    let before = server.scenario.shard.stats().clone();
    let text = server::message(2);
    let frame = server.frame(&text);
    server.scenario.server_binary(&frame[..4]);
    server.scenario.server_binary(&frame[4..]);
    let after = server.scenario.shard.stats();
    assert_eq!((after.messages - before.messages, after.payloads - before.payloads), (2, 1));
    assert_eq!(after.message_bytes - before.message_bytes, frame.len() as u64);
    assert_eq!(after.payload_bytes - before.payload_bytes, text.len() as u64);
}
