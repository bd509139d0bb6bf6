//! Map keys: text for a type that reads text, numbers for a type that reads numbers.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::reader::text_of;
use super::{Deserializer, Integer, Reader, Term};
use crate::{Error, ErrorKind};
use serde::de::{self, Visitor, value::CowStrDeserializer};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::str::FromStr;

/// Reads a map key as text. An atom is its name, also where it would be null or a boolean as a value.
#[inline]
pub(crate) fn key_text<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
    if let Some(text) = reader.plain_text() {
        return Ok(Cow::Borrowed(text));
    }
    let before = reader.clone();
    let term = reader.term()?;
    term_text(term, &before)
}

/// The text of a key that begins at the position of `before`.
fn term_text<'a>(term: Term<'a>, before: &Reader<'a>) -> Result<Cow<'a, str>, Error> {
    Ok(match term {
        Term::Atom(text) => text,
        Term::Binary(bytes) => text_of(bytes),
        Term::Integer(number) => Cow::Owned(number.to_string()),
        Term::Null => Cow::Borrowed(before.null_text()),
        Term::Bool(true) => Cow::Borrowed("true"),
        Term::Bool(false) => Cow::Borrowed("false"),
        _ => return Err(Error::malformed("a map key of this tag is not accepted", before.offset())),
    })
}

/// Reads one map key into its type.
pub(super) struct KeyDeserializer<'a, 'de>(pub(super) &'a mut Deserializer<'de>);

impl<'de> KeyDeserializer<'_, 'de> {
    fn text(self) -> Result<Cow<'de, str>, Error> {
        let Deserializer { reader, known, .. } = self.0;
        match reader.plain_text_known(known) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => key_text(reader),
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let before = self.0.reader.clone();
        let start = before.offset();
        let number = match self.0.reader.term()? {
            Term::Integer(number) => number,
            other => {
                let text = term_text(other, &before)?;
                integer_from_text(&text).ok_or_else(|| {
                    Error::new(ErrorKind::Mismatch, "invalid key, expected an integer").at(start)
                })?
            }
        };
        super::deserialize::visit_integer(number, visitor).map_err(|error: Error| error.at(start))
    }

    fn parsed<T: FromStr>(self, expected: &'static str) -> Result<T, Error> {
        let start = self.0.reader.offset();
        self.text()?.parse().map_err(|_| Error::new(ErrorKind::Mismatch, expected).at(start))
    }
}

fn integer_from_text(text: &str) -> Option<Integer> {
    text.parse::<u128>().map(Integer::from).or_else(|_| text.parse::<i128>().map(Integer::from)).ok()
}

impl<'de> de::Deserializer<'de> for KeyDeserializer<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.0.reader.offset();
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
        .map_err(|error: Error| error.at(start))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.parsed("invalid key, expected a boolean")?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f32(self.parsed("invalid key, expected a number")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.parsed("invalid key, expected a number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let start = self.0.reader.offset();
        visitor.visit_enum(CowStrDeserializer::new(self.text()?)).map_err(|error: Error| error.at(start))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let before = self.0.reader.clone();
        match self.0.reader.term()? {
            Term::Binary(bytes) => visitor.visit_borrowed_bytes(bytes),
            other => visitor.visit_bytes(term_text(other, &before)?.as_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char str string unit unit_struct seq tuple tuple_struct map struct identifier }
}
