//! What two sessions are compared by: an event's name and its data in canonical form.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use gateway_proto::Dispatch;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A hash of an event's name and data. Equal for two payloads that differ only in the order of keys, or in whether an id is
/// written as a number or as text. Nothing promises that Discord sends both sessions the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(u64);

impl Digest {
    /// The digest of a dispatch. `seed` keeps users of Discord from writing events that collide.
    pub(crate) fn of(dispatch: &Dispatch, seed: u64) -> Self {
        let data = dispatch.data();
        // Data that cannot be read is compared byte by byte.
        let data = match data.decode_seed(Canonical { seed }) {
            Ok(hash) => hash,
            Err(_) => hash(seed, |hasher| data.as_bytes().hash(hasher)),
        };
        Self(hash(seed, |hasher| (dispatch.name(), data).hash(hasher)))
    }
}

fn hash(seed: u64, write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    write(&mut hasher);
    hasher.finish()
}

/// Reads a value into its hash, without building it.
#[derive(Clone, Copy)]
struct Canonical {
    seed: u64,
}

impl Canonical {
    fn tagged(self, tag: u8, value: impl Hash) -> u64 {
        hash(self.seed, |hasher| (tag, value).hash(hasher))
    }

    /// Numbers and text are one kind: ETF may hold an id as either.
    fn text(self, text: &str) -> u64 {
        self.tagged(b'"', text)
    }
}

impl<'de> DeserializeSeed<'de> for Canonical {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of an event")
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(self.tagged(b'b', value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(self.text(&value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(self.text(&value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(self.tagged(b'f', value.to_bits()))
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(self.text(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<u64, E> {
        Ok(match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(_) => self.tagged(b'B', bytes),
        })
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(self.tagged(b'0', ()))
    }

    fn visit_none<E: Error>(self) -> Result<u64, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<u64, A::Error> {
        let mut whole = self.tagged(b'[', ());
        while let Some(element) = elements.next_element_seed(self)? {
            whole = self.tagged(b',', (whole, element));
        }
        Ok(whole)
    }

    /// The sum does not depend on the order of the keys.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<u64, A::Error> {
        let mut whole = self.tagged(b'{', ());
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            whole = whole.wrapping_add(self.tagged(b':', (key, value)));
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use gateway_proto::Encoding;
    use gateway_proto::codec::encode;

    use super::*;

    fn digest(name: &str, data: &str) -> Digest {
        let payload = format!(r#"{{"t":"{name}","s":1,"op":0,"d":{data}}}"#);
        Digest::of(&Dispatch::from_payload(payload, Encoding::Json).unwrap(), 7)
    }

    #[test]
    fn spelling_makes_no_difference() {
        let one = digest("X", r#"{"id":"7","author":{"id":8,"bot":true},"roles":["1",null]}"#);
        let other = digest("X", r#"{ "roles": [1, null], "author": {"bot":true,"id":"8"}, "id": 7 }"#);
        assert_eq!(one, other);
    }

    #[test]
    fn content_makes_a_difference() {
        let all = [
            ("X", "{}"),
            ("Y", "{}"),
            ("X", "[]"),
            ("X", "null"),
            ("X", r#""""#),
            ("X", r#"{"a":null}"#),
            ("X", r#"{"a":false}"#),
            ("X", r#"{"a":"false"}"#),
            ("X", r#"{"a":1.5}"#),
            ("X", r#"{"a":"b"}"#),
            ("X", r#"{"b":"a"}"#),
            ("X", r#"{"a":{"b":"c"}}"#),
            ("X", r#"{"a":["b","c"]}"#),
            ("X", r#"{"a":["c","b"]}"#),
            ("X", r#"{"a":[["b"],"c"]}"#),
            ("X", r#"{"a":"b","c":"d"}"#),
            ("X", r#"{"a":"d","c":"b"}"#),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(digest(one.0, one.1), digest(other.0, other.1), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn json_and_etf_are_equal() {
        let payload =
            r#"{"t":"X","s":1,"op":0,"d":{"id":"7","on":true,"list":[1,2,300],"none":null,"text":"é"}}"#;
        let json = Dispatch::from_payload(payload, Encoding::Json).unwrap();
        let value: serde_json::Value = serde_json::from_str(payload).unwrap();
        let etf = encode(&value, Encoding::Etf).unwrap();
        let etf = Dispatch::from_payload(etf, Encoding::Etf).unwrap();
        assert_eq!(Digest::of(&json, 1), Digest::of(&etf, 1));
        assert_ne!(Digest::of(&json, 1), Digest::of(&json, 2), "the seed counts");
    }
}
