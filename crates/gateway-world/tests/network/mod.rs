//! A shard and a gateway of which everything that can be seen is written down.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_proto::{Command, ConnectError, Event, Output, Reconnect, Shutdown, StopReason};
use gateway_sim::{Control, Direction, Gateway, Target};
use gateway_world::{Chunking, Client, ClientId, Dial, Engine, Happening, Line, Time};

/// What can be seen of a run. Two runs that differ only in how the bytes are cut must have the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// Events, connects and the like, with the time since the start.
    pub(crate) outputs: Vec<(Duration, String)>,
    /// What the server has read: its kind, a close code, a payload or the target of an upgrade.
    pub(crate) sent: Vec<(Duration, &'static str, Option<u16>, Vec<u8>)>,
    /// The deadline whenever everything is quiet and it has changed.
    pub(crate) deadlines: Vec<(Duration, Duration)>,
}

pub(crate) struct Network {
    engine: Engine,
    shard: ClientId,
    dials: VecDeque<Dial>,
    pub(crate) transcript: Transcript,
    /// Dispatches delivered.
    pub(crate) seen: Vec<(u64, String)>,
    start: Instant,
}

impl Network {
    /// `sim` has its trace on.
    pub(crate) fn new(
        client: Box<dyn Client>,
        sim: gateway_sim::Config,
        chunking: Chunking,
        start: Instant,
    ) -> Self {
        let mut engine = Engine::new(sim, start);
        engine.cut_bytes(chunking);
        let shard = engine.add(client);
        let (dials, transcript) = (VecDeque::new(), Transcript::default());
        Self { engine, shard, dials, transcript, seen: Vec::new(), start }
    }

    pub(crate) fn client(&self) -> &dyn Client {
        self.engine.client(self.shard).unwrap()
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.engine.gateway()
    }

    /// Lets time pass, from one deadline to the next.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.engine.now() + time;
        self.settle();
        while self.stopped().is_none() && self.engine.next_time() <= end {
            let next = self.engine.next_time();
            self.engine.advance_to(next);
            self.settle();
        }
        self.engine.advance_to(end);
    }

    pub(crate) fn run_for_seconds(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.engine.control(Target::All, control).unwrap();
        self.settle();
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.client_mut().send(command).unwrap();
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.client_mut().shutdown(how);
    }

    pub(crate) fn reconnect(&mut self, how: Reconnect) {
        self.client_mut().reconnect(how);
    }

    /// The next connection attempts fail.
    pub(crate) fn refuse_dials(&mut self, count: usize) {
        let failure = Dial::Fails(ConnectError::Tcp("no route to GATEWAY.example".to_owned()));
        self.dials.extend(std::iter::repeat_n(failure, count));
    }

    pub(crate) fn stopped(&self) -> Option<&StopReason> {
        self.engine.stopped(self.shard)
    }

    fn client_mut(&mut self) -> &mut dyn Client {
        self.engine.client_mut(self.shard).unwrap()
    }

    /// Carries bytes to and fro until neither side has more to say.
    fn settle(&mut self) {
        while let Some(happening) = self.engine.step() {
            let Happening::Said(id, output) = happening else { continue };
            self.note(&output);
            if let Output::Connect(url) = &output {
                let dial = self.dials.pop_front().unwrap_or(Dial::Succeeds);
                self.engine.dial(id, url, Line::default(), dial);
            }
        }
        while let Some(record) = self.engine.gateway_mut().poll_record() {
            if record.direction == Direction::In && record.kind != "gone" {
                let payload = record.payload.unwrap_or_default();
                self.transcript.sent.push((record.at - self.start, record.kind, record.code, payload));
            }
        }
        if self.stopped().is_none() {
            let deadline = self.engine.deadline(self.shard).since(Time::ZERO);
            let deadlines = &mut self.transcript.deadlines;
            if deadlines.last().is_none_or(|(_, last)| *last != deadline) {
                deadlines.push((self.engine.now().since(Time::ZERO), deadline));
            }
        }
    }

    fn note(&mut self, output: &Output) {
        let note = match output {
            Output::Timeout(_) | Output::Stopped(_) => return,
            // Over bytes both are seen by the server alone.
            Output::Send(_) | Output::Close(_) => return,
            Output::Connect(url) => format!("connect to {}", url.expose()),
            Output::Disconnect => "shut down".to_owned(),
            Output::AcquireIdentify => "acquire identify".to_owned(),
            Output::CancelIdentify => "cancel identify".to_owned(),
            Output::Event(event) => {
                if let Event::Dispatch(dispatch) = event {
                    self.seen.push((dispatch.sequence().unwrap_or_default(), dispatch.name().to_owned()));
                }
                describe(event)
            }
        };
        self.transcript.outputs.push((self.engine.now().since(Time::ZERO), note));
    }
}

/// An event in a line. Of a dispatch's data, a checksum.
fn describe(event: &Event) -> String {
    let Event::Dispatch(dispatch) = event else { return format!("{event:?}") };
    let sum = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    format!("{dispatch:?} {:x}", dispatch.data().as_bytes().iter().fold(0, sum))
}
