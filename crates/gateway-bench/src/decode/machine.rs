//! The state machine alone: a shard that takes messages and is polled for outputs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_codec::Encoding;
use gateway_proto::{Event, Input, Intents, Message, Output, Shard, ShardConfig};

use super::{Contender, Tally};
use crate::mode::Mode;

/// How much later each message comes than the last.
const STEP: Duration = Duration::from_micros(1);

pub(super) fn contender(mode: Mode) -> Option<Box<dyn Contender>> {
    let mut config = ShardConfig::new("bench", Intents::ALL);
    config.seed = Some(1);
    config.encoding = mode.encoding;
    config.compression = mode.compression;
    let now = Instant::now();
    let shard = Shard::new(config, now).ok()?;
    Some(Box::new(Machine { shard, mode, now }))
}

struct Machine {
    shard: Shard,
    mode: Mode,
    now: Instant,
}

impl Contender for Machine {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        if tally.messages == 0 {
            // The frames begin with Hello.
            self.drain(tally)?;
            self.shard.handle_input(Input::Opened, self.now);
            self.drain(tally)?;
        }
        self.now += STEP;
        let is_text = self.mode.encoding == Encoding::Json && frame.first() == Some(&b'{');
        let message = if is_text { Message::Text(frame) } else { Message::Binary(frame) };
        self.shard.handle_input(Input::Message(message), self.now);
        tally.messages += 1;
        self.drain(tally)
    }
}

impl Machine {
    fn drain(&mut self, tally: &mut Tally) -> Result<(), String> {
        loop {
            match self.shard.poll_output() {
                Output::Event(Event::Dispatch(dispatch)) => {
                    tally.add(dispatch.sequence().unwrap_or(0) + dispatch.name().len() as u64);
                }
                Output::Event(Event::Disconnected(disconnected)) => {
                    return Err(format!("disconnected: {}", disconnected.reason));
                }
                Output::AcquireIdentify => self.shard.handle_input(Input::IdentifyGranted, self.now),
                Output::Timeout(_) => return Ok(()),
                _ => {}
            }
        }
    }
}
