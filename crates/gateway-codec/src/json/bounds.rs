//! Checks a document against its limits before an engine without limits reads it.

use super::scan::{skip_blank, string_end};
use crate::document_limits::Budget;
use crate::{DocumentLimits, Error};

/// The recursion limit of serde_json for a type.
pub(super) const TYPE_DEPTH: usize = 127;

/// Checks the length, the depth and the number of elements. A malformed document may pass.
///
/// The document is scanned only if it could exceed a limit: an element takes at least two bytes, and the engine checks
/// [`TYPE_DEPTH`] itself.
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
                // The document is cut off here, so no further elements follow.
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
