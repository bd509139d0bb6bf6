//! Frames as a server writes them.

pub(crate) use gateway_sim::frame;

/// Opcodes of RFC 6455, section 5.2.
pub(crate) const TEXT: u8 = 1;
pub(crate) const PING: u8 = 9;

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x80 | TEXT, payload.as_bytes())
}
