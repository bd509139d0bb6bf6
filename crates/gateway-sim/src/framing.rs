//! How messages are cut and ordered, as a test may choose.

/// How a message is cut before it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FrameMode {
    /// One WebSocket message in one frame.
    #[default]
    Whole,
    /// One WebSocket message in several frames (continuation frames).
    Fragments,
    /// Under zlib-stream, several WebSocket messages; the first ends within the flush marker, where the marker allows.
    /// Whole otherwise.
    ZlibSplit,
}

/// The order of the four keys of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyOrder {
    /// `t`, `s`, `op`, `d`: what Discord sends and some clients depend on.
    #[default]
    Usual,
    /// `d`, `op`, `s`, `t`.
    DataFirst,
    /// Another of the 24 orders with every message, in turn.
    Changing,
}
