//! Limits on the size and the depth of a document.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use crate::Error;

/// Limits on a document that is read.
///
/// Every reader that takes limits enforces all of them: into types, into [`etf::Value`](crate::etf::Value), and the
/// converter in each direction. A reader that takes none enforces the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentLimits {
    /// How deep lists and maps may be nested. Default and maximum 256; JSON that is decoded into a type is limited to 127
    /// in any case. In ETF the empty list and STRING_EXT contain no terms and do not count.
    pub depth: usize,
    /// How many elements and entries all lists and maps of the document may have together. Default 2^24 (16 777 216). A
    /// tree takes about 100 bytes for each, a type often less.
    pub elements: usize,
    /// How many bytes the document may have, before anything is inflated. Default 256 MiB.
    pub input: usize,
    /// How many bytes a compressed input may inflate to. Default 256 MiB.
    pub output: usize,
}

impl DocumentLimits {
    /// The maximum of [`depth`](Self::depth).
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

/// The remaining limits while a document is read.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    depth: usize,
    elements: usize,
}

impl Budget {
    pub(crate) fn new(limits: &DocumentLimits) -> Self {
        Self { depth: limits.depth.min(DocumentLimits::MAX_DEPTH), elements: limits.elements }
    }

    /// For readers that build no values, so that only the depth needs a limit.
    pub(crate) fn of_depth(depth: usize) -> Self {
        Self { depth: depth.min(DocumentLimits::MAX_DEPTH), elements: usize::MAX }
    }

    /// Enters a list or map that begins at `start`.
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

    /// Counts `elements` of a container at `start`.
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
