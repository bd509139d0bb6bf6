//! From WebSocket messages to gateway payloads. Each connection has its own receiver with its compression context.

use bytes::Bytes;
use gateway_codec::{Encoding, Envelope, InflateError, InflateLimits, Inflater, inflate_zlib, is_zlib};

use crate::payload::{Check, ReadMessage, Reading};
use crate::{Message, ShardConfig};

/// Inflates the messages of one connection.
pub(crate) struct Receiver {
    encoding: Encoding,
    inflater: Option<Inflater>,
    message_bytes: usize,
    inflated_bytes: usize,
}

/// One gateway payload without its compression.
struct Inflated {
    payload: Bytes,
    encoding: Encoding,
    /// Whether it came in another form than requested, but could be read.
    unexpected: bool,
}

/// Why a message has no payload.
enum ReceiveError {
    /// It is larger than the limits allow.
    TooLarge,
    /// It is not in the expected format. The text contains nothing of its content.
    Undecodable(String),
}

impl Receiver {
    /// A receiver with new contexts.
    pub(crate) fn new(config: &ShardConfig) -> Self {
        let (message_bytes, inflated_bytes) = (config.limits.message_bytes, config.limits.inflated_bytes);
        let mut inflate_limits = InflateLimits::default();
        (inflate_limits.max_input, inflate_limits.max_output) = (message_bytes, inflated_bytes);
        let inflater = Inflater::new(config.compression, inflate_limits);
        Self { encoding: config.encoding, inflater, message_bytes, inflated_bytes }
    }

    /// Reads a WebSocket message.
    pub(crate) fn read(&mut self, message: Message, check: Check) -> ReadMessage {
        let bytes = message.as_bytes().len();
        match self.inflate(message) {
            Ok(Some(Inflated { payload, encoding, unexpected })) => {
                ReadMessage::of(bytes, payload, encoding, unexpected, check)
            }
            Ok(None) => ReadMessage { bytes, reading: Reading::Part },
            Err(ReceiveError::TooLarge) => ReadMessage { bytes, reading: Reading::TooLarge },
            Err(ReceiveError::Undecodable(detail)) => {
                ReadMessage { bytes, reading: Reading::Undecodable { detail, inflated_bytes: None } }
            }
        }
    }

    /// None: the payload continues in the next message.
    fn inflate(&mut self, message: Message) -> Result<Option<Inflated>, ReceiveError> {
        if message.as_bytes().len() > self.message_bytes {
            return Err(ReceiveError::TooLarge);
        }
        match message {
            Message::Binary(frame) => match &mut self.inflater {
                Some(inflater) => {
                    let encoding = self.encoding;
                    let whole = |payload: &[u8]| Envelope::is_whole(payload, encoding);
                    let payload = inflater.push(&frame, whole).map_err(ReceiveError::from)?;
                    Ok(payload.map(|payload| Inflated { payload, encoding, unexpected: false }))
                }
                None => self.uncompressed(frame).map(Some),
            },
            // With a stream every message is binary, and so it is with ETF. A text is read by its first byte.
            Message::Text(text) => {
                let unexpected = self.inflater.is_some() || self.encoding != Encoding::Json;
                Ok(Some(Inflated { payload: text, encoding: Encoding::Json, unexpected }))
            }
        }
    }

    /// Reads a binary message of a connection without stream compression. Its beginning shows its format: no term begins like a
    /// zlib stream or an object of JSON, and no object like a zlib stream.
    fn uncompressed(&self, frame: Bytes) -> Result<Inflated, ReceiveError> {
        match (self.encoding, frame.first()) {
            (Encoding::Etf, Some(131)) => {
                Ok(Inflated { payload: frame, encoding: Encoding::Etf, unexpected: false })
            }
            // Payload compression: "some payloads only", each a whole zlib stream of its own.
            (Encoding::Json, _) if is_zlib(&frame) => {
                let payload = inflate_zlib(&frame, self.inflated_bytes).map_err(ReceiveError::from)?;
                Ok(Inflated { payload, encoding: Encoding::Json, unexpected: false })
            }
            _ if begins_as_an_object(&frame) => {
                Ok(Inflated { payload: frame, encoding: Encoding::Json, unexpected: true })
            }
            (_, Some(byte)) => {
                Err(ReceiveError::Undecodable(format!("a binary message that begins with byte {byte:#04x}")))
            }
            (_, None) => Err(ReceiveError::Undecodable("an empty message".to_owned())),
        }
    }
}

/// Whether a text begins as an object of JSON, after a byte order mark and blanks (RFC 8259, sections 2 and 8.1).
fn begins_as_an_object(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'{')
}

impl From<InflateError> for ReceiveError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge { .. } => Self::TooLarge,
            error => Self::Undecodable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{Compression, Intents};

    fn receive(encoding: Encoding, message: &[u8]) -> Result<(Bytes, bool), String> {
        let mut config = ShardConfig::new("token", Intents::GUILDS);
        (config.encoding, config.compression) = (encoding, Compression::None);
        match Receiver::new(&config).inflate(Message::Binary(Bytes::copy_from_slice(message))) {
            Ok(Some(received)) => Ok((received.payload, received.unexpected)),
            Ok(None) => Err("nothing yet".to_owned()),
            Err(ReceiveError::TooLarge) => Err("too large".to_owned()),
            Err(ReceiveError::Undecodable(text)) => Err(text),
        }
    }

    /// A stored block in a zlib stream with this header, whose window the first byte names.
    #[cfg(feature = "zlib")]
    fn zlib(header: [u8; 2], text: &[u8]) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in text {
            low = (low + u32::from(*byte)) % 65521;
            high = (high + low) % 65521;
        }
        let checksum = (high << 16 | low).to_be_bytes();
        [&header[..], &[1], &length.to_le_bytes(), &(!length).to_le_bytes(), text, &checksum].concat()
    }

    /// RFC 1950, section 2.2: any window of up to 32 KiB, any level, a checksum over both bytes.
    #[cfg(feature = "zlib")]
    #[test]
    fn a_binary_message_is_inflated_whatever_window_its_header_names() {
        let payload = br#"{"op":11}"#;
        let mut headers = 0;
        for method in (0..=7).map(|window| window << 4 | 8_u8) {
            // Bit 5 would name a dictionary, and none was agreed on.
            for flags in (0..=255_u8).filter(|flags| flags & 0x20 == 0) {
                if u16::from_be_bytes([method, flags]) % 31 == 0 {
                    headers += 1;
                    let received = receive(Encoding::Json, &zlib([method, flags], payload));
                    assert_eq!(received, Ok((payload[..].into(), false)), "{method:#x} {flags:#x}");
                }
            }
        }
        assert!(headers >= 8 * 4, "{headers}");
        assert!(receive(Encoding::Json, &zlib([0x78, 0xbb], payload)).is_err(), "with a dictionary");
        // The header of 0x58 0xc3, as it was reported.
        assert!(receive(Encoding::Json, &zlib([0x58, 0xc3], payload)).is_ok());
    }

    #[test]
    fn a_binary_message_that_is_no_stream_is_told_by_its_structure() {
        for text in [r#"{"op":11}"#, " {\"op\":11}", "\r\n\t{\"op\":11}", "\u{feff}{\"op\":11}"] {
            let received = receive(Encoding::Json, text.as_bytes());
            assert_eq!(received, Ok((Bytes::copy_from_slice(text.as_bytes()), true)), "{text}");
            assert!(receive(Encoding::Etf, text.as_bytes()).is_ok(), "{text}");
        }
        assert_eq!(receive(Encoding::Etf, b"\x83\x6a"), Ok((b"\x83\x6a"[..].into(), false)));
        // As a number in JSON begins, or text: no payload, and only the first is a header of zlib.
        for message in ["80", "8", "x", "Hello", "(", "[]", "\u{feff}", " "] {
            assert!(receive(Encoding::Json, message.as_bytes()).is_err(), "{message}");
        }
    }
}
