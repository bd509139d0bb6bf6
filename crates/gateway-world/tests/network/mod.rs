//! A pair of which everything that can be seen is written down.

use std::time::{Duration, Instant};

use gateway_proto::raw::Output;
use gateway_proto::{Command, ConnectError, Event, Reconnect, ShardId, Shutdown, StopReason};
use gateway_sim::{Control, Direction, Gateway, Target};
use gateway_world::{ByteClient, Chunking, Dial, Moved, Pair};

/// What can be seen of a run. Two runs that differ only in how the bytes are cut must have the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// Events, connects and the like, with the time since the start.
    pub(crate) outputs: Vec<(Duration, String)>,
    /// What the server has read: its kind, a close code, a payload or the target of an upgrade.
    pub(crate) sent: Vec<(Duration, &'static str, Option<u16>, Vec<u8>)>,
    /// The deadline whenever everything was quiet.
    pub(crate) deadlines: Vec<(Duration, Duration)>,
}

pub(crate) struct Network {
    pub(crate) pair: Pair,
    pub(crate) transcript: Transcript,
    /// Dispatches delivered.
    pub(crate) seen: Vec<(u64, String)>,
    start: Instant,
}

impl Network {
    /// `sim` has its trace on.
    pub(crate) fn new(
        client: Box<dyn ByteClient>,
        sim: gateway_sim::Config,
        chunking: Chunking,
        start: Instant,
    ) -> Self {
        let pair = Pair::new(client, ShardId::new(0, 1).unwrap(), Gateway::new(sim, start), chunking, start);
        Self { pair, transcript: Transcript::default(), seen: Vec::new(), start }
    }

    /// Lets time pass, from one deadline to the next.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.pair.now() + time;
        self.settle();
        while self.pair.stopped().is_none()
            && let Some(next) = self.pair.next_event().filter(|next| *next <= end)
        {
            self.pair.advance_to(next);
            self.settle();
            if self.pair.tell_time_if_due() {
                self.settle();
            }
        }
        self.pair.advance_to(end);
    }

    pub(crate) fn run_for_seconds(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.pair.gateway.control(Target::All, control, self.pair.now()).unwrap();
        self.settle();
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.pair.client.send(command).unwrap();
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.pair.client.shutdown(how);
    }

    pub(crate) fn reconnect(&mut self, how: Reconnect) {
        self.pair.client.reconnect(how);
    }

    /// The next connection attempts fail.
    pub(crate) fn refuse_dials(&mut self, count: usize) {
        for _ in 0..count {
            self.pair.plan_dial(Dial::Fails(ConnectError::Tcp("no route to GATEWAY.example".to_owned())));
        }
    }

    pub(crate) fn stopped(&self) -> Option<&StopReason> {
        self.pair.stopped()
    }

    /// Carries bytes to and fro until neither side has more to say.
    fn settle(&mut self) {
        loop {
            match self.pair.step() {
                Moved::Said(output) => self.note(&output),
                Moved::Carried => {}
                Moved::Nothing => break,
            }
        }
        while let Some(record) = self.pair.gateway.poll_record() {
            if record.direction == Direction::In && record.kind != "gone" {
                let payload = record.payload.unwrap_or_default();
                self.transcript.sent.push((record.at - self.start, record.kind, record.code, payload));
            }
        }
        if self.pair.stopped().is_none() {
            let deadline = self.pair.deadline().saturating_duration_since(self.start);
            self.transcript.deadlines.push((self.pair.elapsed(), deadline));
        }
    }

    fn note(&mut self, output: &Output) {
        let note = match output {
            Output::Timeout(_) | Output::Stopped(_) => return,
            Output::Connect(url) => format!("connect to {}", url.expose()),
            Output::ShutDown => "shut down".to_owned(),
            Output::AcquireIdentify => "acquire identify".to_owned(),
            Output::CancelIdentify => "cancel identify".to_owned(),
            Output::Event(event) => {
                if let Event::Dispatch(dispatch) = event {
                    self.seen.push((dispatch.sequence().unwrap_or_default(), dispatch.name().to_owned()));
                }
                describe(event)
            }
        };
        self.transcript.outputs.push((self.pair.elapsed(), note));
    }
}

/// An event in a line. Of a dispatch's data, a checksum.
fn describe(event: &Event) -> String {
    let Event::Dispatch(dispatch) = event else { return format!("{event:?}") };
    let sum = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    format!("{dispatch:?} {:x}", dispatch.data().as_bytes().iter().fold(0, sum))
}
