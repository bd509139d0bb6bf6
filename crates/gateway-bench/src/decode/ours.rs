//! Ours: the inflater, the envelope, look-ups, and twilight-model's types through our codec.

use std::cell::Cell;

use bytes::Bytes;
use gateway_codec::{Compression, Envelope, InflateLimits, Inflater, Place, RawRef, inflate_zlib, is_zlib};

use super::{Contender, Job, Tally, machine};
use crate::mode::Mode;

pub(super) fn contender(job: Job, mode: Mode) -> Option<Box<dyn Contender>> {
    let with = |use_it| -> Option<Box<dyn Contender>> { Some(Box::new(Ours::new(mode, use_it))) };
    match job {
        Job::Envelope => with(|_, _| Ok(())),
        Job::SmallBot => with(small_bot),
        #[cfg(feature = "twilight")]
        Job::Typed => with(typed),
        #[cfg(not(feature = "twilight"))]
        Job::Typed => None,
        Job::Machine => machine::contender(mode),
    }
}

type Use = fn(&Envelope<'_>, &mut Tally) -> Result<(), String>;

struct Ours {
    mode: Mode,
    inflater: Option<Inflater>,
    use_it: Use,
}

thread_local! {
    /// The newest payload of any stream, which is kept until the next.
    static KEPT: Cell<Option<(Bytes, Place)>> = const { Cell::new(None) };
}

impl Ours {
    fn new(mode: Mode, use_it: Use) -> Self {
        let inflater = Inflater::new(mode.compression, InflateLimits::default());
        Self { mode, inflater, use_it }
    }
}

impl Contender for Ours {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        let encoding = self.mode.encoding;
        let payload = match &mut self.inflater {
            Some(inflater) => {
                let whole = |bytes: &[u8]| Envelope::is_whole(bytes, encoding);
                let payload = inflater.push(&frame, whole).map_err(|error| error.to_string())?;
                payload.ok_or("a message that was cut")?
            }
            None => unpack(frame, self.mode)?,
        };
        let envelope = Envelope::skim(&payload, encoding).map_err(|error| error.to_string())?;
        tally.envelope(envelope.op, envelope.s, envelope.t.as_deref().unwrap_or_default());
        (self.use_it)(&envelope, tally)?;
        let data = envelope.d.place_in(&payload).ok_or("no data")?;
        KEPT.set(Some((payload, data)));
        Ok(())
    }
}

fn unpack(frame: Bytes, mode: Mode) -> Result<Bytes, String> {
    match mode.compression {
        Compression::Payload if is_zlib(&frame) => {
            inflate_zlib(&frame, InflateLimits::default().max_output).map_err(|error| error.to_string())
        }
        _ => Ok(frame),
    }
}

fn small_bot(envelope: &Envelope<'_>, tally: &mut Tally) -> Result<(), String> {
    if envelope.t.as_deref() == Some("MESSAGE_CREATE") {
        let [channel, author, content] = envelope.d.fields(["channel_id", "author", "content"]);
        let channel = channel.and_then(RawRef::as_id).ok_or("no channel")?;
        let author = author.and_then(|author| author.get("id")?.as_id()).ok_or("no author")?;
        let content = content.and_then(RawRef::as_str).ok_or("no content")?;
        tally.message(channel, author, &content);
    }
    Ok(())
}

#[cfg(feature = "twilight")]
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
