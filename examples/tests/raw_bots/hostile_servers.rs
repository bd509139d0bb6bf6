//! Servers that flood a bot or send to it byte by byte.

use std::collections::VecDeque;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report};
use gateway_sim::{Config, Control, Server, ServerConfig, Tls};
use serde_json::Value;

use crate::support::{Folder, LIMIT, TOKEN};
use crate::{blocking_bot, poll_bot, threads_bot};

/// A bot that ends when the flag is set.
type InterruptibleBot = fn(&mut Report<Vec<u8>, Log>, &AtomicBool) -> u8;

const INTERRUPTIBLE_BOTS: [(&str, InterruptibleBot); 3] = [
    ("blocking", |report, interrupted| blocking_bot::run(report, interrupted)),
    ("threads", |report, interrupted| threads_bot::run(report, interrupted, Cursor::new(Vec::new()))),
    ("poll", |report, interrupted| poll_bot::run(report, interrupted)),
];

/// A log that sets the interrupt flag once a text was written to it a number of times.
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

/// Runs a bot, interrupts it once its log contains `awaited` in `times` lines, and returns its status, its stop reason and the log.
fn run_until_logged(
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
    let Invocation::Run(mut options) = Options::parse(flags, None).unwrap() else {
        panic!("not a run of the bot")
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

/// Listens, and serves `clients` clients one after the other. The thread returns whether the last one disconnected while the
/// server still had bytes to send.
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

/// Sends payloads with an unknown opcode as fast as the socket takes them. Returns whether the client disconnected.
fn flood(client: TcpStream) -> bool {
    /// Far more than a bot reads while it handles a thousand payloads.
    const BLOCKS: usize = 4000;
    let mut websocket = tungstenite::accept(client).unwrap();
    let hello = r#"{"op":10,"d":{"heartbeat_interval":41250},"s":null,"t":null}"#;
    websocket.send(tungstenite::Message::text(hello)).unwrap();
    let payload = br#"{"op":99,"d":null}"#;
    let frame = [&[0x81, payload.len() as u8], &payload[..]].concat();
    let block = frame.repeat(1000);
    (0..BLOCKS).any(|_| websocket.get_mut().write_all(&block).is_err())
}

/// A bot handles the outputs of a read before the next read, so that under a flood it prints events, uses little memory, and notices
/// an interrupt.
#[test]
fn a_flood_does_not_delay_an_interrupt() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let (port, server) = hostile(1, flood);
        let url = format!("ws://127.0.0.1:{port}");
        let (status, stop, log) = run_until_logged(bot, &["--url", &url], "99", 1000);
        assert_eq!((status, stop.as_str()), (0, "log-off"), "{name}: {}", &log[..log.len().min(1000)]);
        assert!(server.join().unwrap(), "{name}: it read until the end of the flood");
    }
}

/// The time between two bytes of a slow server.
const PACE: Duration = Duration::from_millis(10);

/// Writes one byte at a time. Returns whether the client disconnected before the last one.
fn trickle(client: &mut TcpStream, bytes: impl IntoIterator<Item = u8>) -> bool {
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(PACE)).unwrap();
    bytes.into_iter().any(|byte| client.write_all(&[byte]).is_err() || ends_before_the_next_byte(client))
}

/// Waits for the end of the client's stream until the next byte is due.
fn ends_before_the_next_byte(client: &mut TcpStream) -> bool {
    loop {
        match client.read(&mut [0; 1024]) {
            Ok(1..) => {}
            Ok(0) => return true,
            Err(error) => return !is_timeout(&error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The beginning of a TLS record with a ServerHello. At the pace of [`trickle`] it takes a minute.
fn server_hello() -> impl Iterator<Item = u8> {
    [0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc].into_iter().chain([0; 6000])
}

/// Reads the ClientHello, and answers with these bytes one at a time.
fn trickling_handshake(mut client: TcpStream, bytes: impl IntoIterator<Item = u8>) -> bool {
    assert!(client.read(&mut [0; 1024]).unwrap() > 0);
    trickle(&mut client, bytes)
}

#[test]
fn one_deadline_applies_to_the_whole_handshake() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let (port, server) = hostile(1, |client| trickling_handshake(client, server_hello()));
        let url = format!("wss://127.0.0.1:{port}");
        let flags = ["--url", &url, "--connect-timeout", "0.3"];
        let (status, _, log) = run_until_logged(bot, &flags, "disconnected", 1);
        assert_eq!(status, 0, "{name}: {log}");
        assert!(server.join().unwrap(), "{name}: it waited for the end of the handshake: {log}");
    }
}

#[test]
fn an_interrupt_ends_a_handshake() {
    for (name, bot) in INTERRUPTIBLE_BOTS {
        let interrupted = Arc::new(AtomicBool::new(false));
        let set = interrupted.clone();
        let (port, server) = hostile(1, move |client| {
            let bytes = server_hello().enumerate();
            trickling_handshake(
                client,
                bytes.inspect(|(at, _)| set.store(*at >= 5, Ordering::SeqCst)).map(|(_, byte)| byte),
            )
        });
        let url = format!("wss://127.0.0.1:{port}");
        let flags = ["--url", &url, "--connect-timeout", "3600"];
        let (status, _, log) = run_interrupted_by(bot, &flags, "nothing", 1, interrupted);
        assert_eq!(status, 0, "{name}: {log}");
        assert!(server.join().unwrap(), "{name}: {log}");
    }
}

/// TLS yields no data within a record. Heartbeats are still due, and once they are unanswered the connection is dead.
#[test]
fn a_slow_record_delays_no_timeout() {
    /// Bytes: it takes more than two minutes to arrive, and a dead connection is noticed in seconds.
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
            let bot =
                scope.spawn(|| run_until_logged(bot, &["--url", &url, "--ca", &root], "disconnected", 1));
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

/// Forwards bytes; while `trickling` is set, one at a time to the client. The thread returns whether the client disconnected before
/// a record of this length had passed.
fn slow_proxy(to: u16, record: usize, trickling: Arc<AtomicBool>) -> (u16, JoinHandle<bool>) {
    hostile(1, move |mut client| {
        client.set_nodelay(true).unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let client_ended = Arc::new(AtomicBool::new(false));
        let ended = client_ended.clone();
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            ended.store(true, Ordering::SeqCst);
            // Ends the read below.
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut buffer, mut queue, mut trickled) = ([0; 16 << 10], VecDeque::new(), 0);
        let left = loop {
            // With bytes in the queue the wait ends when the next one is due.
            server.set_read_timeout((!queue.is_empty()).then_some(PACE)).unwrap();
            let sent = match server.read(&mut buffer) {
                Ok(count @ 1..) if trickling.load(Ordering::SeqCst) => {
                    queue.extend(&buffer[..count]);
                    Ok(())
                }
                Ok(count @ 1..) => client.write_all(&buffer[..count]),
                Err(error) if is_timeout(&error) => {
                    trickled += 1;
                    client.write_all(queue.pop_front().as_slice())
                }
                // The client may still be waiting for the bytes in the queue.
                Ok(0) | Err(_) => {
                    let rest = queue.drain(..).inspect(|_| trickled += 1);
                    break client_ended.load(Ordering::SeqCst) || trickle(&mut client, rest);
                }
            };
            if sent.is_err() {
                break true;
            }
        };
        left && trickled < record
    })
}
