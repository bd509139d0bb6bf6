//! Invariants of a connection over bytes, for any bytes at any time.

use std::time::{Duration, Instant};

use gateway_proto::command::Presence;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Command, Compression, ConnectError, Encoding, Event, Intents, Reconnect, ShardConfig};
use gateway_sim::{FromClient, WebSocketServer, frame, switching_protocols};

/// No panic, bounded memory, one stream at a time, always a deadline; and the same effect of bytes passed one by one as
/// of bytes passed together.
///
/// The data is a list of steps: a byte for its kind, and its arguments.
pub fn raw_connection(data: &[u8]) {
    let Some((format, mut rest)) = data.split_first() else { return };
    let start = Instant::now();
    let mut whole = Client::new(*format, start);
    let mut pieces = Client::new(*format, start);
    let mut now = start;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        let bytes = match step % 16 {
            0..=2 => take(&mut rest).to_vec(),
            3..=6 => frame(0x81, take(&mut rest)),
            7 => frame(0x82, take(&mut rest)),
            8 => {
                let first = take_byte(&mut rest);
                frame(first, take(&mut rest))
            }
            9 => whole.answer_to_upgrade(),
            _ => Vec::new(),
        };
        match step % 16 {
            0..=9 => {
                whole.bytes(&bytes, now);
                for byte in bytes.chunks(1) {
                    pieces.bytes(byte, now);
                }
            }
            other => {
                let argument = take_byte(&mut rest);
                now += Duration::from_millis(u64::from(argument) * 500).mul_f64(f64::from(other == 12));
                for client in [&mut whole, &mut pieces] {
                    client.other(other, argument, now);
                }
            }
        }
        assert_eq!(whole.seen, pieces.seen);
        assert_eq!(whole.connection.transmit().len(), pieces.connection.transmit().len());
        whole.seen.clear();
        pieces.seen.clear();
    }
}

struct Client {
    connection: Connection,
    /// Whether a stream must be shut down, and whether it was opened.
    wanted: bool,
    opened: bool,
    seen: Vec<String>,
}

impl Client {
    fn new(format: u8, now: Instant) -> Self {
        let mut config = ShardConfig::new("token", Intents::GUILDS);
        config.url = "ws://gateway.example".to_owned();
        config.seed = Some(u64::from(format));
        config.encoding = if format & 1 == 0 { Encoding::Json } else { Encoding::Etf };
        config.compression = match format & 6 {
            2 => Compression::ZlibStream,
            4 => Compression::ZstdStream,
            _ => Compression::None,
        };
        config.limits.message_bytes = 1 << 16;
        config.limits.inflated_bytes = 1 << 16;
        let connection = Connection::new(config, now).expect("the configuration is right");
        let mut this = Self { connection, wanted: false, opened: false, seen: Vec::new() };
        this.drain(now);
        this
    }

    fn other(&mut self, step: u8, argument: u8, now: Instant) {
        let input = match step {
            10 => Input::Opened,
            11 => match argument % 4 {
                0 => Input::ConnectFailed(ConnectError::Tcp("gateway.example".to_owned())),
                1 => Input::Failed("gateway.example".to_owned()),
                _ => Input::EndOfStream,
            },
            13 => Input::IdentifyGranted,
            14 => {
                self.connection.transmitted(usize::from(argument) * 16);
                return;
            }
            15 => {
                match argument % 4 {
                    0 => self.connection.reconnect(Reconnect::Resume),
                    1 => self.connection.reconnect(Reconnect::Fresh),
                    _ => drop(self.connection.send(Command::UpdatePresence(Presence::default()))),
                }
                Input::Timeout
            }
            _ if argument == 251 => Input::ReadingPaused,
            _ if argument == 252 => Input::ReadingResumed,
            _ => Input::Timeout,
        };
        self.input(input, now);
    }

    fn bytes(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let before = bytes.len();
            self.connection.handle_bytes(&mut bytes, now);
            assert!(bytes.len() < before, "without outputs that wait some are taken");
            self.drain(now);
        }
    }

    fn input(&mut self, input: Input, now: Instant) {
        match input {
            Input::Opened => self.opened |= self.wanted,
            Input::ConnectFailed(_) => self.wanted &= self.opened,
            _ => {}
        }
        self.connection.handle_input(input, now);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 100_000, "it comes to rest");
            let output = self.connection.poll_output();
            match &output {
                Output::Timeout(deadline) => {
                    // Bytes that complete no message do not move the clock.
                    if *deadline <= now {
                        self.connection.handle_input(Input::Timeout, now);
                        continue;
                    }
                    break;
                }
                Output::Stopped(_) => break,
                Output::Connect(_) => {
                    assert!(!std::mem::replace(&mut self.wanted, true), "one stream at a time");
                    self.opened = false;
                }
                Output::ShutDown => assert!(std::mem::take(&mut self.wanted)),
                Output::Event(Event::Disconnected(_) | Event::Dispatch(_)) => {}
                Output::Event(_) | Output::AcquireIdentify | Output::CancelIdentify => {}
            }
            self.seen.push(format!("{output:?}"));
        }
        assert!(self.connection.transmit().len() <= 64 << 10);
    }

    /// The valid answer, if there is an upgrade request.
    fn answer_to_upgrade(&self) -> Vec<u8> {
        let mut server = WebSocketServer::default();
        server.receive(self.connection.transmit());
        match server.poll() {
            Some(FromClient::Request(request)) => {
                request.upgrade_key().map(switching_protocols).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

fn take_byte(rest: &mut &[u8]) -> u8 {
    take_count(rest, 1).first().copied().unwrap_or_default()
}

/// As many bytes as the next one says.
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let count = take_byte(rest);
    take_count(rest, usize::from(count))
}

fn take_count<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(count.min(rest.len()));
    *rest = after;
    taken
}
