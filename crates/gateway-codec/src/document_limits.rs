//! What a document may cost at most.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use crate::Error;

/// Bounds on a document that is read.
///
/// Every reader that takes limits obeys all of them: into types, into [`etf::Value`](crate::etf::Value), and the
/// converter in each direction. What takes none obeys the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentLimits {
    /// How many lists and maps may lie in one another. Default and greatest value 256; JSON decoded into a type
    /// stops at 127 whatever this says. In ETF the empty list and STRING_EXT hold no others and do not count.
    pub depth: usize,
    /// How many elements of lists and entries of maps the document may have, all its lists and maps together.
    /// Default 2^24 (16 777 216). A tree takes some 100 bytes for each, a type often less.
    pub elements: usize,
    /// How many bytes the document may have, as it is handed in. Default 256 MiB.
    pub input: usize,
    /// How many bytes an input that is compressed may inflate to. Default 256 MiB.
    pub output: usize,
}

impl DocumentLimits {
    /// The greatest depth that any reader of this crate follows.
    pub const MAX_DEPTH: usize = 256;

    /// Checks the length of a document.
    pub(crate) fn check_input(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.input {
            return Err(Error::limit("the document is longer than `DocumentLimits::input`", self.input));
        }
        Ok(())
    }
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self { depth: Self::MAX_DEPTH, elements: 1 << 24, input: 256 << 20, output: 256 << 20 }
    }
}

/// What is left of the limits while a document is read.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    depth: usize,
    elements: usize,
}

impl Budget {
    pub(crate) fn new(limits: &DocumentLimits) -> Self {
        Self { depth: limits.depth.min(DocumentLimits::MAX_DEPTH), elements: limits.elements }
    }

    /// For those who build nothing: only the depth is bounded.
    pub(crate) fn of_depth(depth: usize) -> Self {
        Self { depth: depth.min(DocumentLimits::MAX_DEPTH), elements: usize::MAX }
    }

    /// Goes into a list or map that begins at `start`.
    #[inline]
    pub(crate) fn enter(&mut self, start: usize) -> Result<(), Error> {
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => return Err(Error::limit("the document is nested too deeply", start)),
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_add(1);
    }

    /// Takes so many elements, of a container or from a place that is at `start`.
    #[inline]
    pub(crate) fn take(&mut self, elements: usize, start: usize) -> Result<(), Error> {
        match self.elements.checked_sub(elements) {
            Some(left) => self.elements = left,
            None => {
                return Err(Error::limit(
                    "the document has more elements than `DocumentLimits::elements`",
                    start,
                ));
            }
        }
        Ok(())
    }
}
