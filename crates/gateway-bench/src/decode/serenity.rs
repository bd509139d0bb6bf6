//! What serenity 0.12 does with a message: every one becomes a typed event.

use std::io::Read;

use flate2::read::ZlibDecoder;
use gateway_codec::{Compression, Encoding};
use serenity::model::event::{Event, GatewayEvent};

use super::{Job, Tally};
use crate::frames::{Frames, Mode};

pub(super) fn run(job: Job, mode: Mode, frames: &Frames) -> Option<Result<Tally, String>> {
    match (job, mode.encoding, mode.compression) {
        (Job::SmallBot | Job::Typed, Encoding::Json, Compression::None | Compression::Payload) => {
            Some(each(job, frames))
        }
        _ => None,
    }
}

fn each(job: Job, frames: &Frames) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for frame in frames.iter() {
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
        match (job, event) {
            (Job::SmallBot, GatewayEvent::Dispatch(_, Event::MessageCreate(event))) => {
                let message = event.message;
                tally.message(message.channel_id.get(), message.author.id.get(), &message.content);
            }
            (_, event) => drop(std::hint::black_box(event)),
        }
    }
    Ok(tally)
}
