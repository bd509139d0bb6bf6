//! Turns a gateway payload into WebSocket messages: envelope, encoding, compression, splitting.

use gateway_codec::{Compression, Deflater, Encoding, deflate_zlib};

use serde_json::Value;

use crate::config::Config;
use crate::etf;
use crate::framing::{FrameMode, KeyOrder};
use crate::message::{About, Message};
use crate::parameters::Parameters;

/// A payload before it is encoded. `data` is JSON text.
pub(crate) struct Payload<'a> {
    pub(crate) op: u64,
    pub(crate) sequence: Option<u64>,
    pub(crate) name: Option<&'a str>,
    pub(crate) data: &'a str,
}

impl Payload<'_> {
    pub(crate) fn control(op: u64, data: &str) -> Payload<'_> {
        Payload { op, sequence: None, name: None, data }
    }

    pub(crate) fn about(&self) -> About {
        About {
            op: Some(self.op),
            name: self.name.map(str::to_owned),
            sequence: self.sequence,
            resumable: (self.op == 9).then_some(self.data == "true"),
        }
    }

    fn keys(order: KeyOrder, count: u64) -> [usize; 4] {
        match order {
            KeyOrder::Usual => [0, 1, 2, 3],
            KeyOrder::DataFirst => [3, 2, 1, 0],
            KeyOrder::Changing => permutation(count),
        }
    }

    fn to_etf(&self, order: [usize; 4]) -> Vec<u8> {
        let fields = [
            ("t", self.name.map_or(Value::Null, Value::from)),
            ("s", self.sequence.map_or(Value::Null, Value::from)),
            ("op", self.op.into()),
            ("d", serde_json::from_str(self.data).unwrap_or_default()),
        ];
        etf::encode(
            order
                .into_iter()
                .filter_map(|index| fields.get(index))
                .map(|(key, value)| (*key, value))
                .collect::<Vec<_>>()
                .into_iter(),
        )
    }

    fn to_json(&self, order: [usize; 4]) -> String {
        let mut text = String::with_capacity(self.data.len() + 64);
        for (index, key) in order.into_iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            match key {
                0 => {
                    text.push_str("\"t\":");
                    match self.name {
                        Some(name) => text.push_str(&Value::from(name).to_string()),
                        None => text.push_str("null"),
                    }
                }
                1 => {
                    text.push_str("\"s\":");
                    match self.sequence {
                        Some(sequence) => text.push_str(&sequence.to_string()),
                        None => text.push_str("null"),
                    }
                }
                2 => {
                    text.push_str("\"op\":");
                    text.push_str(&self.op.to_string());
                }
                _ => {
                    text.push_str("\"d\":");
                    text.push_str(self.data);
                }
            }
        }
        text.push('}');
        text
    }
}

/// The `count`th of the 24 orders of four things, modulo 24.
fn permutation(count: u64) -> [usize; 4] {
    let mut rest = vec![0, 1, 2, 3];
    let mut number = (count % 24) as usize;
    [6, 2, 1, 1].map(|weight| {
        let index = (number / weight).min(rest.len() - 1);
        number %= weight;
        rest.remove(index)
    })
}

/// The sending side of one connection: its encoding and its compression context.
pub(crate) struct Encoder {
    encoding: Encoding,
    compression: Compression,
    deflater: Option<Deflater>,
    compress_from: usize,
    pub(crate) frame_mode: FrameMode,
    pub(crate) key_order: KeyOrder,
    sent: u64,
}

impl Encoder {
    pub(crate) fn new(parameters: &Parameters, config: &Config) -> Self {
        Self {
            encoding: parameters.encoding,
            compression: parameters.compression,
            deflater: Deflater::new(parameters.compression),
            compress_from: config.compress_from,
            frame_mode: config.frame_mode,
            key_order: config.key_order,
            sent: 0,
        }
    }

    /// Enables payload compression. Transport compression takes precedence.
    pub(crate) fn compress_payloads(&mut self) {
        if self.compression == Compression::None && self.encoding == Encoding::Json {
            self.compression = Compression::Payload;
        }
    }

    pub(crate) fn encode(&mut self, payload: &Payload<'_>) -> Vec<Message> {
        let order = Payload::keys(self.key_order, self.sent);
        let document = match self.encoding {
            Encoding::Etf => payload.to_etf(order),
            Encoding::Json => payload.to_json(order).into_bytes(),
        };
        self.raw(document, payload.about())
    }

    /// Encodes an object with its keys in their order, known or not.
    pub(crate) fn whole(&mut self, payload: &Value) -> Vec<Message> {
        let about = About {
            op: payload["op"].as_u64(),
            name: payload["t"].as_str().map(str::to_owned),
            sequence: payload["s"].as_u64(),
            resumable: payload["d"].as_bool().filter(|_| payload["op"] == 9),
        };
        let document = match (self.encoding, payload.as_object()) {
            (Encoding::Etf, Some(fields)) => {
                etf::encode(fields.iter().map(|(key, value)| (key.as_str(), value)))
            }
            _ => payload.to_string().into_bytes(),
        };
        self.raw(document, about)
    }

    /// Sends a document unchanged.
    pub(crate) fn raw(&mut self, document: Vec<u8>, about: About) -> Vec<Message> {
        self.sent += 1;
        if let Some(deflater) = &mut self.deflater {
            let compressed = deflater.push(&document);
            return self.cut(compressed, about);
        }
        let compressed = self.compression == Compression::Payload && document.len() >= self.compress_from;
        let binary = compressed || self.encoding == Encoding::Etf;
        let payload = if compressed { deflate_zlib(&document) } else { document };
        vec![self.message(binary, payload, about)]
    }

    /// Splits into WebSocket messages of which only the last ends with the flush marker, or returns one.
    fn cut(&self, compressed: Vec<u8>, about: About) -> Vec<Message> {
        let split = self.frame_mode == FrameMode::ZlibSplit && self.compression == Compression::ZlibStream;
        if !split || compressed.len() < 6 {
            return vec![self.message(true, compressed, about)];
        }
        // Split within the marker 00 00 ff ff, and once before it.
        let (rest, end) = compressed.split_at(compressed.len() - 2);
        let (start, middle) = rest.split_at(rest.len() / 2);
        let part = |bytes: &[u8]| self.message(true, bytes.to_vec(), About::default());
        vec![part(start), part(middle), self.message(true, end.to_vec(), about)]
    }

    fn message(&self, binary: bool, payload: Vec<u8>, about: About) -> Message {
        let fragments = match self.frame_mode {
            FrameMode::Fragments => payload.len().clamp(1, 3),
            FrameMode::Whole | FrameMode::ZlibSplit => 1,
        };
        Message { binary, payload, fragments, about }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_order_comes_once_in_24() {
        let orders: BTreeSet<_> = (0..24).map(permutation).collect();
        assert_eq!(orders.len(), 24);
        assert_eq!(permutation(24), permutation(0));
    }

    #[test]
    fn the_usual_order_is_what_discord_sends() {
        let payload = Payload::control(11, "null");
        assert_eq!(
            payload.to_json(Payload::keys(KeyOrder::Usual, 0)),
            r#"{"t":null,"s":null,"op":11,"d":null}"#
        );
    }
}
