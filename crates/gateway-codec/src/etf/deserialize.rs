//! serde's `Deserializer` over the pull reader.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::find::small_integer;
use super::key::KeyDeserializer;
use super::reader::AsciiStretch;
use super::{Integer, Reader, Term, key_text, tag};
use crate::document_limits::Budget;
use crate::{DocumentLimits, Error, ErrorKind};
use serde::de::value::CowStrDeserializer;
use serde::de::{self, DeserializeSeed, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;

/// The maximum size hint. A type may allocate for the hint before any element is read.
const MAX_SIZE_HINT: usize = 4096;

/// Options for reading ETF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Limits on the document.
    pub limits: DocumentLimits,
    /// Whether integers beyond 2^53 are text, as ids are in Discord's JSON, where the type accepts any value (values without
    /// a type, `flatten`, tagged and untagged enums). Default true.
    ///
    /// If a type rejects the document, [`from_slice_with`](super::from_slice_with) and the other functions that read a whole
    /// document try once more with such integers as integers. A [`Deserializer`] that the caller makes does not. With
    /// false they are integers at once.
    pub wide_integers_as_text: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: DocumentLimits::default(), wide_integers_as_text: true }
    }
}

/// A serde deserializer over one document.
#[derive(Debug)]
pub struct Deserializer<'de> {
    pub(super) reader: Reader<'de>,
    pub(super) known: AsciiStretch<'de>,
    budget: Budget,
    wide_integers_as_text: bool,
    /// Whether an integer was passed as text to a type that accepts any value.
    gave_text: bool,
}

/// Reads one whole document, with the second attempt that [`Options::wide_integers_as_text`] describes.
pub(super) fn read<'de, T: de::Deserialize<'de>>(
    options: &Options,
    begin: impl Fn(&Options) -> Result<Deserializer<'de>, Error>,
) -> Result<T, Error> {
    let mut deserializer = begin(options)?;
    let error = match T::deserialize(&mut deserializer) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if deserializer.gave_text && error.kind() == ErrorKind::Mismatch {
        let with_integers = Options { wide_integers_as_text: false, ..*options };
        if let Ok(value) = T::deserialize(&mut begin(&with_integers)?) {
            return Ok(value);
        }
    }
    Err(error)
}

impl<'de> Deserializer<'de> {
    /// Begins with a document, which starts with the version byte.
    ///
    /// # Errors
    ///
    /// As [`Reader::new`], and if the document is longer than the limits allow.
    pub fn new(bytes: &'de [u8], options: &Options) -> Result<Self, Error> {
        options.limits.check_input(bytes)?;
        Ok(Self::from_reader(Reader::new(bytes)?, options))
    }

    /// Begins with a term, without the version byte.
    ///
    /// # Errors
    ///
    /// If the term is longer than the limits allow.
    pub fn term_only(bytes: &'de [u8], options: &Options) -> Result<Self, Error> {
        options.limits.check_input(bytes)?;
        Ok(Self::from_reader(Reader::term_only(bytes), options))
    }

    /// The unread bytes.
    pub fn rest(&self) -> &'de [u8] {
        self.reader.rest()
    }

    fn from_reader(reader: Reader<'de>, options: &Options) -> Self {
        Self {
            reader,
            known: AsciiStretch::default(),
            budget: Budget::new(&options.limits),
            wide_integers_as_text: options.wide_integers_as_text,
            gave_text: false,
        }
    }

    /// Passes a term to a visitor that accepts any value.
    fn visit<V: Visitor<'de>>(
        &mut self,
        term: Term<'de>,
        start: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match term {
            Term::Null => visitor.visit_unit(),
            Term::Bool(value) => visitor.visit_bool(value),
            Term::Atom(text) => visit_text(text, visitor),
            Term::Binary(bytes) => visit_text(self.reader.text_just_read(bytes, &mut self.known), visitor),
            Term::Integer(number) => visit_integer(number, visitor),
            Term::Float(number) => visitor.visit_f64(number),
            Term::SmallIntegers(bytes) => {
                self.budget.take(bytes.len(), start)?;
                visit_small_integers(bytes, visitor)
            }
            Term::EmptyList => visit_small_integers(&[], visitor),
            Term::Tuple(length) => self.visit_list(length, start, visitor),
            Term::List(length) => {
                let value = self.visit_list(length, start, visitor)?;
                self.reader.list_end().map(|()| value)
            }
            Term::Map(length) => self.visit_map(length, start, visitor),
        };
        result.map_err(|error| error.at(start))
    }

    fn visit_list<V: Visitor<'de>>(
        &mut self,
        length: usize,
        start: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.enter(length, start)?;
        let mut elements = Elements { deserializer: self, index: 0, length };
        let value = visitor.visit_seq(&mut elements)?;
        let unread = elements.length.saturating_sub(elements.index);
        self.leave(unread, start).map(|()| value)
    }

    fn visit_map<V: Visitor<'de>>(
        &mut self,
        length: usize,
        start: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.enter(length, start)?;
        let mut entries = Entries { deserializer: self, unread: length, key_start: start };
        let value = visitor.visit_map(&mut entries)?;
        let unread = entries.unread;
        self.leave(unread, start).map(|()| value)
    }

    fn enter(&mut self, length: usize, start: usize) -> Result<(), Error> {
        self.budget.enter(start)?;
        self.budget.take(length, start)
    }

    fn leave(&mut self, unread: usize, start: usize) -> Result<(), Error> {
        self.budget.leave();
        if unread > 0 {
            return Err(
                Error::new(ErrorKind::Mismatch, "there are more elements than the type takes").at(start)
            );
        }
        Ok(())
    }

    /// Reads an integer type, also from a float without a fraction: erlpack writes integers beyond 32 bits as floats.
    fn deserialize_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let start = self.reader.offset();
        match self.reader.term()? {
            Term::Integer(number) => visit_integer(number, visitor).map_err(|error: Error| error.at(start)),
            Term::Float(number) => match whole_number(number) {
                Some(number) => visit_integer(number, visitor).map_err(|error: Error| error.at(start)),
                None => visitor.visit_f64(number).map_err(|error: Error| error.at(start)),
            },
            other => self.visit(other, start, visitor),
        }
    }
}

pub(super) fn visit_integer<'de, V: Visitor<'de>>(number: Integer, visitor: V) -> Result<V::Value, Error> {
    match number {
        Integer::Unsigned(number) => visitor.visit_u64(number),
        Integer::Negative(number) => visitor.visit_i64(number),
        Integer::Wide { negative: false, magnitude } => visitor.visit_u128(magnitude),
        Integer::Wide { negative: true, .. } => match number.to_i128() {
            Some(number) => visitor.visit_i128(number),
            None => Err(Error::new(ErrorKind::Mismatch, "an integer is wider than 128 bits")),
        },
    }
}

/// Passes an integer as its digits.
fn visit_digits<'de, V: Visitor<'de>>(number: Integer, visitor: V) -> Result<V::Value, Error> {
    number.with_digits(|digits| visitor.visit_str(digits))
}

fn visit_text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Error> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

fn visit_small_integers<'de, V: Visitor<'de>>(bytes: &'de [u8], visitor: V) -> Result<V::Value, Error> {
    let mut elements = SmallIntegers { bytes, index: 0 };
    let value = visitor.visit_seq(&mut elements)?;
    if elements.index < bytes.len() {
        return Err(Error::new(ErrorKind::Mismatch, "there are more elements than the type takes"));
    }
    Ok(value)
}

/// The integer value of a float without a fraction, within 53 bits.
fn whole_number(number: f64) -> Option<Integer> {
    let exact = number.fract() == 0.0 && number.abs() <= super::integer::MAX_SAFE as f64;
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within 53 bits")]
    exact.then(|| Integer::from(number as i64))
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    /// Reads a value for a type that accepts any. A wide integer is probably an id, which is text in JSON.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.reader.offset();
        match self.reader.term()? {
            Term::Integer(number) if self.wide_integers_as_text && number.is_unsafe_for_doubles() => {
                self.gave_text = true;
                visit_digits(number, visitor).map_err(|error: Error| error.at(start))
            }
            other => self.visit(other, start, visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.reader.offset();
        let term = self.reader.term()?;
        self.visit(term, start, visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_integer(visitor)
    }

    /// Reads text. An integer is its digits, since ids come in both forms.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.reader.offset();
        if self.reader.rest().first() == Some(&tag::BINARY)
            && let Some(text) = self.reader.plain_text_known(&mut self.known)
        {
            return visitor.visit_borrowed_str(text).map_err(|error: Error| error.at(start));
        }
        match self.reader.term()? {
            Term::Integer(number) => visit_digits(number, visitor).map_err(|error: Error| error.at(start)),
            other => self.visit(other, start, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.reader.offset();
        match self.reader.term()? {
            Term::Binary(bytes) | Term::SmallIntegers(bytes) => {
                visitor.visit_borrowed_bytes(bytes).map_err(|error: Error| error.at(start))
            }
            other => self.visit(other, start, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.reader.is_at_null() {
            self.reader.term()?;
            return visitor.visit_none();
        }
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
        let start = self.reader.offset();
        let result = match self.reader.term()? {
            Term::Atom(text) => visitor.visit_enum(CowStrDeserializer::new(text)),
            Term::Binary(bytes) => {
                let text = self.reader.text_just_read(bytes, &mut self.known);
                visitor.visit_enum(CowStrDeserializer::new(text))
            }
            Term::Map(1) => {
                self.enter(1, start)?;
                let value = visitor.visit_enum(Variant { deserializer: self })?;
                self.leave(0, start).map(|()| value)
            }
            Term::Map(_) => {
                Err(Error::new(ErrorKind::Mismatch, "invalid length, expected a map of one entry"))
            }
            other => {
                let (found, expected) = (unexpected(&other), "text or a map of one entry");
                Err(de::Error::invalid_type(found, &expected))
            }
        };
        result.map_err(|error: Error| error.at(start))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.skip_within(&mut self.budget)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool char unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

fn unexpected(term: &Term<'_>) -> Unexpected<'static> {
    match term {
        Term::Null => Unexpected::Unit,
        Term::Bool(value) => Unexpected::Bool(*value),
        Term::Integer(_) => Unexpected::Other("integer"),
        Term::Float(number) => Unexpected::Float(*number),
        Term::Atom(_) | Term::Binary(_) => Unexpected::Other("text"),
        Term::SmallIntegers(_) | Term::EmptyList | Term::List(_) | Term::Tuple(_) => Unexpected::Seq,
        Term::Map(_) => Unexpected::Map,
    }
}

/// The elements of a list or tuple.
struct Elements<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    index: usize,
    length: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.index == self.length {
            return Ok(None);
        }
        let value =
            seed.deserialize(&mut *self.deserializer).map_err(|error| error.inside_index(self.index))?;
        self.index = self.index.saturating_add(1);
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length.saturating_sub(self.index).min(MAX_SIZE_HINT))
    }
}

/// The elements of STRING_EXT.
struct SmallIntegers<'de> {
    bytes: &'de [u8],
    index: usize,
}

impl<'de> de::SeqAccess<'de> for SmallIntegers<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(byte) = self.bytes.get(self.index) else { return Ok(None) };
        let mut element =
            Deserializer::from_reader(Reader::term_only(small_integer(*byte)), &Options::default());
        // The element has no offset of its own, so an error has that of the list.
        let value = seed
            .deserialize(&mut element)
            .map_err(|error| error.without_offset().inside_index(self.index))?;
        self.index = self.index.saturating_add(1);
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len().saturating_sub(self.index).min(MAX_SIZE_HINT))
    }
}

/// The entries of a map.
struct Entries<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    unread: usize,
    key_start: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(unread) = self.unread.checked_sub(1) else { return Ok(None) };
        self.unread = unread;
        self.key_start = self.deserializer.reader.offset();
        seed.deserialize(KeyDeserializer(self.deserializer)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.deserializer).map_err(|error| {
            let mut reader = self.deserializer.reader.at(self.key_start);
            error.inside_key(&key_text(&mut reader).unwrap_or_default())
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.unread.min(MAX_SIZE_HINT))
    }
}

/// An enum as a map of one entry: the variant's name and its content.
struct Variant<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(KeyDeserializer(self.deserializer))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        de::Deserialize::deserialize(self.deserializer)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.deserializer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_seq(self.deserializer, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_map(self.deserializer, visitor)
    }
}
