//! The work of serenity 0.12 for a message: each becomes a typed event.

use std::io::Read;

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use gateway_codec::{Compression, Encoding};
use serenity::model::event::{Event, GatewayEvent};

use super::{Contender, Job, Tally};
use crate::mode::Mode;

pub(super) fn contender(job: Job, mode: Mode) -> Option<Box<dyn Contender>> {
    match (job, mode.encoding, mode.compression) {
        (Job::SmallBot | Job::Typed, Encoding::Json, Compression::None | Compression::Payload) => {
            Some(Box::new(Serenity { job }))
        }
        _ => None,
    }
}

struct Serenity {
    job: Job,
}

impl Contender for Serenity {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        let mut inflated = String::new();
        let text = if frame.first() == Some(&0x78) {
            inflated.reserve(frame.len() * 3);
            ZlibDecoder::new(&frame[..]).read_to_string(&mut inflated).map_err(|error| error.to_string())?;
            &inflated
        } else {
            std::str::from_utf8(&frame).map_err(|error| error.to_string())?
        };
        let event: GatewayEvent = serde_json::from_str(text).map_err(|error| error.to_string())?;
        tally.messages += 1;
        match (self.job, event) {
            (Job::SmallBot, GatewayEvent::Dispatch(_, Event::MessageCreate(event))) => {
                let message = event.message;
                tally.message(message.channel_id.get(), message.author.id.get(), &message.content);
            }
            (_, event) => drop(std::hint::black_box(event)),
        }
        Ok(())
    }
}
