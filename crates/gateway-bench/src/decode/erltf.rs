//! erltf, the quickest crate of the field that reads a whole term: its borrowed terms.

use erltf::{BorrowedTerm, decode_borrowed};
use gateway_codec::{Compression, Encoding};

use super::{Job, Tally};
use crate::frames::{Frames, Mode};

pub(super) fn run(job: Job, mode: Mode, frames: &Frames) -> Option<Result<Tally, String>> {
    match (job, mode.encoding, mode.compression) {
        (Job::Envelope, Encoding::Etf, Compression::None) => Some(each(frames)),
        _ => None,
    }
}

fn each(frames: &Frames) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let key = |name: &'static str| BorrowedTerm::Atom(name.into());
    let (op, s, t) = (key("op"), key("s"), key("t"));
    for frame in frames.iter() {
        let term = decode_borrowed(&frame).map_err(|error| error.to_string())?;
        let op = term.map_get(&op).and_then(BorrowedTerm::as_integer).ok_or("no opcode")?;
        let sequence = term.map_get(&s).and_then(BorrowedTerm::as_integer);
        let name = term.map_get(&t).and_then(BorrowedTerm::as_atom).filter(|name| *name != "nil");
        tally.envelope(op.unsigned_abs(), sequence.map(i64::unsigned_abs), name.unwrap_or_default());
        std::hint::black_box(&term);
    }
    Ok(tally)
}
