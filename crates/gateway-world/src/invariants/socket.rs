//! Nothing leaves outside an open connection, nothing after a close frame, and every attempt ends exactly once.

use gateway_proto::{Input, Output};

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;
use crate::told::Attempts;

#[derive(Clone, Copy, Default)]
pub(super) struct Socket {
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

impl Rule for Socket {
    const NAME: &'static str = "socket";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        let state = self.state;
        match what {
            Observation::Started { .. } | Observation::Died => *self = Self::default(),
            Observation::Input(Input::Opened, _) if state == State::Dialing => self.state = State::Open,
            Observation::Input(Input::ConnectFailed(_) | Input::Closed(_), _) => self.state = State::None,
            Observation::Sent { .. } if state != State::Open => {
                return Err(format!("a message was sent while the connection is {state:?}"));
            }
            Observation::Output(output) => return self.output(output),
            _ => {}
        }
        Ok(())
    }
}

impl Socket {
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
