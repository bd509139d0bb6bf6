//! Nothing leaves outside an open connection, nothing after a close frame, and every attempt ends exactly once.

use gateway_proto::{Input, Output};

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;
use crate::told::Attempts;

/// For each shard.
pub(super) struct Socket(Vec<Side>);

#[derive(Clone, Copy, Default)]
struct Side {
    state: State,
    attempts: Attempts,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum State {
    #[default]
    None,
    Dialing,
    Open,
    Closing,
}

impl Socket {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![Side::default(); shards])
    }
}

impl Invariant for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn observe(&mut self, _: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let side = &mut self.0[shard];
        let state = side.state;
        match what {
            Observation::Started { .. } | Observation::Died => *side = Side::default(),
            Observation::Input(Input::Opened, _) if state == State::Dialing => side.state = State::Open,
            Observation::Input(Input::ConnectFailed(_) | Input::Closed(_), _) => side.state = State::None,
            Observation::Sent { .. } if state != State::Open => {
                return Err(format!("a message was sent while the connection is {state:?}"));
            }
            Observation::Output(output) => return side.output(output),
            _ => {}
        }
        Ok(())
    }
}

impl Side {
    fn output(&mut self, output: &Output) -> Result<(), String> {
        match output {
            Output::Connect(_) => {
                if self.state != State::None {
                    return Err(format!("a connect while another connection is {:?}", self.state));
                }
                self.state = State::Dialing;
            }
            Output::Close(_) => {
                if self.state != State::Open {
                    return Err(format!("a close frame was sent while the connection is {:?}", self.state));
                }
                self.state = State::Closing;
            }
            Output::Disconnect => self.state = State::None,
            Output::Event(event) => return self.attempts.event(event),
            _ => {}
        }
        Ok(())
    }
}
