//! Writes what a deserializer reads with a serializer, without a tree in between.

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};
use serde::ser::{self, Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};
use std::cell::Cell;
use std::fmt;

/// Writes the one value that `deserializer` reads.
pub(crate) fn transcode<'de, D, S>(deserializer: D, serializer: S) -> Result<S::Ok, S::Error>
where
    D: Deserializer<'de>,
    S: Serializer,
{
    deserializer.deserialize_any(Writer(serializer)).map_err(S::Error::custom)
}

/// Visits a value by writing it.
struct Writer<S>(S);

impl<'de, S: Serializer> Visitor<'de> for Writer<S> {
    type Value = S::Ok;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<S::Ok, E> {
        self.0.serialize_bool(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<S::Ok, E> {
        self.0.serialize_u64(number).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<S::Ok, E> {
        self.0.serialize_i64(number).map_err(E::custom)
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<S::Ok, E> {
        self.0.serialize_u128(number).map_err(E::custom)
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<S::Ok, E> {
        self.0.serialize_i128(number).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<S::Ok, E> {
        self.0.serialize_f64(number).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<S::Ok, E> {
        self.0.serialize_str(text).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<S::Ok, A::Error> {
        let mut list = self.0.serialize_seq(None).map_err(de::Error::custom)?;
        while elements.next_element_seed(ElementWriter(&mut list))?.is_some() {}
        list.end().map_err(de::Error::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<S::Ok, A::Error> {
        let mut map = self.0.serialize_map(None).map_err(de::Error::custom)?;
        while entries.next_key_seed(KeyWriter(&mut map))?.is_some() {
            entries.next_value_seed(ValueWriter(&mut map))?;
        }
        map.end().map_err(de::Error::custom)
    }
}

struct ElementWriter<'a, L>(&'a mut L);

impl<'de, L: SerializeSeq> DeserializeSeed<'de> for ElementWriter<'_, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_element(&Unread::new(deserializer)).map_err(de::Error::custom)
    }
}

struct KeyWriter<'a, M>(&'a mut M);

impl<'de, M: SerializeMap> DeserializeSeed<'de> for KeyWriter<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_key(&Unread::new(deserializer)).map_err(de::Error::custom)
    }
}

struct ValueWriter<'a, M>(&'a mut M);

impl<'de, M: SerializeMap> DeserializeSeed<'de> for ValueWriter<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_value(&Unread::new(deserializer)).map_err(de::Error::custom)
    }
}

/// A value that is read at the time it is written.
struct Unread<D>(Cell<Option<D>>);

impl<D> Unread<D> {
    fn new(deserializer: D) -> Self {
        Self(Cell::new(Some(deserializer)))
    }
}

impl<'de, D: Deserializer<'de>> Serialize for Unread<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.take() {
            Some(deserializer) => transcode(deserializer, serializer),
            None => Err(ser::Error::custom("the value was read already")),
        }
    }
}
