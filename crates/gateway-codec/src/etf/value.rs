//! Any term, as a tree.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::{Integer, Reader, Term, key_text};
use crate::document_limits::Budget;
use crate::{DocumentLimits, Error};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::fmt;

/// The maximum capacity of a container before its elements are read.
const MAX_CAPACITY: usize = 64;

/// A term as a tree, which borrows its text from the input. Exhaustive, so that a program that walks it handles every term.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// The atom `nil` (or `null`).
    Null,
    /// The atom `true` or `false`.
    Bool(bool),
    /// Any other atom.
    Atom(Cow<'a, str>),
    /// An integer.
    Integer(Integer),
    /// A float.
    Float(f64),
    /// A binary: mostly UTF-8 text.
    Binary(Cow<'a, [u8]>),
    /// A list, a tuple, or STRING_EXT.
    List(Vec<Value<'a>>),
    /// A map in order, duplicates included, with keys as text.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Reads one document.
    ///
    /// # Errors
    ///
    /// As [`from_slice`](super::from_slice), without mismatches.
    pub fn from_slice(bytes: &'a [u8], limits: &DocumentLimits) -> Result<Self, Error> {
        limits.check_input(bytes)?;
        Self::read(&mut Reader::new(bytes)?, &mut Budget::new(limits))
    }

    /// The value of a key, the last if there are several. `None` if this is not a map.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => {
                entries.iter().rev().find(|(found, _)| found == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text of an atom or of a binary that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Atom(text) => Some(text),
            Value::Binary(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// An integer from 0 to 2^64 - 1.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => number.to_u64(),
            _ => None,
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Atom(text) => Value::Atom(Cow::Owned(text.into_owned())),
            Value::Integer(number) => Value::Integer(number),
            Value::Float(number) => Value::Float(number),
            Value::Binary(bytes) => Value::Binary(Cow::Owned(bytes.into_owned())),
            Value::List(elements) => Value::List(elements.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => {
                let own = |(key, value): (Cow<'a, str>, Value<'a>)| {
                    (Cow::Owned(key.into_owned()), value.into_owned())
                };
                Value::Map(entries.into_iter().map(own).collect())
            }
        }
    }

    fn read(reader: &mut Reader<'a>, budget: &mut Budget) -> Result<Self, Error> {
        let start = reader.offset();
        Ok(match reader.term()? {
            Term::Null => Value::Null,
            Term::Bool(value) => Value::Bool(value),
            Term::Atom(text) => Value::Atom(text),
            Term::Integer(number) => Value::Integer(number),
            Term::Float(number) => Value::Float(number),
            Term::Binary(bytes) => Value::Binary(Cow::Borrowed(bytes)),
            Term::EmptyList => Value::List(Vec::new()),
            Term::SmallIntegers(bytes) => {
                budget.take(bytes.len(), start)?;
                Value::List(bytes.iter().map(|byte| Value::Integer(u64::from(*byte).into())).collect())
            }
            Term::Tuple(length) => Value::List(Self::read_list(reader, length, start, budget)?),
            Term::List(length) => {
                let elements = Self::read_list(reader, length, start, budget)?;
                reader.list_end()?;
                Value::List(elements)
            }
            Term::Map(length) => Value::Map(Self::read_map(reader, length, start, budget)?),
        })
    }

    fn read_list(
        reader: &mut Reader<'a>,
        length: usize,
        start: usize,
        budget: &mut Budget,
    ) -> Result<Vec<Self>, Error> {
        budget.enter(start)?;
        budget.take(length, start)?;
        let mut elements = Vec::with_capacity(length.min(MAX_CAPACITY));
        for index in 0..length {
            elements.push(Self::read(reader, budget).map_err(|error| error.inside_index(index))?);
        }
        budget.leave();
        Ok(elements)
    }

    fn read_map(
        reader: &mut Reader<'a>,
        length: usize,
        start: usize,
        budget: &mut Budget,
    ) -> Result<Vec<(Cow<'a, str>, Self)>, Error> {
        budget.enter(start)?;
        budget.take(length, start)?;
        let mut entries = Vec::with_capacity(length.min(MAX_CAPACITY));
        for _ in 0..length {
            let key = key_text(reader)?;
            match Self::read(reader, budget) {
                Ok(value) => entries.push((key, value)),
                Err(error) => return Err(error.inside_key(&key)),
            }
        }
        budget.leave();
        Ok(entries)
    }
}

/// Prints the shape alone: a value may be a token.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("Null"),
            Value::Bool(_) => formatter.write_str("Bool"),
            Value::Atom(text) => write!(formatter, "Atom({} bytes)", text.len()),
            Value::Integer(_) => formatter.write_str("Integer"),
            Value::Float(_) => formatter.write_str("Float"),
            Value::Binary(bytes) => write!(formatter, "Binary({} bytes)", bytes.len()),
            Value::List(elements) => write!(formatter, "List({} elements)", elements.len()),
            Value::Map(entries) => write!(formatter, "Map({} entries)", entries.len()),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Atom(text) => serializer.serialize_str(text),
            Value::Integer(Integer::Unsigned(number)) => serializer.serialize_u64(*number),
            Value::Integer(Integer::Negative(number)) => serializer.serialize_i64(*number),
            Value::Integer(number @ Integer::Wide { magnitude, .. }) => match number.to_i128() {
                Some(number) => serializer.serialize_i128(number),
                None if number.is_negative() => {
                    Err(serde::ser::Error::custom("an integer is wider than 128 bits"))
                }
                None => serializer.serialize_u128(*magnitude),
            },
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_bytes(bytes),
            },
            Value::List(elements) => serializer.collect_seq(elements),
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Binary(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value<'de>, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Binary(Cow::Owned(text.into_bytes())))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::List(elements))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, _>()? {
            entries.push((Cow::Owned(key), value));
        }
        Ok(Value::Map(entries))
    }
}
