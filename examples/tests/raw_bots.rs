//! The bots that bring their own socket, against the simulator: what they print and how they end is what the tokio bot does.

use std::io::{self, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_driver::store::{FileIdentifyStore, FileSessionStore, IdentifyStore, SessionStore};

use gateway_examples::options::Asked;
use gateway_examples::{Options, Report, bot};
use gateway_proto::ShardId;
use gateway_proto::identify::IdentifyQueue;
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
    let (ended, _, log) = run_for_lines(bot, server, flags);
    (ended, log)
}

fn run_for_lines(bot: Bot, server: &Server, flags: &[&str]) -> (Ended, Vec<Value>, String) {
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
    (Ended { status, names, summary }, lines, String::from_utf8(log).unwrap())
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
fn refused_upgrades_are_waited_out_as_the_tokio_bot_waits() {
    let refused = |bot: Bot, tls| {
        let server = server(tls);
        let mut busy = Response::empty(503).header("Retry-After", "0.1");
        busy.body = "maintenance".to_owned();
        server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(busy)))).unwrap();
        run_with_log(bot, &server, &["--events", "3"])
    };
    for tls in [false, true] {
        let (expected, _) = refused(tokio_bot, tls);
        assert_eq!((expected.status, expected.names.len()), (0, 3));
        for (name, bot) in RAW_BOTS {
            let (ended, log) = refused(*bot, tls);
            assert_eq!(ended, expected, "{name}, tls: {tls}: {log}");
            assert!(log.contains("refused with HTTP status 503, retry after 0.1 s"), "{name}: {log}");
        }
    }
}

#[test]
fn every_close_code_that_is_final_ends_the_bots() {
    let closed = |bot: Bot, code| {
        let server = server(false);
        std::thread::scope(|scope| {
            let bot = scope.spawn(|| run_with_log(bot, &server, &["--events", "100"]));
            server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
            server.control(Control::Close { code: Some(code) }).unwrap();
            bot.join().unwrap()
        })
    };
    for code in [4004, 4010, 4011, 4012, 4013, 4014] {
        let (expected, _) = closed(tokio_bot, code);
        assert_eq!((expected.status, expected.names.len()), (2, 3), "{code}");
        assert_eq!(expected.summary["stop"], format!("rejected-{code}"));
        for (name, bot) in RAW_BOTS {
            let (ended, log) = closed(*bot, code);
            assert_eq!(ended, expected, "{name}, {code}: {log}");
            assert!(log.contains("the gateway refused the bot"), "{name}: {log}");
        }
    }
}

#[test]
fn a_wrong_token_ends_the_bots() {
    let server = server(false);
    for (name, bot) in RAW_BOTS {
        let (ended, log) = run_with_log(*bot, &server, &["--token", "another"]);
        assert_eq!(ended.status, 2, "{name}: {log}");
        assert_eq!(ended, run(tokio_bot, &server, &["--token", "another"]), "{name}: {log}");
    }
}

/// What two runs have in common: session id and ids differ.
fn names_and_keys(line: &Value) -> (String, Vec<String>) {
    let mut keys: Vec<String> = line["d"].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    (line["t"].as_str().unwrap().to_owned(), keys)
}

#[test]
fn the_data_is_shown_where_it_is_asked_for() {
    let server = server(false);
    let flags = ["--full", "--events", "3", "--encoding", "etf", "--compress", "zstd-stream"];
    let shown = |bot| run_for_lines(bot, &server, &flags).1.iter().map(names_and_keys).collect::<Vec<_>>();
    let expected = shown(tokio_bot);
    assert!(expected.iter().all(|(_, keys)| !keys.is_empty()) && expected.len() == 3);
    for (name, bot) in RAW_BOTS {
        assert_eq!(shown(*bot), expected, "{name}");
    }
    let short = run_for_lines(RAW_BOTS[0].1, &server, &["--events", "1"]).1;
    assert_eq!(short[0].get("d"), None);
}

fn all_bots() -> impl Iterator<Item = (&'static str, Bot)> {
    [("tokio", tokio_bot as Bot)].into_iter().chain(RAW_BOTS.iter().copied())
}

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-raw-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_session_file_carries_on_where_the_last_run_ended() {
    let folder = Folder::new("session");
    for (name, bot) in all_bots() {
        let server = server(false);
        let file = folder.file(name);
        let mut seen = Vec::new();
        for round in 0..3 {
            let (ended, log) = std::thread::scope(|scope| {
                let bot = scope.spawn(|| run_with_log(bot, &server, &["--session", &file, "--events", "10"]));
                let begun =
                    move |counters: &gateway_sim::Counters| counters.readies + counters.resumed > round;
                server.wait(LIMIT, |gateway| begun(gateway.counters()).then_some(())).unwrap();
                server.control(Control::Emit { count: 12, padding: 0 }).unwrap();
                bot.join().unwrap()
            });
            assert_eq!(ended.summary["stop"], "resumable", "{name}: {log}");
            assert_eq!(ended.summary["identifies"], u64::from(round == 0), "{name}: {log}");
            seen.extend(ended.names.iter().map(|name| name.split(' ').next().unwrap().to_owned()));
        }
        let expected: Vec<String> = (1..=30).map(|sequence| sequence.to_string()).collect();
        assert_eq!(seen, expected, "{name}: in order, once each, with no gap between the runs");
    }
}

/// Whoever is killed leaves behind what was written until then. With `--ack` the next run shows everything behind it.
#[test]
fn a_bot_that_is_killed_loses_nothing() {
    let folder = Folder::new("killed");
    for (name, bot) in all_bots() {
        let server = server(false);
        let (file, copy) = (folder.file(name), folder.file(&format!("{name}-copy")));
        let emit = |count| server.control(Control::Emit { count, padding: 0 }).unwrap();
        let sequence = std::thread::scope(|scope| {
            let first = scope.spawn(|| run(bot, &server, &["--session", &file, "--ack", "--events", "200"]));
            server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
            emit(147);
            let store = FileSessionStore::in_file(&file);
            let begin = Instant::now();
            let sequence = loop {
                let kept = store.load(ShardId::ONE).unwrap().map_or(0, |session| session.sequence());
                if kept >= 100 {
                    break kept;
                }
                assert!(begin.elapsed() < LIMIT, "{name}: {kept} is what was kept");
                std::thread::yield_now();
            };
            // The bot is still running: this is what it would leave behind.
            std::fs::copy(&file, &copy).unwrap();
            std::fs::copy(format!("{file}.identifies"), format!("{copy}.identifies")).unwrap();
            assert!(!first.is_finished(), "{name}");
            emit(50);
            let first = first.join().unwrap();
            assert_eq!(first.names.len(), 200, "{name}");
            sequence
        });
        let kept = FileSessionStore::in_file(&copy).load(ShardId::ONE).unwrap().unwrap().sequence();
        assert!(kept >= sequence);
        let again = (200 - kept).to_string();
        let (ended, log) = run_with_log(bot, &server, &["--session", &copy, "--ack", "--events", &again]);
        let expected: Vec<String> = (kept + 1..=200).map(|sequence| sequence.to_string()).collect();
        let shown: Vec<&str> = ended.names.iter().map(|name| name.split(' ').next().unwrap()).collect();
        assert_eq!(shown, expected, "{name}: {log}");
        assert_eq!(
            (&ended.summary["identifies"], &ended.summary["resumes"]),
            (&0.into(), &1.into()),
            "{name}"
        );
    }
}

/// Leaves 900 session starts of the last minutes beside this session file.
fn spend_the_budget(file: &str) {
    let mut queue = IdentifyQueue::new(u32::MAX);
    let now = Instant::now();
    for shard in 0..900 {
        queue.request(ShardId::new(shard, 900).unwrap());
        queue.poll_output(now).unwrap();
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let store = FileIdentifyStore::in_file(format!("{file}.identifies"));
    store.save(&queue.snapshot(now).with_wall_clock(clock)).unwrap();
}

#[test]
fn a_spent_budget_stops_the_bots_before_they_begin() {
    let folder = Folder::new("spent");
    let server = server(false);
    for (name, bot) in all_bots() {
        let file = folder.file(name);
        spend_the_budget(&file);
        let url = server.url();
        let flags = ["--url", &url, "--token", TOKEN, "--session", &file];
        let Asked::Run(options) = Options::parse(flags, None).unwrap() else {
            panic!("no help was asked for")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 2, "{name}");
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("1 sessions cannot be started: 100 starts are left"), "{name}: {log}");
    }
    assert_eq!(server.wait(LIMIT, |gateway| Some(gateway.counters().connects)), Some(0));
}

/// They may resume. Once the session is over, they say why they stop.
#[test]
fn a_budget_that_is_spent_stops_the_bots_when_they_need_it() {
    let folder = Folder::new("resumes");
    let run = |name, bot| {
        let server = server(false);
        let file = folder.file(name);
        let flags = ["--session", &file, "--events", "3"];
        assert_eq!(run(bot, &server, &flags).summary["identifies"], 1);
        spend_the_budget(&file);
        std::thread::scope(|scope| {
            let bot = scope.spawn(|| run_with_log(bot, &server, &["--session", &file]));
            server.wait(LIMIT, |gateway| (gateway.counters().resumed >= 1).then_some(())).unwrap();
            server.control(Control::Invalid { resumable: false }).unwrap();
            bot.join().unwrap()
        })
    };
    let (expected, _) = run("tokio", tokio_bot);
    assert_eq!((expected.status, &expected.summary["stop"]), (2, &Value::from("identify-refused")));
    assert_eq!((&expected.summary["identifies"], &expected.summary["resumes"]), (&0.into(), &1.into()));
    for (name, bot) in RAW_BOTS {
        let (ended, log) = run(name, *bot);
        assert_eq!(ended, expected, "{name}: {log}");
        assert!(log.contains("no session may be started: 100 starts are left"), "{name}: {log}");
    }
}

/// Each start is counted in the file before the gateway sees it, and its distance to the last one kept.
#[test]
fn session_starts_are_counted_from_run_to_run() {
    let folder = Folder::new("counted");
    let server = server(false);
    for (name, bot) in all_bots() {
        let file = folder.file(name);
        run(bot, &server, &["--session", &file, "--events", "1"]);
        let kept = FileIdentifyStore::in_file(format!("{file}.identifies")).load().unwrap().unwrap();
        let mut queue = IdentifyQueue::new(1);
        queue.restore(&kept, Duration::ZERO, Instant::now());
        assert_eq!(queue.remaining(Instant::now()), 999, "{name}");
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
    // READY for each shard, and each of the two guilds on one of them.
    let ended = run(RAW_BOTS[2].1, &server, &["--shards", "2", "--events", "4"]);
    assert_eq!(ended.status, 0);
    assert_eq!(ended.summary["identifies"], 2);
    let readies = ended.names.iter().filter(|name| name.contains("READY"));
    assert_eq!(readies.count(), 2);
}

#[test]
fn one_shard_of_many_is_one() {
    let server = server(false);
    for (name, bot) in all_bots() {
        let (_, lines, log) = run_for_lines(bot, &server, &["--shard", "1,2", "--events", "2", "--full"]);
        assert_eq!(lines[0]["d"]["shard"], serde_json::json!([1, 2]), "{name}: {log}");
        assert_eq!(lines[1]["t"], "GUILD_CREATE", "{name}: {log}");
    }
}

#[test]
fn many_shards_are_refused_by_the_bots_that_run_one() {
    for (name, bot) in all_bots().filter(|(name, _)| *name != "poll") {
        let Asked::Run(options) =
            Options::parse(["--token", TOKEN, "--url", "ws://127.0.0.1:1", "--shards", "2"], None).unwrap()
        else {
            panic!("no help was asked for")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 2, "{name}");
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("--shards cannot be used: this bot runs one shard"), "{name}: {log}");
    }
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

// ---- Hostile servers ---------------------------------------------------------------------------------------------------

/// One way of running the small bot, which ends when the flag is set.
type InterruptibleBot = fn(&mut Report<Vec<u8>, Log>, &AtomicBool) -> u8;

const INTERRUPTIBLE_BOTS: [(&str, InterruptibleBot); 3] = [
    ("blocking", |report, interrupted| blocking_bot::run(report, interrupted)),
    ("threads", |report, interrupted| threads_bot::run(report, interrupted, Cursor::new(Vec::new()))),
    ("poll", |report, interrupted| poll_bot::run(report, interrupted)),
];

/// A log that sets the flag of an interrupt once it has said something often enough.
struct Log {
    text: Vec<u8>,
    awaited: &'static str,
    missing: usize,
    interrupted: Arc<AtomicBool>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begin = self.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.text.extend_from_slice(bytes);
        if self.text.ends_with(b"\n") && String::from_utf8_lossy(&self.text[begin..]).contains(self.awaited) {
            self.missing = self.missing.saturating_sub(1);
            self.interrupted.fetch_or(self.missing == 0, Ordering::SeqCst);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a bot until its log has said this so many times, and it has ended. Gives its status, how it ended, and the log.
fn run_until_said(
    bot: InterruptibleBot,
    flags: &[&str],
    awaited: &'static str,
    times: usize,
) -> (u8, String, String) {
    run_interrupted_by(bot, flags, awaited, times, Arc::default())
}

fn run_interrupted_by(
    bot: InterruptibleBot,
    flags: &[&str],
    awaited: &'static str,
    times: usize,
    interrupted: Arc<AtomicBool>,
) -> (u8, String, String) {
    let flags = ["--token", TOKEN].iter().chain(flags).copied();
    let Asked::Run(mut options) = Options::parse(flags, None).unwrap() else {
        panic!("no help was asked for")
    };
    // A flood does not answer a close frame.
    options.config.timeouts.close = Duration::from_millis(100);
    let log = Log { text: Vec::new(), awaited, missing: times, interrupted: interrupted.clone() };
    let mut report = Report::new(options, Vec::new(), log);
    let status = bot(&mut report, &interrupted);
    let (output, log) = report.into_writers();
    let last = output.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let summary: Value = serde_json::from_slice(last).unwrap();
    let stop = summary["summary"]["stop"].as_str().unwrap().to_owned();
    (status, stop, String::from_utf8(log.text).unwrap())
}

/// Listens, and plays this server for one client after the other. The thread's answer: whether the last one left while the server
/// still had something to send.
fn hostile(
    clients: usize,
    mut serve: impl FnMut(TcpStream) -> bool + Send + 'static,
) -> (u16, JoinHandle<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let mut left = false;
        for client in listener.incoming().take(clients) {
            left = serve(client.unwrap());
        }
        left
    });
    (port, thread)
}

/// Payloads of an opcode that there is not, without end and as fast as they go. True: the client left.
fn flood(client: TcpStream) -> bool {
    /// Far more than a bot reads before it is through with a thousand of them.
    const BLOCKS: usize = 4000;
    let mut websocket = tungstenite::accept(client).unwrap();
    let hello = r#"{"op":10,"d":{"heartbeat_interval":41250},"s":null,"t":null}"#;
    websocket.send(tungstenite::Message::text(hello)).unwrap();
    let payload = br#"{"op":99,"d":null}"#;
    let frame = [&[0x81, payload.len() as u8], &payload[..]].concat();
    let block = frame.repeat(1000);
    (0..BLOCKS).any(|_| websocket.get_mut().write_all(&block).is_err())
}

/// Each read is followed by the outputs of its messages, so that a bot that is flooded goes on showing events, stays small, and
/// heeds an interrupt.
#[test]
fn a_flood_does_not_keep_a_bot_from_being_interrupted() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let (port, server) = hostile(1, flood);
        let url = format!("ws://127.0.0.1:{port}");
        let (status, stop, log) = run_until_said(bot, &["--url", &url], "99", 1000);
        assert_eq!((status, stop.as_str()), (0, "log-off"), "{name}: {}", &log[..log.len().min(1000)]);
        assert!(server.join().unwrap(), "{name}: it went on until the flood was over");
    }
}

/// Writes a byte now and then. True: the client left before the last one.
fn trickle(client: &mut TcpStream, bytes: impl IntoIterator<Item = u8>) -> bool {
    client.set_nodelay(true).unwrap();
    bytes.into_iter().any(|byte| {
        // What makes it a trickle.
        thread::sleep(Duration::from_millis(10));
        client.write_all(&[byte]).is_err()
    })
}

/// A TLS record that begins like the server's hello, and takes minutes to come.
fn trickling_handshake(mut client: TcpStream) -> bool {
    assert!(client.read(&mut [0; 1024]).unwrap() > 0);
    trickle(&mut client, [0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc].into_iter().chain([0; 6000]))
}

#[test]
fn one_deadline_is_for_the_whole_handshake() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let (port, server) = hostile(1, trickling_handshake);
        let url = format!("wss://127.0.0.1:{port}");
        let flags = ["--url", &url, "--connect-timeout", "0.3"];
        let (status, _, log) = run_until_said(bot, &flags, "disconnected", 1);
        assert_eq!(status, 0, "{name}: {log}");
        assert!(server.join().unwrap(), "{name}: it waited for the end of the handshake: {log}");
    }
}

#[test]
fn an_interrupt_ends_a_handshake() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let interrupted = Arc::new(AtomicBool::new(false));
        let set = interrupted.clone();
        let (port, server) = hostile(1, move |mut client| {
            let begun = trickle(&mut client, [0x16, 3, 3, 0x40, 0]);
            set.store(true, Ordering::SeqCst);
            begun || trickling_handshake(client)
        });
        let url = format!("wss://127.0.0.1:{port}");
        let flags = ["--url", &url, "--connect-timeout", "3600"];
        let (status, _, log) = run_interrupted_by(bot, &flags, "nothing", 1, interrupted);
        assert_eq!(status, 0, "{name}: {log}");
        assert!(server.join().unwrap(), "{name}: {log}");
    }
}

/// Within a TLS record nothing comes out of TLS, however many bytes come: heartbeats are due all the same, and the connection is
/// dead once they are not answered.
#[test]
fn a_record_that_trickles_in_does_not_stop_the_clock() {
    /// It takes more than two minutes, and a dead connection is found in seconds.
    const RECORD: usize = 14_000;
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let mut gateway = Config::default();
        gateway.token = TOKEN.to_owned();
        gateway.heartbeat_interval = Duration::from_secs(1);
        let mut config = ServerConfig::from(gateway);
        config.tls = Some(Tls::default());
        let server = Server::start(config).unwrap();
        let folder = Folder::new(&format!("trickle-{name}"));
        let root = folder.file("root.pem");
        std::fs::write(&root, server.root_certificate().unwrap()).unwrap();
        let trickling = Arc::new(AtomicBool::new(false));
        let (port, proxy) = slow_proxy(server.address().port(), RECORD, trickling.clone());
        let url = format!("wss://localhost:{port}");
        thread::scope(|scope| {
            let bot = scope.spawn(|| run_until_said(bot, &["--url", &url, "--ca", &root], "disconnected", 1));
            let shown = server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(()));
            assert_eq!(shown, Some(()), "{name}");
            trickling.store(true, Ordering::SeqCst);
            server.control(Control::Emit { count: 1, padding: RECORD }).unwrap();
            let (status, _, log) = bot.join().unwrap();
            assert_eq!(status, 0, "{name}: {log}");
        });
        assert!(proxy.join().unwrap(), "{name}: it waited for the end of the record");
    }
}

/// Passes bytes on, and when it is told so one now and then to the client. The thread's answer: whether the client left before a
/// record of this length was through.
fn slow_proxy(to: u16, record: usize, trickling: Arc<AtomicBool>) -> (u16, JoinHandle<bool>) {
    hostile(1, move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut buffer, mut trickled) = ([0; 16 << 10], 0);
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            let bytes = &buffer[..count];
            let left = match trickling.load(Ordering::SeqCst) {
                true => trickle(&mut client, bytes.iter().copied().inspect(|_| trickled += 1)),
                false => client.write_all(bytes).is_err(),
            };
            if left {
                return trickled < record;
            }
        }
        false
    })
}

#[test]
fn each_line_names_its_shard_if_there_are_many() {
    let server = server(false);
    let (ended, lines, log) = run_for_lines(RAW_BOTS[2].1, &server, &["--shards", "2", "--events", "4"]);
    assert_eq!(ended.status, 0, "{log}");
    let named = |line: &Value| line["shard"][1] == 2;
    assert!(lines.iter().all(named) && lines.iter().any(|line| line["shard"][0] == 1), "{lines:?}");
    assert!(
        log.lines().all(|line| line.starts_with("shard 0,2: ") || line.starts_with("shard 1,2: ")),
        "{log}"
    );
    let (_, lines, log) = run_for_lines(RAW_BOTS[2].1, &server, &["--events", "2"]);
    assert!(
        lines.iter().all(|line| line.get("shard").is_none())
            && !log.lines().any(|line| line.starts_with("shard ")),
        "{log}"
    );
}
