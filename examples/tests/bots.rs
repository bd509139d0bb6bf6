//! The example bots against the simulator: their output, their end, and the state that they store for the next run.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use gateway_driver::proto::transcript::{Replay, Step};
use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report, bot};
use gateway_sim::{Config, Control, Server};
use gateway_tokio::TokioRuntime;
use gateway_tokio::stream::Connector;
use serde_json::Value;

#[path = "shared/formats.rs"]
mod formats;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/http_proxy_bot.rs"]
mod http_proxy_bot;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/socks5_bot.rs"]
mod socks5_bot;

use formats::FORMATS;

const TOKEN: &str = "bot-test-token";

fn server(guilds: u32, rate: f64) -> Server {
    let mut config = Config::default();
    config.token = TOKEN.to_owned();
    config.guilds = guilds;
    config.rate = rate;
    // Several bots identify in turn here; these tests do not check the spacing.
    config.identify_interval = std::time::Duration::ZERO;
    Server::start(config).unwrap()
}

struct Ended {
    status: u8,
    lines: Vec<Value>,
    summary: Value,
    log: String,
}

/// Runs the tokio bot to its end with these flags.
fn run(server: &Server, flags: &[&str]) -> Ended {
    run_through(server, None, flags)
}

/// The same through a proxy.
fn run_through(server: &Server, connector: Option<Arc<dyn Connector>>, flags: &[&str]) -> Ended {
    let url = server.url();
    let arguments = ["--url", &url, "--token", TOKEN].into_iter().chain(flags.iter().copied());
    let Invocation::Run(options) = Options::parse(arguments, None).unwrap() else {
        panic!("not a run of the bot")
    };
    let mut report = Report::new(options, Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(bot::run(TokioRuntime, connector, &mut report));
    let (output, log) = report.into_writers();
    let mut lines: Vec<Value> =
        output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(json).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    Ended { status, lines, summary, log: String::from_utf8(log).unwrap() }
}

fn json(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap()
}

#[test]
fn every_encoding_and_compression_shows_the_same_events() {
    let server = server(3, 0.0);
    let mut shown = Vec::new();
    for (encoding, compression) in FORMATS {
        let flags = ["--encoding", encoding, "--compress", compression, "--events", "4", "--full"];
        let ended = run(&server, &flags);
        assert_eq!(ended.status, 0, "{encoding} {compression}: {}", ended.log);
        assert_eq!(ended.summary["events"], 4);
        assert_eq!(ended.summary["stop"], "log-off");
        assert_eq!(ended.lines[0]["t"], "READY");
        assert_eq!(ended.lines[0]["s"], 1);
        shown.push(ended.lines.iter().map(names_and_keys).collect::<Vec<_>>());
    }
    assert!(shown.iter().all(|lines| *lines == shown[0]), "{shown:#?}");
}

/// The common part of two runs: session ids and the type of ids differ.
fn names_and_keys(line: &Value) -> (String, BTreeSet<String>) {
    let keys = line["d"].as_object().unwrap().keys().cloned().collect();
    (line["t"].as_str().unwrap().to_owned(), keys)
}

#[test]
fn a_session_file_continues_after_the_last_run() {
    let server = server(2, 400.0);
    let folder = std::env::temp_dir().join(format!("gateway-bot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("session.json");
    let path = file.to_str().unwrap();
    let mut seen: Vec<(u64, String)> = Vec::new();
    for run_number in 0..3 {
        let ended = run(&server, &["--session", path, "--events", "40", "--compress", "zlib-stream"]);
        assert_eq!(ended.summary["stop"], "resumable");
        assert_eq!(ended.summary["identifies"], u64::from(run_number == 0), "{}", ended.log);
        assert_eq!(ended.summary["resumes"], u64::from(run_number != 0), "{}", ended.log);
        assert_eq!(ended.lines.len(), 40);
        seen.extend(
            ended
                .lines
                .iter()
                .map(|line| (line["s"].as_u64().unwrap(), line["t"].as_str().unwrap().to_owned())),
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let numbers: Vec<u64> = seen.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(numbers, (1..=120).collect::<Vec<_>>(), "in order, once each, with no gap between the runs");
    let ledger = server.ledger();
    let dispatched: Vec<(u64, String)> =
        ledger.dispatched(1).take(120).map(|(sequence, name)| (sequence, name.to_owned())).collect();
    assert_eq!(seen, dispatched);
}

#[test]
fn a_transcript_of_the_bot_is_replayed() {
    let server = server(2, 100.0);
    let file = std::env::temp_dir().join(format!("gateway-transcript-{}.jsonl", server.address().port()));
    let flags = ["--transcript", file.to_str().unwrap(), "--events", "20", "--compress", "zstd-stream"];
    let ended = run(&server, &flags);
    assert_eq!(ended.status, 0, "{}", ended.log);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(!text.contains(TOKEN) && !text.contains("127.0.0.1"));
    let replay = Replay::new(text.as_bytes(), Instant::now()).unwrap();
    let steps: Vec<Step> = replay.map(Result::unwrap).collect();
    assert!(steps.len() > 40 && !steps.iter().any(Step::differs));
    assert!(steps.last().unwrap().to_string().contains("LogOff"), "it is written to its end");
}

#[test]
fn a_refusal_is_a_sentence_and_status_2() {
    let server = server(1, 0.0);
    let ended = run(&server, &["--intents", "1073741824"]);
    assert_eq!((ended.status, &ended.summary["stop"]), (2, &Value::from("rejected-4013")), "{}", ended.log);
    assert!(ended.log.contains("the gateway refused the bot: the intents contain a bit that does not exist"));
    let ended = run(&server, &["--token", "another"]);
    assert_eq!((ended.status, &ended.summary["stop"]), (2, &Value::from("rejected-4004")), "{}", ended.log);
    assert!(!ended.log.contains("another"), "{}", ended.log);
}

#[test]
fn an_interrupted_connection_is_resumed_while_the_bot_runs() {
    let server = server(1, 0.0);
    std::thread::scope(|scope| {
        let bot = scope.spawn(|| run(&server, &["--events", "12"]));
        let limit = std::time::Duration::from_secs(30);
        server.wait(limit, |gateway| (gateway.ledger().newest(1) >= 2).then_some(())).unwrap();
        server.control(Control::Emit { count: 5, padding: 0 }).unwrap();
        server.control(Control::Abort).unwrap();
        server.control(Control::Emit { count: 5, padding: 0 }).unwrap();
        let ended = bot.join().unwrap();
        assert_eq!(ended.status, 0);
        assert_eq!(
            (&ended.summary["connects"], &ended.summary["resumes"]),
            (&Value::from(2), &Value::from(1))
        );
        let numbers: Vec<u64> = ended.lines.iter().map(|line| line["s"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    });
}

#[test]
fn a_bot_goes_through_an_http_proxy() {
    let server = server(2, 0.0);
    let proxy = Stub(|client: &mut TcpStream| {
        let head = read_head(client)?;
        assert!(head.starts_with("CONNECT gateway.invalid:80 HTTP/1.1\r\n"), "{head}");
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: stub\r\n\r\n")
    });
    let connector = http_proxy_bot::connector(proxy.listen(server.address()).to_string());
    let ended = run_through(&server, Some(connector), &["--url", "ws://gateway.invalid", "--events", "3"]);
    assert_eq!((ended.status, &ended.summary["events"]), (0, &Value::from(3)), "{}", ended.log);
}

#[test]
fn an_http_proxy_that_refuses_is_named() {
    let server = server(1, 0.0);
    let proxy = Stub(|client: &mut TcpStream| {
        read_head(client)?;
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")?;
        Err(io::ErrorKind::ConnectionRefused.into())
    });
    let connector = http_proxy_bot::connector(proxy.listen(server.address()).to_string());
    let ended = run_through(&server, Some(connector), &["--url", "ws://gateway.invalid", "--seconds", "0.3"]);
    assert!(ended.log.contains("407"), "{}", ended.log);
}

#[test]
fn a_bot_goes_through_a_socks5_proxy() {
    let server = server(2, 0.0);
    let proxy = Stub(|client: &mut TcpStream| {
        // RFC 1928: no authentication; then a name and a port to connect to.
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting)?;
        assert_eq!(greeting, [5, 1, 0]);
        client.write_all(&[5, 0])?;
        let mut request = [0; 4 + 1 + "gateway.invalid".len() + 2];
        client.read_exact(&mut request)?;
        assert_eq!(request[..4], [5, 1, 0, 3]);
        assert_eq!(&request[5..], b"gateway.invalid\x00\x50");
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])
    });
    let connector = socks5_bot::connector(proxy.listen(server.address()).to_string());
    let ended = run_through(&server, Some(connector), &["--url", "ws://gateway.invalid", "--events", "3"]);
    assert_eq!((ended.status, &ended.summary["events"]), (0, &Value::from(3)), "{}", ended.log);
}

/// A proxy that greets with this function and then forwards bytes.
struct Stub<F>(F);

impl<F: Fn(&mut TcpStream) -> io::Result<()> + Send + 'static> Stub<F> {
    /// Connects to `target` for any requested address.
    fn listen(self, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                if (self.0)(&mut client).is_err() {
                    continue;
                }
                let server = TcpStream::connect(target).unwrap();
                pass_on(client.try_clone().unwrap(), server.try_clone().unwrap());
                pass_on(server, client);
            }
        });
        address
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // The end of either side ends both.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}
