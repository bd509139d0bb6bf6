//! Steps over whole terms without reading their content.
//!
//! Lengths from the input are compared with the rest of the input, never added to an offset, and sums with a length of 32
//! bits saturate. So no sum wraps for any pointer width.

use super::tag;
use crate::Error;
use crate::document_limits::Budget;
use crate::length::of_u32;

/// The bytes after the term at `document[at..]`.
///
/// The content of atoms, floats and integers is not checked. Lists must end in the empty list, and nesting must stay within
/// `budget`.
pub(super) fn after_term<'a>(document: &'a [u8], at: usize, budget: &mut Budget) -> Result<&'a [u8], Error> {
    let rest = document.get(at..).unwrap_or_default();
    match after_leaf(rest) {
        Some(after) => Ok(after),
        None => Skip { length: document.len(), budget }.after_rare(rest),
    }
}

/// The bytes after a whole term without parts. `None` for any other term.
#[inline(always)]
fn after_leaf(bytes: &[u8]) -> Option<&[u8]> {
    // One comparison for the whole head. A term within four bytes of the end takes the slow path.
    let [tag, a, b, c, d] = *bytes.first_chunk()?;
    // The most frequent tags come first.
    if tag == tag::ATOM {
        return bytes.get(3 + usize::from(u16::from_be_bytes([a, b]))..);
    }
    if tag == tag::SMALL_ATOM_UTF8 {
        return bytes.get(2 + usize::from(a)..);
    }
    if tag == tag::BINARY {
        return bytes.get(of_u32(u32::from_be_bytes([a, b, c, d])).saturating_add(5)..);
    }
    let length = match tag {
        tag::SMALL_ATOM => 2 + usize::from(a),
        tag::SMALL_BIG => 3 + usize::from(a),
        tag::SMALL_INTEGER => 2,
        tag::NIL => 1,
        tag::INTEGER => 5,
        tag::ATOM_UTF8 => 3 + usize::from(u16::from_be_bytes([a, b])),
        tag::NEW_FLOAT => 9,
        _ => return None,
    };
    bytes.get(length..)
}

struct Skip<'b> {
    /// The length of the whole document in bytes, to compute offsets.
    length: usize,
    budget: &'b mut Budget,
}

impl Skip<'_> {
    /// As [`after_leaf`], for any term.
    fn after_rare<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let start = self.length - bytes.len();
        let (tag, rest) = bytes.split_first().ok_or_else(|| self.incomplete())?;
        match *tag {
            tag::MAP => {
                let (entries, mut rest) = self.count(rest)?;
                self.enter(start, rest, entries, 2)?;
                for _ in 0..entries {
                    // Nearly all keys are atoms with one of these tags.
                    let text = match *rest {
                        [tag::ATOM, 0, length, ref text @ ..]
                        | [tag::SMALL_ATOM_UTF8, length, ref text @ ..] => text.get(usize::from(length)..),
                        _ => None,
                    };
                    rest = match text {
                        Some(after) => after,
                        None => self.after_part(rest)?,
                    };
                    rest = self.after_part(rest)?;
                }
                self.budget.leave();
                Ok(rest)
            }
            tag::LIST => {
                let (elements, rest) = self.count(rest)?;
                let end = self.after_elements(start, rest, elements)?;
                match end.split_first() {
                    Some((&tag::NIL, rest)) => Ok(rest),
                    Some(_) => Err(Error::malformed("the list is improper", self.length - end.len())),
                    None => Err(self.incomplete()),
                }
            }
            tag::LARGE_TUPLE => {
                let (elements, rest) = self.count(rest)?;
                self.after_elements(start, rest, elements)
            }
            tag::SMALL_TUPLE => {
                let (elements, rest) = rest.split_first().ok_or_else(|| self.incomplete())?;
                self.after_elements(start, rest, usize::from(*elements))
            }
            tag::STRING => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(|| self.incomplete())?;
                let length = usize::from(u16::from_be_bytes(*length));
                self.budget.take(length, start)?;
                rest.get(length..).ok_or_else(|| self.incomplete())
            }
            tag::LARGE_BIG => {
                let (length, rest) = self.count(rest)?;
                rest.get(length..).and_then(|rest| rest.get(1..)).ok_or_else(|| self.incomplete())
            }
            _ => match self.scalar_length(*tag, rest)? {
                Some(length) => rest.get(length..).ok_or_else(|| self.incomplete()),
                None => Err(Error::malformed("a term of this tag is not accepted", start)),
            },
        }
    }

    /// The number of bytes after the tag of a term without parts. `None` for any other tag.
    fn scalar_length(&self, tag: u8, rest: &[u8]) -> Result<Option<usize>, Error> {
        let byte = |index| rest.get(index).copied().map(usize::from).ok_or_else(|| self.incomplete());
        Ok(Some(match tag {
            tag::NIL => 0,
            tag::SMALL_INTEGER => 1,
            tag::INTEGER => 4,
            tag::NEW_FLOAT => 8,
            tag::FLOAT => 31,
            tag::SMALL_ATOM_UTF8 | tag::SMALL_ATOM => 1 + byte(0)?,
            tag::SMALL_BIG => 2 + byte(0)?,
            tag::ATOM | tag::ATOM_UTF8 => 2 + (byte(0)? << 8 | byte(1)?),
            tag::BINARY => self.count(rest)?.0.saturating_add(4),
            _ => return Ok(None),
        }))
    }

    /// The bytes after the elements of the list or tuple that begins at `start`.
    fn after_elements<'a>(
        &mut self,
        start: usize,
        mut rest: &'a [u8],
        elements: usize,
    ) -> Result<&'a [u8], Error> {
        self.enter(start, rest, elements, 1)?;
        for _ in 0..elements {
            rest = self.after_part(rest)?;
        }
        self.budget.leave();
        Ok(rest)
    }

    #[inline(always)]
    fn after_part<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Error> {
        match after_leaf(rest) {
            Some(after) => Ok(after),
            None => self.after_rare(rest),
        }
    }

    /// Enters the container that begins at `start`. Each of its parts takes at least one byte.
    #[inline]
    fn enter(&mut self, start: usize, rest: &[u8], elements: usize, parts_each: usize) -> Result<(), Error> {
        if elements > rest.len() / parts_each {
            return Err(self.incomplete());
        }
        self.budget.enter(start)?;
        self.budget.take(elements, start)
    }

    /// A count or length of four bytes, and the bytes after it.
    fn count<'a>(&self, rest: &'a [u8]) -> Result<(usize, &'a [u8]), Error> {
        let (count, rest) = rest.split_first_chunk().ok_or_else(|| self.incomplete())?;
        Ok((of_u32(u32::from_be_bytes(*count)), rest))
    }

    #[cold]
    fn incomplete(&self) -> Error {
        Error::incomplete(self.length)
    }
}
