//! The work of twilight-gateway 0.18 for a message: it inflates into a fixed buffer, copies out, checks for UTF-8, scans for the
//! envelope; a bot then parses the typed event.
//!
//! Its inflater is private. The few lines in its place make the same calls to the same libraries with the same sizes. The
//! end-to-end runs use the unmodified library.

use std::borrow::Cow;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use gateway_codec::{Compression, Encoding};
use twilight_gateway::{EventTypeFlags, parse};
use twilight_model::gateway::event::{DispatchEvent, GatewayEvent, GatewayEventDeserializer};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::{Contender, Job, Tally};
use crate::mode::Mode;

/// The size of the buffer that it inflates into.
const BUFFER: usize = 32 * 1024;

pub(super) fn contender(job: Job, all: bool, mode: Mode) -> Option<Box<dyn Contender>> {
    let wanted = match (job, all) {
        (Job::Envelope, false) => None,
        (Job::SmallBot, false) => Some(EventTypeFlags::MESSAGE_CREATE),
        (Job::SmallBot, true) | (Job::Typed, false) => Some(EventTypeFlags::all()),
        (Job::Envelope | Job::Typed, true) | (Job::Machine, _) => return None,
    };
    let inflate: Inflate = match (mode.encoding, mode.compression) {
        (Encoding::Json, Compression::None) => Box::new(plain),
        (Encoding::Json, Compression::ZlibStream) => Box::new(zlib()),
        (Encoding::Json, Compression::ZstdStream) => Box::new(zstd()),
        _ => return None,
    };
    Some(Box::new(Twilight { job, wanted, inflate }))
}

type Inflate = Box<dyn FnMut(&[u8]) -> Result<String, String>>;

struct Twilight {
    job: Job,
    /// The event types that the bot uses. `None` if it takes the text.
    wanted: Option<EventTypeFlags>,
    inflate: Inflate,
}

impl Contender for Twilight {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        let text = (self.inflate)(&frame)?;
        let parts = GatewayEventDeserializer::from_json(&text).ok_or("no opcode")?.into_parts();
        let (op, sequence, name): (u8, Option<u64>, Option<Cow<'_, str>>) = parts;
        tally.envelope(u64::from(op), sequence, name.as_deref().unwrap_or_default());
        let Some(wanted) = self.wanted else {
            std::hint::black_box(text);
            return Ok(());
        };
        let event = parse(text, wanted).map_err(|error| error.to_string())?;
        match (self.job, event) {
            (Job::SmallBot, Some(GatewayEvent::Dispatch(_, DispatchEvent::MessageCreate(message)))) => {
                tally.message(message.channel_id.get(), message.author.id.get(), &message.content);
            }
            (Job::Typed, Some(GatewayEvent::Dispatch(_, event))) => {
                tally.add(u64::from(event.kind() as u8));
                std::hint::black_box(event);
            }
            (_, event) => drop(std::hint::black_box(event)),
        }
        Ok(())
    }
}

/// Its WebSocket layer has checked that the message is text; here a check takes the place of that one.
fn plain(frame: &[u8]) -> Result<String, String> {
    std::str::from_utf8(frame).map(str::to_owned).map_err(|error| error.to_string())
}

fn zlib() -> impl FnMut(&[u8]) -> Result<String, String> {
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    let mut inflate = Decompress::new(true);
    move |frame| {
        let (start, mut used, mut text) = (inflate.total_in(), 0, Vec::new());
        while used < frame.len() {
            let before = inflate.total_out();
            let result = inflate.decompress(&frame[used..], &mut buffer, FlushDecompress::Sync);
            result.map_err(|error| error.to_string())?;
            used = (inflate.total_in() - start) as usize;
            text.extend_from_slice(&buffer[..(inflate.total_out() - before) as usize]);
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }
}

fn zstd() -> impl FnMut(&[u8]) -> Result<String, String> {
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    let mut inflate = DCtx::create();
    move |frame| {
        let (mut input, mut text) = (InBuffer::around(frame), Vec::new());
        loop {
            let mut output = OutBuffer::around(&mut *buffer);
            inflate
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| zstd::zstd_safe::get_error_name(code).to_owned())?;
            text.extend_from_slice(output.as_slice());
            if input.pos() == frame.len() && output.pos() < BUFFER {
                return String::from_utf8(text).map_err(|error| error.to_string());
            }
        }
    }
}
