//! The bots that bring their own socket, against the simulator: what they print and how they end is what the tokio bot does.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use gateway_examples::options::Asked;
use gateway_examples::{Options, Report, bot};
use gateway_sim::{Action, Config, Control, Point, Response, Rule, Server, ServerConfig, Tls};
use gateway_tokio::TokioRuntime;
use serde_json::Value;

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/blocking_bot.rs"]
mod blocking_bot;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/memory.rs"]
mod memory;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/poll_bot.rs"]
mod poll_bot;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/threads_bot.rs"]
mod threads_bot;

const TOKEN: &str = "bot-test-token";
/// Far longer than anything takes here.
const LIMIT: Duration = Duration::from_secs(60);

/// One way of running the small bot.
type Bot = fn(&mut Report<Vec<u8>, Vec<u8>>) -> u8;

const RAW_BOTS: &[(&str, Bot)] = &[
    ("blocking", |report| blocking_bot::run(report, &AtomicBool::new(false))),
    ("threads", |report| threads_bot::run(report, &AtomicBool::new(false), Cursor::new(Vec::new()))),
    ("poll", |report| poll_bot::run(report, &AtomicBool::new(false))),
];

fn tokio_bot(report: &mut Report<Vec<u8>, Vec<u8>>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bot::run(TokioRuntime, None, report))
}

fn server(tls: bool) -> Server {
    let mut gateway = Config::default();
    gateway.token = TOKEN.to_owned();
    // Several bots identify one after the other here; how they are spaced is not what these tests look at.
    gateway.identify_interval = Duration::ZERO;
    let mut config = ServerConfig::from(gateway);
    config.tls = tls.then(Tls::default);
    Server::start(config).unwrap()
}

#[derive(Debug, PartialEq)]
struct Ended {
    status: u8,
    names: Vec<String>,
    summary: Value,
}

fn run(bot: Bot, server: &Server, flags: &[&str]) -> Ended {
    run_with_log(bot, server, flags).0
}

fn run_with_log(bot: Bot, server: &Server, flags: &[&str]) -> (Ended, String) {
    let url = server.url();
    let mut arguments = vec!["--url", &url, "--token", TOKEN];
    let file = std::env::temp_dir().join(format!("gateway-root-{}.pem", server.address().port()));
    if let Some(root) = server.root_certificate() {
        std::fs::write(&file, root).unwrap();
        arguments.extend(["--ca", file.to_str().unwrap()]);
    }
    arguments.extend(flags);
    let Asked::Run(options) = Options::parse(arguments, None).unwrap() else {
        panic!("no help was asked for")
    };
    let mut report = Report::new(options, Vec::new(), Vec::new());
    let status = bot(&mut report);
    if server.root_certificate().is_some() {
        std::fs::remove_file(&file).unwrap();
    }
    let (output, log) = report.into_writers();
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    let names = lines.iter().map(|line| format!("{} {}", line["s"], line["t"])).collect();
    (Ended { status, names, summary }, String::from_utf8(log).unwrap())
}

#[test]
fn every_encoding_and_compression_plain_and_over_tls() {
    for tls in [false, true] {
        let server = server(tls);
        for (encoding, compression) in [
            ("json", "none"),
            ("json", "payload"),
            ("json", "zlib-stream"),
            ("json", "zstd-stream"),
            ("etf", "none"),
            ("etf", "zlib-stream"),
            ("etf", "zstd-stream"),
        ] {
            let flags = ["--encoding", encoding, "--compress", compression, "--events", "3"];
            let expected = run(tokio_bot, &server, &flags);
            assert_eq!((expected.status, expected.names.len()), (0, 3));
            for (name, bot) in RAW_BOTS {
                let (ended, log) = run_with_log(*bot, &server, &flags);
                assert_eq!(ended, expected, "{name}, {encoding}, {compression}, tls: {tls}: {log}");
            }
        }
    }
}

/// Each fault comes when READY and the guilds have been seen; after it come more events, which end the bot.
#[test]
fn faults_are_survived_as_the_tokio_bot_survives_them() {
    let faults: &[(&str, &[Control])] = &[
        ("opcode 7", &[Control::Reconnect { then_emit: 1 }]),
        ("end of stream", &[Control::Drop]),
        ("reset", &[Control::Abort]),
        ("half a message", &[Control::Cut]),
        ("close code", &[Control::Close { code: Some(4000) }]),
        ("opcode 9, false", &[Control::Invalid { resumable: false }]),
        ("opcode 9, true", &[Control::Invalid { resumable: true }]),
    ];
    for tls in [false, true] {
        for (fault, controls) in faults {
            std::thread::scope(|scope| {
                let expected = scope.spawn(move || run_through(tokio_bot, tls, controls));
                let run = |(name, bot): &'static (&str, Bot)| {
                    (name, scope.spawn(move || run_through(*bot, tls, controls)))
                };
                let bots: Vec<_> = RAW_BOTS.iter().map(run).collect();
                let (expected, _) = expected.join().unwrap();
                for (name, bot) in bots {
                    let (ended, log) = bot.join().unwrap();
                    assert_eq!(ended, expected, "{name}, {fault}, tls: {tls}: {log}");
                    assert_eq!(ended.status, 0);
                }
            });
        }
    }
}

fn run_through(bot: Bot, tls: bool, controls: &[Control]) -> (Ended, String) {
    let server = server(tls);
    std::thread::scope(|scope| {
        let bot = scope.spawn(|| run_with_log(bot, &server, &["--events", "6"]));
        server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
        for control in controls {
            server.control(control.clone()).unwrap();
        }
        let again = |counters: &gateway_sim::Counters| counters.resumed + counters.readies >= 2;
        server.wait(LIMIT, |gateway| again(gateway.counters()).then_some(())).unwrap();
        server.control(Control::Emit { count: 3, padding: 0 }).unwrap();
        bot.join().unwrap()
    })
}

#[test]
fn refused_upgrades_are_waited_out() {
    for (name, bot) in RAW_BOTS {
        let server = server(false);
        let mut busy = Response::empty(503).header("Retry-After", "0.1");
        busy.body = "maintenance".to_owned();
        server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(busy)))).unwrap();
        let (ended, log) = run_with_log(*bot, &server, &["--events", "3"]);
        assert_eq!((ended.status, ended.names.len()), (0, 3), "{name}: {log}");
        assert!(log.contains("refused with HTTP status 503, retry after 0.1 s"), "{name}: {log}");
    }
}

#[test]
fn fatal_closes_end_the_bots() {
    let server = server(false);
    for (name, bot) in RAW_BOTS {
        let (ended, log) = run_with_log(*bot, &server, &["--token", "another"]);
        assert_eq!(ended.status, 2, "{name}: {log}");
        assert_eq!(ended, run(tokio_bot, &server, &["--token", "another"]), "{name}: {log}");
    }
}

/// Without the root, nobody is spoken to.
#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let mut gateway = Config::default();
    gateway.token = TOKEN.to_owned();
    let mut config = ServerConfig::from(gateway);
    config.tls = Some(Tls::default());
    let server = Server::start(config).unwrap();
    for (name, bot) in RAW_BOTS {
        let url = server.url();
        let Asked::Run(options) =
            Options::parse(["--url", &url, "--token", TOKEN, "--seconds", "0.3"], None).unwrap()
        else {
            panic!("no help was asked for")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 0);
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("the TLS handshake failed"), "{name}: {log}");
    }
    let connects = server.wait(LIMIT, |gateway| Some(gateway.counters().connects));
    assert_eq!(connects, Some(0));
}

#[test]
fn all_shards_run_on_one_thread() {
    let server = server(true);
    let poll = RAW_BOTS[2].1;
    // READY for each shard, and each of the two guilds on one of them.
    let ended = run(poll, &server, &["--shard", "0,2", "--events", "4"]);
    assert_eq!(ended.status, 0);
    assert_eq!(ended.summary["identifies"], 2);
    let readies = ended.names.iter().filter(|name| name.contains("READY"));
    assert_eq!(readies.count(), 2);
}

#[test]
fn lines_become_the_status() {
    let server = server(false);
    let bot: Bot = |report| threads_bot::run(report, &AtomicBool::new(false), Cursor::new("one\ntwo\n"));
    std::thread::scope(|scope| {
        let bot = scope.spawn(|| run(bot, &server, &["--events", "4", "--seconds", "30"]));
        // Of statuses that wait together only the newest is sent, so there may be one or two.
        let sent = server.wait(LIMIT, |gateway| (gateway.counters().commands >= 1).then_some(()));
        server.control(Control::Emit { count: 5, padding: 0 }).unwrap();
        assert_eq!((sent, bot.join().unwrap().status), (Some(()), 0));
    });
}

#[test]
fn an_hour_in_memory_misses_nothing() {
    let begin = Instant::now();
    let mut world = memory::World::new(begin);
    world.run_until(begin + Duration::from_secs(1800));
    world.control(Control::Abort);
    world.run_until(begin + Duration::from_secs(3600));
    let dispatches = world.connection.stats().dispatches;
    assert_eq!(dispatches, world.gateway.ledger().newest(1));
    assert!(dispatches > 5_000, "{dispatches}");
    assert_eq!(world.connection.stats().resumed, 1);
}
