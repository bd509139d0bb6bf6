//! From WebSocket messages to gateway payloads: one per connection, because compression contexts are.

use bytes::Bytes;
use gateway_codec::{Compression, Encoding, Envelope, InflateError, InflateLimits, Inflater, inflate_zlib};

use crate::Message;
use crate::config::Limits;
use crate::transcript::recorded_payload;

/// Undoes the compression of one connection.
pub(crate) struct Receiver {
    encoding: Encoding,
    inflater: Option<Inflater>,
    limits: Limits,
    /// Messages are lines of a transcript.
    replays: bool,
}

/// One gateway payload.
pub(crate) struct Received {
    pub(crate) payload: Bytes,
    pub(crate) encoding: Encoding,
    /// It did not come in the way that was asked for, but could be read.
    pub(crate) unexpected: bool,
    /// Bytes behind the payload that are not in it: those of a payload that was written down in a transcript.
    pub(crate) trailing: usize,
}

/// Why a message gives no payload.
pub(crate) enum ReceiveError {
    /// It is larger than the limits allow. A resume would replay it.
    TooLarge,
    /// It is not what was agreed on. The texts tell nothing of its content.
    Undecodable(String),
}

impl Receiver {
    /// Fresh contexts: nothing of another connection is left in them.
    pub(crate) fn new(encoding: Encoding, compression: Compression, limits: &Limits) -> Self {
        let inflater = Inflater::new(compression, inflate_limits(limits));
        Self { encoding, inflater, limits: limits.clone(), replays: false }
    }

    /// One that reads messages of a transcript.
    pub(crate) fn of_transcript(limits: &Limits) -> Self {
        let (encoding, limits) = (Encoding::Json, limits.clone());
        Self { encoding, inflater: None, limits, replays: true }
    }

    /// Takes a WebSocket message. None: the payload goes on in the next one.
    pub(crate) fn receive(&mut self, message: Message) -> Result<Option<Received>, ReceiveError> {
        if self.replays {
            return recorded_payload(message.as_bytes());
        }
        if message.as_bytes().len() > self.limits.message_bytes {
            return Err(ReceiveError::TooLarge);
        }
        match message {
            Message::Binary(frame) => match &mut self.inflater {
                Some(inflater) => {
                    let encoding = self.encoding;
                    let whole = |payload: &[u8]| Envelope::is_whole(payload, encoding);
                    let payload = inflater.push(&frame, whole).map_err(ReceiveError::from)?;
                    Ok(payload.map(|payload| Received { payload, encoding, unexpected: false, trailing: 0 }))
                }
                None => self.uncompressed(frame).map(Some),
            },
            // With a stream every message is binary; with ETF too. A text is taken for what it looks like.
            Message::Text(text) => {
                let unexpected = self.inflater.is_some() || self.encoding != Encoding::Json;
                Ok(Some(Received { payload: text, encoding: Encoding::Json, unexpected, trailing: 0 }))
            }
        }
    }

    /// A binary message of a connection without stream compression: its first byte tells what it is.
    fn uncompressed(&self, frame: Bytes) -> Result<Received, ReceiveError> {
        match (self.encoding, frame.first()) {
            (Encoding::Etf, Some(131)) => {
                Ok(Received { payload: frame, encoding: Encoding::Etf, unexpected: false, trailing: 0 })
            }
            // Payload compression: "some payloads only", each a whole zlib stream of its own.
            (Encoding::Json, Some(0x78)) => {
                let payload = inflate_zlib(&frame, self.limits.inflated_bytes).map_err(ReceiveError::from)?;
                Ok(Received { payload, encoding: Encoding::Json, unexpected: false, trailing: 0 })
            }
            (_, Some(b'{')) => {
                Ok(Received { payload: frame, encoding: Encoding::Json, unexpected: true, trailing: 0 })
            }
            (_, Some(byte)) => {
                Err(ReceiveError::Undecodable(format!("a binary message that begins with byte {byte:#04x}")))
            }
            (_, None) => Err(ReceiveError::Undecodable("an empty message".to_owned())),
        }
    }
}

fn inflate_limits(limits: &Limits) -> InflateLimits {
    let mut inflate_limits = InflateLimits::default();
    inflate_limits.max_input = limits.message_bytes;
    inflate_limits.max_output = limits.inflated_bytes;
    inflate_limits
}

impl From<InflateError> for ReceiveError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge { .. } => Self::TooLarge,
            error => Self::Undecodable(error.to_string()),
        }
    }
}
