//! Ours: the inflater, the envelope, look-ups, and twilight-model's types through our codec.

use bytes::Bytes;
use gateway_codec::{Compression, Envelope, InflateLimits, Inflater, Raw, inflate_zlib};

use super::{Job, Tally};
use crate::frames::{Frames, Mode};

pub(super) fn run(job: Job, mode: Mode, frames: &Frames) -> Option<Result<Tally, String>> {
    match job {
        Job::Envelope => Some(each(mode, frames, |_, _| Ok(()))),
        Job::SmallBot => Some(each(mode, frames, small_bot)),
        #[cfg(feature = "peers")]
        Job::Typed => Some(each(mode, frames, typed)),
        #[cfg(not(feature = "peers"))]
        Job::Typed => None,
    }
}

/// Reads every envelope, keeps each payload until the next, and hands it on.
fn each(
    mode: Mode,
    frames: &Frames,
    mut use_it: impl FnMut(&Envelope<'_>, &mut Tally) -> Result<(), String>,
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut inflater = Inflater::new(mode.compression, InflateLimits::default());
    let mut kept = None;
    for frame in frames.iter() {
        let payload = match &mut inflater {
            Some(inflater) => {
                let carefully = inflater.has_split();
                let whole = |bytes: &[u8]| Envelope::is_whole(bytes, mode.encoding, carefully);
                let payload = inflater.push(&frame, whole).map_err(|error| error.to_string())?;
                payload.ok_or("a message that was cut")?
            }
            None => unpack(frame, mode)?,
        };
        let envelope = Envelope::skim(&payload, mode.encoding).map_err(|error| error.to_string())?;
        tally.envelope(envelope.op, envelope.s, envelope.t.as_deref().unwrap_or_default());
        use_it(&envelope, &mut tally)?;
        kept = Some(Raw::new(payload.slice_ref(envelope.d.as_bytes()), mode.encoding));
    }
    drop(kept);
    Ok(tally)
}

fn unpack(frame: Bytes, mode: Mode) -> Result<Bytes, String> {
    match (mode.compression, frame.first()) {
        (Compression::Payload, Some(0x78)) => {
            inflate_zlib(&frame, InflateLimits::default().max_output).map_err(|error| error.to_string())
        }
        _ => Ok(frame),
    }
}

fn small_bot(envelope: &Envelope<'_>, tally: &mut Tally) -> Result<(), String> {
    if envelope.t.as_deref() == Some("MESSAGE_CREATE") {
        let d = envelope.d;
        let channel = d.get("channel_id").and_then(|id| id.as_id()).ok_or("no channel")?;
        let author = d.get(["author", "id"]).and_then(|id| id.as_id()).ok_or("no author")?;
        let content = d.get("content").and_then(|text| text.as_str()).ok_or("no content")?;
        tally.message(channel, author, &content);
    }
    Ok(())
}

#[cfg(feature = "peers")]
fn typed(envelope: &Envelope<'_>, tally: &mut Tally) -> Result<(), String> {
    use twilight_model::gateway::event::DispatchEventWithTypeDeserializer;
    if let Some(name) = envelope.t.as_deref() {
        let seed = DispatchEventWithTypeDeserializer::new(name);
        let event = envelope.d.decode_seed(seed).map_err(|error| format!("{name}: {error}"))?;
        tally.add(u64::from(event.kind() as u8));
        std::hint::black_box(event);
    }
    Ok(())
}
