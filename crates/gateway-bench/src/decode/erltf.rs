//! erltf, the fastest other crate that reads a whole term, with its borrowed terms.

use bytes::Bytes;
use erltf::{BorrowedTerm, decode_borrowed};
use gateway_codec::{Compression, Encoding};

use super::{Contender, Job, Tally};
use crate::mode::Mode;

pub(super) fn contender(job: Job, mode: Mode) -> Option<Box<dyn Contender>> {
    match (job, mode.encoding, mode.compression) {
        (Job::Envelope, Encoding::Etf, Compression::None) => Some(Box::new(Erltf)),
        _ => None,
    }
}

struct Erltf;

impl Contender for Erltf {
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String> {
        let term = decode_borrowed(&frame).map_err(|error| error.to_string())?;
        let field = |name: &'static str| term.map_get(&BorrowedTerm::Atom(name.into()));
        let op = field("op").and_then(BorrowedTerm::as_integer).ok_or("no opcode")?;
        let sequence = field("s").and_then(BorrowedTerm::as_integer);
        let name = field("t").and_then(BorrowedTerm::as_atom).filter(|name| *name != "nil");
        tally.envelope(op.unsigned_abs(), sequence.map(i64::unsigned_abs), name.unwrap_or_default());
        std::hint::black_box(&term);
        Ok(())
    }
}
