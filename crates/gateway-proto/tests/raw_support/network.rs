//! A connection and a simulated gateway joined in memory, under a virtual clock, with bytes cut in any way.

use std::time::{Duration, Instant};

use gateway_proto::raw::{Connection, Input, Output};
use gateway_proto::{Closed, Command, ConnectError, Event, Message, Reconnect, Shutdown, StopReason};
use gateway_sim::{ClientMessage, ConnectionId, Control, Gateway, Target};

use super::played::Pages;
use super::wire::{self, ClientFrame, ServerReader};

/// How the bytes of the server are cut before they are handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunking {
    Whole,
    OneByte,
    Random(u64),
}

/// What can be seen of a run. Two runs that differ only in chunking must have the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// Events, connects and the like, with the time since the start.
    pub(crate) outputs: Vec<(Duration, String)>,
    /// Frames sent, masks taken off. A request is a frame of opcode 0.
    pub(crate) sent: Vec<(Duration, ClientFrame)>,
    /// The deadline whenever everything was quiet.
    pub(crate) deadlines: Vec<(Duration, Duration)>,
}

/// What a driver of the message-level shard would have said in the same run.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Input(gateway_proto::Input),
    Command(Command),
    Shutdown(Shutdown),
    Reconnect(Reconnect),
}

pub(crate) struct Network {
    pub(crate) connection: Connection,
    pub(crate) gateway: Gateway,
    pub(crate) transcript: Transcript,
    /// Everything said to the shard within, with its time.
    pub(crate) said: Vec<(Instant, Said)>,
    /// Dispatches delivered.
    pub(crate) seen: Vec<(u64, String)>,
    pub(crate) stopped: Option<StopReason>,
    /// Refuse every connection attempt.
    pub(crate) unreachable: bool,
    start: Instant,
    now: Instant,
    chunking: Chunking,
    rng: fastrand::Rng,
    /// Whether the client has been told to open a stream and has not been told to shut it down.
    wanted: bool,
    /// What the shard within has written down, where bytes come whole.
    pub(crate) pages: Pages,
    stream: Option<Stream>,
    answers: Vec<Input>,
}

/// The server's end of the stream that is open.
struct Stream {
    id: Option<ConnectionId>,
    request: String,
    accepted: bool,
    reader: ServerReader,
    outgoing: Vec<u8>,
    /// What to say to a message-level shard for what is in `outgoing`.
    meaning: Vec<gateway_proto::Input>,
    /// How the stream ends after `outgoing`.
    end: Option<Input>,
}

impl Network {
    pub(crate) fn new(
        config: gateway_proto::ShardConfig,
        sim: gateway_sim::Config,
        chunking: Chunking,
        start: Instant,
    ) -> Self {
        let seed = if let Chunking::Random(seed) = chunking { seed } else { 0 };
        let pages = Pages::default();
        Self {
            connection: match chunking {
                Chunking::Whole => Connection::with_transcript(config, start, pages.clone()).unwrap(),
                Chunking::OneByte | Chunking::Random(_) => Connection::new(config, start).unwrap(),
            },
            gateway: Gateway::new(sim, start),
            transcript: Transcript::default(),
            said: Vec::new(),
            seen: Vec::new(),
            stopped: None,
            unreachable: false,
            start,
            now: start,
            chunking,
            rng: fastrand::Rng::with_seed(seed),
            wanted: false,
            pages,
            stream: None,
            answers: Vec::new(),
        }
    }

    /// Lets time pass, from one deadline to the next.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.stopped.is_none() {
            let deadline = self.deadline();
            let next = self.gateway.poll_timeout().map_or(deadline, |next| next.min(deadline));
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.gateway.handle_timeout(self.now);
            self.settle();
            if self.stopped.is_none() && self.deadline() <= self.now {
                self.say(Said::Input(gateway_proto::Input::Timeout));
                self.connection.handle_input(Input::Timeout, self.now);
                self.settle();
            }
        }
        self.now = end;
    }

    pub(crate) fn run_for_seconds(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.gateway.control(Target::All, control, self.now).unwrap();
        self.settle();
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.connection.send(command.clone()).unwrap();
        self.say(Said::Command(command));
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.connection.shutdown(how);
        self.say(Said::Shutdown(how));
    }

    pub(crate) fn reconnect(&mut self, how: Reconnect) {
        self.connection.reconnect(how);
        self.say(Said::Reconnect(how));
    }

    fn say(&mut self, said: Said) {
        self.said.push((self.now, said));
    }

    fn deadline(&mut self) -> Instant {
        match self.connection.poll_output() {
            Output::Timeout(deadline) => deadline,
            output => panic!("{output:?} after everything was quiet"),
        }
    }

    /// Carries bytes to and fro until neither side has more to say.
    fn settle(&mut self) {
        loop {
            let deadline = self.drain();
            let moved = self.carry_to_server() | self.carry_to_client() | self.answer();
            if moved {
                continue;
            }
            if let Some(deadline) = deadline {
                let entry = (self.now - self.start, deadline.saturating_duration_since(self.start));
                self.transcript.deadlines.push(entry);
            }
            return;
        }
    }

    /// Does what the connection says, until it waits.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            let note = match self.connection.poll_output() {
                Output::Timeout(deadline) => return Some(deadline),
                Output::Stopped(reason) => {
                    self.stopped = Some(reason);
                    return None;
                }
                Output::Connect(url) => {
                    assert!(!self.wanted && self.stream.is_none(), "one stream at a time");
                    self.wanted = !self.unreachable;
                    self.answers.push(match self.unreachable {
                        true => {
                            Input::ConnectFailed(ConnectError::Tcp("no route to GATEWAY.example".to_owned()))
                        }
                        false => Input::Opened,
                    });
                    format!("connect to {}", url.expose())
                }
                Output::ShutDown => {
                    assert!(std::mem::take(&mut self.wanted), "a stream is shut down once");
                    self.carry_to_server();
                    self.drop_stream();
                    "shut down".to_owned()
                }
                Output::AcquireIdentify => {
                    self.answers.push(Input::IdentifyGranted);
                    "acquire identify".to_owned()
                }
                Output::CancelIdentify => {
                    self.answers.retain(|answer| !matches!(answer, Input::IdentifyGranted));
                    "cancel identify".to_owned()
                }
                Output::Event(event) => {
                    if let Event::Dispatch(dispatch) = &event {
                        self.seen.push((dispatch.sequence().unwrap_or_default(), dispatch.name().to_owned()));
                    }
                    describe(&event)
                }
            };
            self.transcript.outputs.push((self.now - self.start, note));
        }
    }

    fn drop_stream(&mut self) {
        self.answers.retain(|answer| !matches!(answer, Input::Opened));
        if let Some(Stream { id: Some(id), .. }) = self.stream.take() {
            self.gateway.receive(id, ClientMessage::Gone, self.now);
        }
    }

    fn carry_to_server(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let count = self.connection.transmit().len();
        stream.reader.push(self.connection.transmit());
        self.connection.transmitted(count);
        let at = self.now - self.start;
        if let Some(request) = stream.reader.request() {
            let target = request.split(' ').nth(1).unwrap();
            stream.id = Some(self.gateway.open(target, self.now));
            self.transcript.sent.push((at, ClientFrame { opcode: 0, payload: request.as_bytes().to_vec() }));
            stream.request = request;
        }
        let Some(id) = stream.id else { return count > 0 };
        while let Some(frame) = stream.reader.frame() {
            self.transcript.sent.push((at, frame.clone()));
            let message = match frame.opcode {
                wire::TEXT => ClientMessage::Text(std::str::from_utf8(&frame.payload).unwrap()),
                wire::BINARY => ClientMessage::Binary(&frame.payload),
                wire::CLOSE => ClientMessage::Close(frame.close().map(|(code, _)| code)),
                _ => continue,
            };
            self.gateway.receive(id, message, self.now);
        }
        count > 0
    }

    /// Turns what the gateway does into bytes, and hands them in.
    fn carry_to_client(&mut self) -> bool {
        while let Some((id, output)) = self.gateway.poll_output() {
            if let Some(stream) = &mut self.stream
                && stream.id == Some(id)
            {
                stream.put(output);
            }
        }
        let Some(stream) = &mut self.stream else { return false };
        let bytes = std::mem::take(&mut stream.outgoing);
        let end = stream.end.take();
        let meaning = std::mem::take(&mut stream.meaning);
        if bytes.is_empty() && end.is_none() {
            return false;
        }
        for input in meaning {
            self.say(Said::Input(input));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let count = match self.chunking {
                Chunking::Whole => rest.len(),
                Chunking::OneByte => 1,
                Chunking::Random(_) => self.rng.usize(1..=rest.len().min(40)),
            };
            let (mut chunk, later) = rest.split_at(count);
            while !chunk.is_empty() {
                self.connection.handle_bytes(&mut chunk, self.now);
                self.drain();
            }
            rest = later;
        }
        if let Some(end) = end {
            self.connection.handle_input(end, self.now);
            self.drain();
        }
        true
    }

    /// Answers what the connection has asked for.
    fn answer(&mut self) -> bool {
        let answers = std::mem::take(&mut self.answers);
        let any = !answers.is_empty();
        for answer in answers {
            match &answer {
                Input::Opened => self.stream = Some(Stream::new()),
                Input::ConnectFailed(_) => {
                    let error = ConnectError::Tcp("no route to …".to_owned());
                    self.say(Said::Input(gateway_proto::Input::ConnectFailed(error)));
                }
                _ => self.say(Said::Input(gateway_proto::Input::IdentifyGranted)),
            }
            self.connection.handle_input(answer, self.now);
        }
        any
    }
}

/// An event in a line. Of a dispatch's data, a checksum.
pub(crate) fn describe(event: &Event) -> String {
    let Event::Dispatch(dispatch) = event else { return format!("{event:?}") };
    let sum = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    format!("{dispatch:?} {:x}", dispatch.data().as_bytes().iter().fold(0, sum))
}

impl Stream {
    fn new() -> Self {
        Self {
            id: None,
            request: String::new(),
            accepted: false,
            reader: ServerReader::default(),
            outgoing: Vec::new(),
            meaning: Vec::new(),
            end: None,
        }
    }

    fn put(&mut self, output: gateway_sim::Output) {
        use gateway_proto::Input as Meaning;
        use gateway_sim::Output;
        match output {
            Output::Accept => {
                self.outgoing.extend_from_slice(wire::accept(&self.request).as_bytes());
                self.meaning.push(Meaning::Opened);
                self.accepted = true;
            }
            Output::Refuse(response) => {
                self.outgoing.extend_from_slice(wire::refuse(&response).as_bytes());
                let retry_after = response.headers.iter().find(|(name, _)| name == "Retry-After");
                self.meaning.push(Meaning::ConnectFailed(ConnectError::Refused(
                    gateway_proto::disconnect::Refused {
                        status: response.status,
                        headers: wire::refusal_headers(&response),
                        retry_after: retry_after.and_then(|(_, value)| {
                            gateway_proto::disconnect::Refused::parse_retry_after(value)
                        }),
                        body: response.body.into_bytes(),
                    },
                )));
            }
            Output::Send(message) => {
                self.outgoing.extend_from_slice(&wire::message(&message));
                let payload = message.payload.into();
                self.meaning.push(Meaning::Message(match message.binary {
                    true => Message::Binary(payload),
                    false => Message::Text(payload),
                }));
            }
            Output::Close(code, reason) => {
                self.outgoing.extend_from_slice(&wire::close_frame(code, &reason));
                self.meaning.push(Meaning::Closed(Closed::Frame { code, reason }));
            }
            Output::Drop => {
                self.end = Some(Input::EndOfStream);
                self.meaning.push(Meaning::Closed(Closed::Eof));
            }
            Output::Abort => self.reset(),
            Output::Cut(message) => {
                let bytes = wire::message(&message);
                self.outgoing.extend_from_slice(&bytes[..bytes.len() / 2]);
                self.reset();
            }
            Output::Ping => self.outgoing.extend_from_slice(&wire::frame(0x80 | wire::PING, b"")),
            Output::Silence | Output::Bytes(_) => {}
        }
    }

    fn reset(&mut self) {
        self.end = Some(Input::Failed("reset".to_owned()));
        self.meaning.push(match self.accepted {
            true => gateway_proto::Input::Closed(Closed::Failed("reset".to_owned())),
            false => gateway_proto::Input::ConnectFailed(ConnectError::Handshake("reset".to_owned())),
        });
    }
}
