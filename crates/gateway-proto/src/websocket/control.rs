//! tungstenite, as far as it is used: for control frames.

use std::borrow::Cow;

use tungstenite::Utf8Bytes;
use tungstenite::protocol::{CloseFrame as WireCloseFrame, WebSocketConfig};

use crate::CloseFrame;

/// tungstenite reads and writes control frames alone, which have at most 131 bytes.
const CONTROL_BYTES: usize = 256;

/// How tungstenite is set up. Of what it cannot write it keeps little, and of answers to pings the newest.
pub fn control_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CONTROL_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BYTES)
}

/// A close frame as tungstenite takes it.
pub fn close_frame(frame: CloseFrame) -> WireCloseFrame {
    let reason = match frame.reason {
        Cow::Borrowed(text) => Utf8Bytes::from_static(text),
        Cow::Owned(text) => text.into(),
    };
    WireCloseFrame { code: frame.code.into(), reason }
}
