//! An hour of gateway time in a moment: a connection and a simulated gateway in memory, without a socket, a runtime or a
//! wait. `cargo run --example memory`

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use gateway_examples::options::is_answered;
use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Event, Intents, ShardConfig};
use gateway_sim::{ClientMessage, Config, ConnectionId, Control, Gateway, Target};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

const TOKEN: &str = "memory";

const HELP: &str = "\
An hour of gateway time in a moment, in memory. Prints what the application saw, and how often.

  -h, --help     this text
  -V, --version  the version
";

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
fn main() {
    if is_answered(HELP) {
        return;
    }
    let begin = Instant::now();
    let mut world = World::new(begin);
    world.run_until(begin + Duration::from_secs(1200));
    // The server requests a reconnect and continues to send: no event may be lost.
    world.control(Control::Reconnect { then_emit: 10 });
    world.run_until(begin + Duration::from_secs(2400));
    world.control(Control::Abort);
    world.run_until(begin + Duration::from_secs(3600));
    for (what, count) in &world.seen {
        println!("{count:6} {what}");
    }
    let stats = world.connection.stats();
    println!("{} heartbeats, {} identify, {} resumes", stats.heartbeats, stats.identifies, stats.resumes);
    println!("an hour in {} ms", begin.elapsed().as_millis());
}

/// Both sides and the clock.
pub(crate) struct World {
    now: Instant,
    pub(crate) connection: Connection,
    pub(crate) gateway: Gateway,
    server: Option<Server>,
    /// Whether the client has requested a stream that is not open.
    dialled: bool,
    /// The number of events by name.
    pub(crate) seen: BTreeMap<String, u64>,
}

/// The server's end of a connection.
struct Server {
    id: ConnectionId,
    websocket: WebSocket<Pipe>,
    /// How the stream ends after the buffered bytes.
    end: Option<Input>,
}

impl World {
    pub(crate) fn new(now: Instant) -> Self {
        let mut shard = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
        shard.url = "ws://in-memory".to_owned();
        shard.seed = Some(1);
        let mut gateway = Config::default();
        gateway.token = TOKEN.to_owned();
        gateway.url.clone_from(&shard.url);
        gateway.rate = 5.0;
        Self {
            now,
            connection: Connection::new(shard, now).expect("the configuration is right"),
            gateway: Gateway::new(gateway, now),
            server: None,
            dialled: false,
            seen: BTreeMap::new(),
        }
    }

    /// Advances the time from deadline to deadline, without waiting.
    pub(crate) fn run_until(&mut self, end: Instant) {
        loop {
            let deadline = self.settle();
            let next = self.gateway.poll_timeout().map_or(deadline, |timer| timer.min(deadline));
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.gateway.handle_timeout(self.now);
            if deadline <= self.now {
                self.connection.handle_input(Input::Timeout, self.now);
            }
        }
        self.now = end;
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.gateway.control(Target::All, control, self.now).expect("the command makes sense");
    }

    /// Transfers bytes in both directions until both sides wait. Returns the client's deadline.
    fn settle(&mut self) -> Instant {
        loop {
            let deadline = self.drain();
            let moved = self.open() | self.carry_to_server() | self.carry_to_client();
            if !moved {
                return deadline;
            }
        }
    }

    /// Performs the connection's outputs until it waits.
    fn drain(&mut self) -> Instant {
        loop {
            match self.connection.poll_output() {
                Output::Connect(_) => self.dialled = true,
                Output::ShutDown => {
                    self.dialled = false;
                    if let Some(server) = self.server.take() {
                        self.gateway.receive(server.id, ClientMessage::Gone, self.now);
                    }
                }
                Output::AcquireIdentify => self.connection.handle_input(Input::IdentifyGranted, self.now),
                Output::CancelIdentify => {}
                Output::Event(event) => *self.seen.entry(name(&event)).or_default() += 1,
                Output::Timeout(deadline) => return deadline,
                Output::Stopped(reason) => panic!("{reason}"),
            }
        }
    }

    /// Opens the requested stream: the whole request and the answer are available at once.
    fn open(&mut self) -> bool {
        if !std::mem::take(&mut self.dialled) {
            return false;
        }
        self.connection.handle_input(Input::Opened, self.now);
        let pipe = Pipe { incoming: self.connection.transmit().to_vec(), outgoing: Vec::new() };
        self.connection.transmitted(pipe.incoming.len());
        let mut target = String::new();
        #[expect(clippy::result_large_err, reason = "tungstenite's own type")]
        let remember_target = |request: &Request, response: Response| {
            target = request.uri().to_string();
            Ok(response)
        };
        let websocket =
            tungstenite::accept_hdr(pipe, remember_target).expect("the request is whole and right");
        let id = self.gateway.open(&target, self.now);
        self.server = Some(Server { id, websocket, end: None });
        true
    }

    fn carry_to_server(&mut self) -> bool {
        let bytes = self.connection.transmit();
        let Some(server) = self.server.as_mut().filter(|_| !bytes.is_empty()) else { return false };
        server.websocket.get_mut().incoming.extend_from_slice(bytes);
        let count = bytes.len();
        self.connection.transmitted(count);
        while let Ok(message) = server.websocket.read() {
            let message = match &message {
                Message::Text(text) => ClientMessage::Text(text),
                Message::Binary(bytes) => ClientMessage::Binary(bytes),
                Message::Close(frame) => ClientMessage::Close(frame.as_ref().map(|frame| frame.code.into())),
                _ => continue,
            };
            self.gateway.receive(server.id, message, self.now);
        }
        true
    }

    fn carry_to_client(&mut self) -> bool {
        while let Some((id, output)) = self.gateway.poll_output() {
            if let Some(server) = self.server.as_mut().filter(|server| server.id == id) {
                server.put(output);
            }
        }
        let Some(server) = &mut self.server else { return false };
        let bytes = std::mem::take(&mut server.websocket.get_mut().outgoing);
        let end = server.end.take();
        let moved = !bytes.is_empty() || end.is_some();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.connection.handle_bytes(&mut rest, self.now);
            self.drain();
        }
        if let Some(end) = end {
            self.connection.handle_input(end, self.now);
        }
        moved
    }
}

impl Server {
    /// Performs an output of the gateway. A write into memory fails only after a close, when nothing more is to be
    /// written.
    fn put(&mut self, output: gateway_sim::Output) {
        use gateway_sim::Output;
        let _ = match output {
            Output::Send(message) if message.binary => {
                self.websocket.send(Message::Binary(message.payload.into()))
            }
            Output::Send(message) => {
                self.websocket.send(Message::text(String::from_utf8_lossy(&message.payload).into_owned()))
            }
            Output::Close(code, reason) => {
                let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                self.websocket.close(frame)
            }
            Output::Drop => {
                self.end = Some(Input::EndOfStream);
                Ok(())
            }
            Output::Abort | Output::Cut(_) | Output::Refuse(_) => {
                self.end = Some(Input::Failed("reset".to_owned()));
                Ok(())
            }
            Output::Ping => self.websocket.send(Message::Ping(Default::default())),
            Output::Accept | Output::Silence | Output::Bytes(_) => Ok(()),
        };
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Dispatch(dispatch) => dispatch.name().to_owned(),
        Event::Notice(_) => "(notice)".to_owned(),
        other => {
            let text = other.to_string();
            let end = text.find([' ', ':']).unwrap_or(text.len());
            format!("({})", &text[..end])
        }
    }
}

/// The two directions of a stream from the side of the server. Reads do not block.
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
