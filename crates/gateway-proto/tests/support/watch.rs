//! Invariants that hold in every scenario after every step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_proto::codec::Envelope;
use gateway_proto::health::Phase;
use gateway_proto::{Event, Input, Message, Output, Shard};

/// A shard as its driver sees it.
pub(crate) struct Watch {
    limit: usize,
    link: Link,
    permit: Permit,
    /// Whether a `Connecting` has no `Disconnected` yet.
    connecting: bool,
    /// The times of the messages sent on this connection.
    sends: VecDeque<Instant>,
    hello: bool,
    /// Whether Identify or Resume was sent on this connection.
    introduced: bool,
    stopped: bool,
    outputs_since_input: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Dialing,
    Open,
    /// Our close frame was sent.
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permit {
    None,
    Asked,
    Granted,
}

/// The most outputs of one input: what the window allows, and a few more.
const MOST_OUTPUTS: usize = 160;

impl Watch {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            limit: usize::from(limit),
            link: Link::None,
            permit: Permit::None,
            connecting: false,
            sends: VecDeque::new(),
            hello: false,
            introduced: false,
            stopped: false,
            outputs_since_input: 0,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn input(&mut self, input: &Input) {
        self.outputs_since_input = 0;
        match (input, self.link) {
            (Input::Opened, Link::Dialing) => {
                self.link = Link::Open;
                self.sends.clear();
                (self.hello, self.introduced) = (false, false);
            }
            (Input::ConnectFailed(_), Link::Dialing) => self.link = Link::None,
            (Input::Closed(_), Link::Open | Link::Closing) => self.link = Link::None,
            (Input::IdentifyGranted, _) if self.permit == Permit::Asked => self.permit = Permit::Granted,
            _ => {}
        }
    }

    pub(crate) fn output(&mut self, output: &Output, shard: &Shard, now: Instant) {
        assert!(!self.stopped, "{output:?} after the shard has stopped");
        self.outputs_since_input += 1;
        assert!(self.outputs_since_input <= MOST_OUTPUTS, "one input is answered without end");
        match output {
            Output::Connect(_) => {
                assert_eq!(self.link, Link::None, "another connection while there is one");
                assert!(self.connecting, "a connection that was not announced");
                self.link = Link::Dialing;
            }
            Output::AcquireIdentify => {
                assert_eq!(self.permit, Permit::None, "a second permit is asked for");
                assert_eq!(self.link, Link::Open, "a permit without a connection");
                self.permit = Permit::Asked;
            }
            Output::CancelIdentify => {
                assert_ne!(self.permit, Permit::None, "a permit is cancelled that was not requested");
                self.permit = Permit::None;
            }
            Output::Send(message) => self.send(message, shard, now),
            Output::Close(frame) => {
                assert_eq!(self.link, Link::Open, "a close frame without an open connection");
                assert!(frame.reason.len() <= 123, "a close frame has room for 123 bytes of reason");
                self.link = Link::Closing;
            }
            Output::Disconnect => {
                assert_ne!(self.link, Link::None, "nothing to disconnect");
                self.link = Link::None;
            }
            Output::Event(Event::Connecting { .. }) => {
                assert!(!self.connecting, "connecting twice");
                self.connecting = true;
            }
            Output::Event(Event::Disconnected(_)) => {
                assert!(self.connecting, "disconnected twice");
                assert_eq!(self.link, Link::None, "log to be over before it is");
                assert_eq!(self.permit, Permit::None, "a permit outlives its connection");
                self.connecting = false;
            }
            Output::Event(Event::Hello { .. }) => self.hello = true,
            Output::Event(_) => {}
            Output::Timeout(_) => panic!("not an output to be watched"),
            Output::Stopped(_) => {
                assert!(!self.connecting, "stopped without a last Disconnected");
                assert_eq!((self.link, self.permit), (Link::None, Permit::None));
                self.stopped = true;
            }
        }
    }

    fn send(&mut self, message: &Message, shard: &Shard, now: Instant) {
        assert_eq!(self.link, Link::Open, "a message outside an open connection");
        self.sends.push_back(now);
        while self.sends.front().is_some_and(|sent| *sent + Duration::from_secs(60) <= now) {
            self.sends.pop_front();
        }
        assert!(self.sends.len() <= self.limit, "{} messages in 60 seconds", self.sends.len());
        assert!(message.as_bytes().len() <= shard.config().limits.payload_bytes);
        let encoding = shard.config().encoding;
        let op = Envelope::parse(message.as_bytes(), encoding).expect("what is sent can be read").op;
        assert!(op == 1 || self.hello, "opcode {op} before Hello");
        assert!(self.introduced || matches!(op, 1 | 2 | 6), "opcode {op} before Identify or Resume");
        self.introduced |= matches!(op, 2 | 6);
        if op == 2 {
            assert_eq!(self.permit, Permit::Granted, "Identify without a permit");
            assert!(shard.session().is_none(), "Identify instead of Resume");
            self.permit = Permit::None;
        }
    }

    /// Checks the shard once it has no further output.
    pub(crate) fn settled(&self, shard: &Shard) {
        let link = match shard.phase() {
            Phase::BackingOff | Phase::Stopped => Link::None,
            Phase::Connecting => Link::Dialing,
            Phase::Closing => Link::Closing,
            _ => Link::Open,
        };
        assert_eq!(self.link, link, "in {:?}", shard.phase());
        let waits = shard.phase() == Phase::AwaitingIdentify;
        assert_eq!(self.permit != Permit::None, waits, "{:?} in {:?}", self.permit, shard.phase());
        assert_eq!(self.stopped, shard.phase() == Phase::Stopped);
    }
}
