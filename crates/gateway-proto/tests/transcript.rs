//! Transcripts: their content, what they must not contain, and their replay.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

#[path = "support/played.rs"]
mod played;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use gateway_proto::codec::{Deflater, Raw};
use gateway_proto::command::{Activity, Presence, Status};
use gateway_proto::disconnect::Refused;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::transcript::{RecordedOutput, Replay, Step, TranscriptError};
use gateway_proto::{
    Closed, Command, Compression, ConnectError, Encoding, Event, Input, Intents, Message, Notice, Output,
    Shard, ShardConfig, Shutdown,
};
use played::Pages;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A shard whose server sends messages in any format.
struct Life {
    shard: Shard,
    start: Instant,
    now: Instant,
    pages: Pages,
    encoding: Encoding,
    compression: Compression,
    deflater: Option<Deflater>,
    outputs: usize,
}

impl Life {
    fn new(config: ShardConfig) -> Self {
        let (start, pages) = (Instant::now(), Pages::default());
        let (encoding, compression) = (config.encoding, config.compression);
        let shard = Shard::with_transcript(config, start, pages.clone()).unwrap();
        let mut life =
            Self { shard, start, now: start, pages, encoding, compression, deflater: None, outputs: 0 };
        life.drain();
        life
    }

    fn drain(&mut self) {
        loop {
            self.outputs += 1;
            if let Output::Timeout(_) | Output::Stopped(_) = self.shard.poll_output() {
                return;
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.now += Duration::from_millis(700);
        self.shard.handle_input(input, self.now);
        self.drain();
    }

    fn open(&mut self) {
        self.deflater = Deflater::new(self.compression);
        self.input(Input::Opened);
        self.receive(&json!({"op": 10, "d": {"heartbeat_interval": 41_250, "_trace": ["s3cret"]}}));
    }

    fn receive(&mut self, payload: &Value) {
        let bytes = Raw::encode(payload, self.encoding).unwrap().as_bytes().to_vec();
        let message = match (&mut self.deflater, self.encoding) {
            (Some(deflater), _) => Message::Binary(deflater.push(&bytes).into()),
            (None, Encoding::Json) => Message::Text(bytes.into()),
            (None, Encoding::Etf) => Message::Binary(bytes.into()),
        };
        self.input(Input::Message(message));
    }

    fn dispatch(&mut self, name: &str, sequence: u64, data: Value) {
        self.receive(&json!({"op": 0, "t": name, "s": sequence, "d": data}));
    }
}

fn config() -> ShardConfig {
    let mut config = ShardConfig::new("s3cret-token", Intents::GUILDS);
    config.compression = gateway_proto::Compression::None;
    config.url = "wss://user:s3cret@s3cret.example/s3cret".to_owned();
    config.seed = Some(3);
    config
}

/// A session with a secret in every text that a transcript must not contain.
fn whole_life(mut config: ShardConfig, secret: &str) -> Life {
    let url = format!("wss://{secret}.s3cret.example");
    config.token = format!("token{secret}").into();
    config.properties.device = secret.to_owned();
    config.presence = Some(Presence::new(Status::Online, [Activity::custom(secret)]));
    config.session =
        Some(SessionSnapshot::new(secret.to_owned(), Some(url.clone()), 5, gateway_proto::ShardId::ONE));
    let mut life = Life::new(config);
    life.input(Input::ConnectFailed(ConnectError::Tcp(format!("no route to {url}"))));
    life.now += Duration::from_secs(60);
    life.input(Input::Timeout);
    let headers = vec![(secret.to_owned(), secret.to_owned())];
    let mut refused = Refused::new(429);
    refused.headers = headers;
    refused.body = secret.into();
    life.input(Input::ConnectFailed(ConnectError::Refused(refused)));
    life.now += Duration::from_secs(60);
    life.input(Input::Timeout);
    life.open();
    life.dispatch("MESSAGE_CREATE", 6, json!({"content": secret, secret: secret}));
    life.dispatch(secret, 7, json!(secret));
    life.receive(&json!({"op": 9, "d": false, secret: secret}));
    life.input(Input::Closed(Closed::Frame { code: Some(4000), reason: secret.to_owned() }));
    life.now += Duration::from_secs(60);
    life.input(Input::Timeout);
    life.open();
    life.input(Input::IdentifyGranted);
    life.dispatch(
        "READY",
        1,
        json!({"session_id": secret, "resume_gateway_url": url, "user": {"id": secret}}),
    );
    let data = json!({"guild_id": "81384788765712384", "query": "", "limit": 0, "nonce": secret});
    let raw = |op, data: &Value| Command::Raw { op, data: Raw::new(data.to_string(), Encoding::Json) };
    life.shard.send(raw(8, &data)).unwrap();
    life.shard.send(raw(8, &data)).unwrap();
    life.shard.send(raw(43, &json!(secret))).unwrap();
    life.input(Input::WallClock(Duration::from_secs(1_780_000_000)));
    let meta = json!({"guild_id": "81384788765712384", "nonce": secret});
    life.dispatch("RATE_LIMITED", 2, json!({"opcode": 8, "retry_after": 31.25, "meta": meta}));
    life.dispatch("GUILD_CREATE", 3, json!({"id": "81384788765712384", "name": secret}));
    life.input(Input::Closed(Closed::Failed(format!("reset by {url}"))));
    life.now += Duration::from_secs(60);
    life.input(Input::Timeout);
    life.open();
    life.dispatch("RESUMED", 4, json!({"_trace": [secret]}));
    life.receive(&json!({"op": 77, "d": secret}));
    life.input(Input::Message(Message::Binary(secret.as_bytes().to_vec().into())));
    life.input(Input::Closed(Closed::Protocol(secret.to_owned())));
    life.shard.shutdown(Shutdown::LogOff);
    life.input(Input::Timeout);
    life
}

const FORMATS: [(Encoding, Compression); 6] = [
    (Encoding::Json, Compression::None),
    (Encoding::Json, Compression::Payload),
    (Encoding::Json, Compression::ZlibStream),
    (Encoding::Json, Compression::ZstdStream),
    (Encoding::Etf, Compression::None),
    (Encoding::Etf, Compression::ZstdStream),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A transcript contains neither secrets of the shard nor content of messages, in any format. A secret may look like
    /// the name of an event.
    #[test]
    fn no_secret_is_in_a_transcript(secret in "[a-z0-9-]{12,60}|[A-Z_]{12,60}", format in 0..FORMATS.len()) {
        let mut config = config();
        (config.encoding, config.compression) = FORMATS[format];
        if config.compression.is_supported() {
            let life = whole_life(config, &secret);
            let steps = life.pages.check(life.start, &[&secret, "s3cret", "81384788765712384", "example"]);
            // Repeated waits are recorded once.
            prop_assert!(steps.len() > 60 && life.outputs > 40, "{} steps", steps.len());
        }
    }
}

/// The format of the file, for other tools.
#[test]
fn a_transcript_looks_like_this() {
    let life = whole_life(config(), "s3cret-and-no-more");
    let text = life.pages.text();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!("transcript", text.replace(&version, "\"version\":\"…\""));
}

#[test]
fn a_heartbeat_of_the_application_is_replayed() {
    let mut life = Life::new(config());
    life.open();
    life.input(Input::IdentifyGranted);
    life.dispatch("READY", 1, json!({"session_id": "id", "resume_gateway_url": "wss://s3cret.example"}));
    life.now += Duration::from_secs(20);
    life.shard.heartbeat();
    life.drain();
    life.input(Input::Timeout);
    life.receive(&json!({"op": 11}));
    assert_eq!(life.shard.stats().acknowledgements, 1);
    assert!(life.pages.text().contains(r#""request":"heartbeat""#));
    life.pages.check(life.start, &["s3cret"]);
    let text = life.pages.text();
    let mut replay = Replay::new(text.as_bytes(), life.start).unwrap();
    assert!(replay.by_ref().all(|step| step.is_ok()));
    assert_eq!(replay.shard().stats(), life.shard.stats());
}

#[test]
fn a_replay_that_differs_is_reported() {
    let life = whole_life(config(), "s3cret-and-no-more");
    let changed = life.pages.text().replace(r#""seed":3"#, r#""seed":4"#);
    let mut replay = Replay::new(changed.as_bytes(), Instant::now()).unwrap();
    let step =
        replay.find(|step| step.as_ref().unwrap().differs()).expect("another seed, another wait").unwrap();
    let Step::Output { recorded, replayed, .. } = &step else { panic!("{step:?}") };
    assert!(
        matches!((recorded, replayed), (RecordedOutput::Event(then), RecordedOutput::Event(now)) if then != now)
    );
    assert!(step.to_string().contains("instead of"), "{step}");
    // A missing input shows too.
    let text = life.pages.text();
    let without: String =
        text.lines().filter(|line| !line.contains("granted")).map(|line| format!("{line}\n")).collect();
    assert!(without.len() < text.len());
    let differs = |step: Result<Step, TranscriptError>| step.unwrap().differs();
    assert!(Replay::new(without.as_bytes(), Instant::now()).unwrap().any(differs));
}

#[test]
fn the_replayed_shard_has_the_state_of_the_recorded_one() {
    let life = whole_life(config(), "s3cret-and-no-more");
    let text = life.pages.text();
    let mut replay = Replay::new(text.as_bytes(), life.start).unwrap();
    assert!(replay.by_ref().all(|step| step.is_ok()));
    assert_eq!(replay.shard().stats(), life.shard.stats(), "bytes are counted as they came");
    assert_eq!(replay.shard().phase(), life.shard.phase());
    assert_eq!(replay.shard().health().last_received, life.shard.health().last_received);
}

/// Transcripts of an earlier version: with messages that were ignored, that could not be decoded after inflating, or that
/// arrived in parts or in another format; and each kind of input and request.
const EARLIER: [(&str, &str, usize); 6] = [
    ("a-life", include_str!("transcripts/a-life.jsonl"), 1),
    ("acknowledged", include_str!("transcripts/acknowledged.jsonl"), 1),
    ("other-formats", include_str!("transcripts/other-formats.jsonl"), 1),
    ("parts", include_str!("transcripts/parts.jsonl"), 1),
    ("undecodable", include_str!("transcripts/undecodable.jsonl"), 1),
    // The header that insta adds is not part of it.
    ("whole life", include_str!("snapshots/transcript__transcript.snap"), 5),
];

#[test]
fn a_transcript_of_an_earlier_version_is_replayed() {
    for (name, file, first_line) in EARLIER {
        let text: String = file.lines().skip(first_line - 1).map(|line| format!("{line}\n")).collect();
        let mut steps = 1;
        for step in Replay::new(text.as_bytes(), Instant::now()).unwrap() {
            let step = step.unwrap();
            assert!(!step.differs(), "{name}: {step}");
            steps += 1;
        }
        assert_eq!(steps, text.lines().count(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The replay of any file, with lines in any order and changed numbers, ends without a panic.
    #[test]
    fn an_edited_transcript_is_replayed_to_its_end(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8), 1..12),
    ) {
        let text = whole_life(config(), "s3cret-and-no-more").pages.text();
        let (head, rest) = text.split_once('\n').unwrap();
        let mut lines: Vec<String> = rest.lines().map(str::to_owned).collect();
        for (one, other, edit) in edits {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            match edit {
                0 => drop(lines.remove(one)),
                1 => lines.swap(one, other),
                2 => lines.insert(one, lines[other].clone()),
                _ => lines[one] = lines[one].replace(|c: char| c.is_ascii_digit(), "7"),
            }
        }
        let ack = r#"{"at":0,"request":{"ack":18446744073709551615}}"#;
        let text: String = [head.to_owned(), ack.to_owned()].into_iter().chain(lines).map(|line| line + "\n").collect();
        let replay = Replay::new(text.as_bytes(), Instant::now()).unwrap();
        prop_assert!(replay.count() > 1);
    }
}

/// A killed process leaves an incomplete last line.
#[test]
fn a_truncated_transcript_is_replayed_to_its_last_complete_line() {
    let text = whole_life(config(), "s3cret-and-no-more").pages.text();
    let lines = text.lines().count();
    for cut in [text.len() - 1, text.len() - 20, text.len() / 2] {
        let whole = text[..cut].matches('\n').count();
        let steps: Vec<_> = Replay::new(&text.as_bytes()[..cut], Instant::now()).unwrap().collect();
        assert_eq!(steps.len() + 1, whole);
        assert!(whole < lines && steps.iter().all(|step| !step.as_ref().unwrap().differs()));
    }
}

#[test]
fn other_files_are_refused() {
    let text = whole_life(config(), "s3cret-and-no-more").pages.text();
    let refused = |text: &str| Replay::new(text.as_bytes(), Instant::now()).map(drop).unwrap_err();
    let (head, rest) = text.split_once('\n').unwrap();
    for bad in ["", "\n", "nonsense\n", &head.replace("\"transcript\":1", "\"transcript\":2")] {
        assert!(matches!(refused(&format!("{bad}\n")), TranscriptError::Version), "{bad}");
    }
    let without_waiting = head.replace(r#""connect":{"secs":10"#, r#""connect":{"secs":0"#) + "\n";
    assert!(
        matches!(refused(&without_waiting), TranscriptError::Config(error) if error.field() == "timeouts.connect")
    );
    let long = format!("{head}\n{{\"at\":1,\"input\":{{{}", "x".repeat(1 << 20));
    for (line, number) in [("nonsense", 2), ("{}", 2), (r#"{"at":1}"#, 2), (r#"{"at":1,"input":"other"}"#, 2)]
    {
        let all = format!("{head}\n{line}\n{rest}");
        let steps: Vec<_> = Replay::new(all.as_bytes(), Instant::now()).unwrap().collect();
        assert!(
            matches!(steps[..], [Err(TranscriptError::Line { number: found, .. })] if found == number),
            "{line}: {steps:?}"
        );
    }
    let steps: Vec<_> = Replay::new(long.as_bytes(), Instant::now()).unwrap().collect();
    assert!(matches!(steps[..], [Err(TranscriptError::Io(_))]), "a line without end is not read to it");
}

/// A writer that fails after this many lines.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_ends_the_transcript_and_nothing_else() {
    for lines in 0..8 {
        let start = Instant::now();
        let mut shard = Shard::with_transcript(config(), start, Full(lines)).unwrap();
        let mut notices = 0;
        for input in
            [Input::Timeout, Input::Opened, Input::Timeout, Input::Closed(Closed::Eof), Input::Timeout]
        {
            shard.handle_input(input, start);
            loop {
                match shard.poll_output() {
                    Output::Timeout(_) => break,
                    Output::Event(Event::Notice(notice)) => {
                        assert_eq!(notice, Notice::TranscriptEnded { kind: io::ErrorKind::StorageFull });
                        notices += 1;
                    }
                    _ => {}
                }
            }
        }
        assert_eq!((notices, shard.stats().connects), (1, 1), "after {lines} lines");
    }
}
