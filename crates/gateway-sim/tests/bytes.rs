//! The gateway over bytes, without a socket. The client is tungstenite.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use common::{URL, World, identify};
use gateway_sim::{
    Action, ByteConnection, ByteEffect, ByteFault, ByteStep, Config, Control, Direction, FrameMode, Point,
    Response, Rule, frame,
};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

/// One end of a stream in memory.
#[derive(Clone, Default)]
struct Pipe {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<Vec<u8>>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.borrow_mut().read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A gateway, one connection to it, and the bytes for its client.
struct Line {
    world: World,
    connection: ByteConnection,
    pipe: Pipe,
    /// The steps performed on the stream besides writes.
    ends: Vec<ByteStep>,
}

impl Line {
    fn new(config: Config) -> Self {
        let (world, connection) = (World::new(config), ByteConnection::default());
        Self { world, connection, pipe: Pipe::default(), ends: Vec::new() }
    }

    /// Transfers bytes both ways. The client's arrive in pieces of this size.
    fn carry(&mut self, size: usize) {
        let sent = std::mem::take(&mut *self.pipe.outgoing.borrow_mut());
        for piece in sent.chunks(size) {
            self.connection.receive(&mut self.world.gateway, piece, self.world.now);
        }
        while let Some((id, output)) = self.world.gateway.poll_output() {
            assert_eq!(Some(id), self.connection.id());
            self.connection.carry_out(output);
        }
        while let Some(step) = self.connection.poll_step() {
            match step {
                ByteStep::Write(bytes) => self.pipe.incoming.borrow_mut().extend(bytes),
                other => self.ends.push(other),
            }
        }
    }

    fn control(&mut self, control: Control) {
        self.world.control(control);
        self.carry(usize::MAX);
    }

    fn dial(&self) -> MidHandshake<ClientHandshake<Pipe>> {
        let request = format!("ws://gateway{URL}").into_client_request().unwrap();
        ClientHandshake::start(self.pipe.clone(), request, None).unwrap()
    }

    /// A client whose upgrade is accepted.
    fn connect(&mut self, size: usize) -> WebSocket<Pipe> {
        let Err(HandshakeError::Interrupted(waiting)) = self.dial().handshake() else {
            panic!("there was no answer")
        };
        self.carry(size);
        waiting.handshake().expect("the upgrade is accepted").0
    }

    /// The error of a client whose upgrade is refused.
    fn refused(&mut self) -> Error {
        let Err(HandshakeError::Interrupted(waiting)) = self.dial().handshake() else {
            panic!("there was no answer")
        };
        self.carry(usize::MAX);
        match waiting.handshake() {
            Err(HandshakeError::Failure(error)) => error,
            other => panic!("{:?}", other.map(drop)),
        }
    }
}

/// The received payloads.
fn payloads(client: &mut WebSocket<Pipe>) -> Vec<Value> {
    let mut payloads = Vec::new();
    loop {
        match client.read() {
            Ok(Message::Text(text)) => payloads.push(serde_json::from_str(&text).unwrap()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return payloads,
            other => panic!("{other:?}"),
        }
    }
}

fn names(payloads: &[Value]) -> Vec<&str> {
    payloads.iter().filter_map(|payload| payload["t"].as_str()).collect()
}

#[test]
fn a_session_begins_however_the_bytes_are_split() {
    for size in [usize::MAX, 1, 3] {
        let mut line = Line::new(Config::default());
        let mut client = line.connect(size);
        assert_eq!(payloads(&mut client)[0]["op"], 10);
        client.send(Message::text(identify().to_string())).unwrap();
        line.carry(size);
        assert_eq!(names(&payloads(&mut client))[..2], ["READY", "GUILD_CREATE"], "{size}");
        line.control(Control::FrameMode(FrameMode::Fragments));
        line.control(Control::Emit { count: 2, padding: 70_000 });
        let seen = payloads(&mut client);
        assert_eq!(names(&seen), ["MESSAGE_CREATE", "MESSAGE_CREATE"]);
    }
}

#[test]
fn pings_are_answered_on_both_sides() {
    let mut config = Config::default();
    config.trace = true;
    let mut line = Line::new(config);
    let mut client = line.connect(usize::MAX);
    payloads(&mut client);
    client.send(Message::Ping("?".into())).unwrap();
    line.carry(1);
    assert!(matches!(client.read(), Ok(Message::Pong(payload)) if *payload == *b"?"));
    line.control(Control::Ping);
    assert!(matches!(client.read(), Ok(Message::Ping(_))));
    client.flush().unwrap();
    line.carry(1);
    let records = std::iter::from_fn(|| line.world.gateway.poll_record());
    let from_client = records.filter(|record| record.direction == Direction::In).map(|record| record.kind);
    assert_eq!(from_client.collect::<Vec<_>>(), ["open", "pong"]);
}

#[test]
fn close_frames_are_answered_from_either_side() {
    let mut line = Line::new(Config::default());
    let mut client = line.connect(usize::MAX);
    payloads(&mut client);
    client.close(Some(CloseFrame { code: 4000.into(), reason: "".into() })).unwrap();
    line.carry(usize::MAX);
    assert!(matches!(client.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 4000));
    assert_eq!(line.ends, [ByteStep::HalfClose]);

    let mut line = Line::new(Config::default());
    let mut client = line.connect(usize::MAX);
    payloads(&mut client);
    line.control(Control::Close { code: Some(4009) });
    assert!(matches!(client.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 4009));
    client.flush().unwrap();
    line.carry(usize::MAX);
    assert_eq!(line.ends, [ByteStep::HalfClose]);
    assert_eq!(line.world.gateway.connections().count(), 0);
}

#[test]
fn streams_end_as_the_gateway_determines() {
    let second = Duration::from_secs(1);
    let fault = |effect| Control::Bytes(ByteFault { at: 0, effect });
    let cases = [
        (Control::Drop, vec![ByteStep::HalfClose], 0),
        (Control::Abort, vec![ByteStep::Reset], 0),
        (Control::Cut, vec![ByteStep::Reset], 1),
        (fault(ByteEffect::Delay(second)), vec![ByteStep::Wait(second)], 1),
        (fault(ByteEffect::Stall), vec![], 0),
        (Control::Silence, vec![], 0),
    ];
    for (control, ends, bytes) in cases {
        let mut line = Line::new(Config::default());
        let mut client = line.connect(usize::MAX);
        client.send(Message::text(identify().to_string())).unwrap();
        line.carry(usize::MAX);
        payloads(&mut client);
        let name = format!("{control:?}");
        line.control(control);
        line.control(Control::Emit { count: 1, padding: 0 });
        assert_eq!(line.ends, ends, "{name}");
        assert_eq!(line.pipe.incoming.borrow().len().min(1), bytes, "{name}");
    }
}

#[test]
fn upgrades_are_refused_and_other_requests_answered() {
    let mut line = Line::new(Config::default());
    let busy = Response::empty(503).header("Retry-After", "30");
    line.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(busy))));
    let Error::Http(response) = line.refused() else { panic!("it is refused") };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["Retry-After"]),
        (503, &"30".parse().unwrap())
    );
    assert_eq!(line.ends, [ByteStep::HalfClose]);

    let mut line = Line::new(Config::default());
    line.pipe
        .write_all(b"GET /api/v10/gateway HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    line.carry(1);
    let answers = line.pipe.incoming.borrow_mut().drain(..).collect::<Vec<u8>>();
    let answers = String::from_utf8(answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n") && answers.contains("HTTP/1.1 405 "), "{answers}");
    assert_eq!(line.ends, [ByteStep::HalfClose], "not before the client asks for it");
}

#[test]
fn invalid_frames_end_the_connection() {
    let invalid: [(&[u8], u16); 2] = [(&frame(0x81, b"not masked"), 1002), (b"\x81\x81\0\0\0\0\xff", 1007)];
    for (bytes, code) in invalid {
        let mut line = Line::new(Config::default());
        let mut client = line.connect(usize::MAX);
        payloads(&mut client);
        line.pipe.write_all(bytes).unwrap();
        line.carry(1);
        assert!(matches!(client.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == code));
        assert_eq!(line.ends, [ByteStep::HalfClose]);
        assert_eq!(line.world.gateway.connections().count(), 0);
    }
    let mut line = Line::new(Config::default());
    line.pipe.write_all(b"\x16\x03\x01\r\n\r\n").unwrap();
    line.carry(1);
    assert_eq!(line.ends, [ByteStep::HalfClose]);
}

#[test]
fn a_stream_at_the_address_for_resume_counts_there() {
    let mut config = Config::default();
    config.resume_url = Some("ws://resume".to_owned());
    let mut line = Line::new(config);
    line.connection = ByteConnection::at_resume_url();
    line.connect(usize::MAX);
    assert_eq!(line.world.gateway.counters().resume_url_connects, 1);
    line.connection.end(&mut line.world.gateway, line.world.now);
    assert_eq!(line.world.gateway.connections().count(), 0);
}
