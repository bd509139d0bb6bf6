//! How messages are split, and the order of their keys.

/// How a message is split before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FrameMode {
    /// One WebSocket message in one frame.
    #[default]
    Whole,
    /// One WebSocket message in several frames (continuation frames).
    Fragments,
    /// Under zlib-stream, several WebSocket messages; the first ends within the flush marker if possible. Otherwise as
    /// `Whole`.
    ZlibSplit,
}

/// The order of the four keys of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyOrder {
    /// `t`, `s`, `op`, `d`: Discord's order, which some clients depend on.
    #[default]
    Usual,
    /// `d`, `op`, `s`, `t`.
    DataFirst,
    /// Each of the 24 orders in turn, one for each message.
    Changing,
}
