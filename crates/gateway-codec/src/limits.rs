//! What a document may cost at most.

/// Bounds on a document that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many lists and maps may lie in one another. Default and greatest value 256; JSON decoded into a type
    /// stops at 128 whatever this says.
    pub depth: usize,
    /// How many bytes an input that is compressed may inflate to. Default 256 MiB.
    pub output: usize,
}

impl Limits {
    /// The greatest depth that any reader of this crate follows.
    pub const MAX_DEPTH: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: Self::MAX_DEPTH, output: 256 << 20 }
    }
}
