//! Holds a document to its limits before an engine that knows none of them reads it.

use super::scan::{skip_blank, string_end};
use crate::document_limits::Budget;
use crate::{DocumentLimits, Error};

/// How deep serde_json follows a document into a type.
pub(super) const TYPE_DEPTH: usize = 127;

/// Checks the length, the depth and the number of elements. A document that is not well-formed may pass.
///
/// The document is looked through only where it could break a limit at all: an element takes two bytes at least, and
/// [`TYPE_DEPTH`] is left to the engine.
pub(super) fn check(bytes: &[u8], limits: &DocumentLimits) -> Result<(), Error> {
    limits.check_input(bytes)?;
    if limits.depth >= TYPE_DEPTH && bytes.len() / 2 <= limits.elements {
        return Ok(());
    }
    let mut budget = Budget::new(limits);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => match string_end(bytes, at) {
                Ok(end) => {
                    at = end;
                    continue;
                }
                // The rest of it is missing: nothing else can come.
                Err(_) => return Ok(()),
            },
            b'{' | b'[' => {
                budget.enter(at)?;
                if !matches!(bytes.get(skip_blank(bytes, at + 1)), Some(b'}' | b']')) {
                    budget.take(1, at)?;
                }
            }
            b'}' | b']' => budget.leave(),
            b',' => budget.take(1, at)?,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}
