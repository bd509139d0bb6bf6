//! From types to terms: serde's `Serializer`, in the style of a client or of Discord's server.

use super::serialize_key::KeySerializer;
use super::{Integer, tag};
use crate::{Error, Limits};
use serde::{Serialize, ser};

/// Whose habits are followed. Both say the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Style {
    /// What Discord accepts from a client: text and keys are binaries, lists are lists.
    #[default]
    Client,
    /// What Discord's server sends, for those who play its part: keys, null, booleans and the event name `t` are
    /// atoms, lists of small integers are STRING_EXT, and ids (text of digits under `id`, `…_id`, `…_ids` or
    /// `…roles`) are integers. Keys that are numbers stay binaries.
    Server,
}

/// A serde serializer that appends one term, without the version byte.
#[derive(Debug)]
pub struct Serializer<'a> {
    pub(super) output: &'a mut Vec<u8>,
    style: Style,
    depth: usize,
    role: Role,
}

/// What its key says of a value, for the server's style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    Id,
    EventName,
}

impl<'a> Serializer<'a> {
    /// Appends to `output`.
    pub fn new(output: &'a mut Vec<u8>, style: Style) -> Self {
        Self { output, style, depth: 0, role: Role::Plain }
    }

    pub(super) fn key(&mut self, key: &str) -> Result<(), Error> {
        let is_number = key.bytes().all(|byte| byte.is_ascii_digit());
        if self.style == Style::Client || is_number || !key.is_ascii() || key.len() > 255 {
            self.binary(key.as_bytes())?;
        } else {
            self.atom(key);
        }
        self.role = match key {
            _ if self.style == Style::Client => Role::Plain,
            "t" if self.depth == 1 => Role::EventName,
            "id" => Role::Id,
            _ if key.ends_with("_id") || key.ends_with("_ids") || key.ends_with("roles") => Role::Id,
            _ => Role::Plain,
        };
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        match self.style {
            Style::Client => self.output.extend([tag::SMALL_ATOM, text.len() as u8]),
            Style::Server => {
                self.output.push(tag::ATOM);
                self.output.extend((text.len() as u16).to_be_bytes());
            }
        }
        self.output.extend_from_slice(text.as_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| Error::unsupported("text is 4 GiB long or longer"))?;
        self.output.push(tag::BINARY);
        self.output.extend(length.to_be_bytes());
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn integer(&mut self, number: Integer) {
        match number.to_i64() {
            Some(number @ 0..=255) => self.output.extend([tag::SMALL_INTEGER, number as u8]),
            Some(number) if i32::try_from(number).is_ok() => {
                self.output.push(tag::INTEGER);
                self.output.extend((number as i32).to_be_bytes());
            }
            _ => {
                let digits = number.magnitude().to_le_bytes();
                let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
                self.output.extend([tag::SMALL_BIG, length as u8, number.is_negative().into()]);
                self.output.extend_from_slice(&digits[..length]);
            }
        }
    }

    fn begin(&mut self, tag: u8) -> Result<Container<'_, 'a>, Error> {
        if self.depth == Limits::MAX_DEPTH {
            return Err(Error::unsupported("the value is nested too deeply"));
        }
        self.depth += 1;
        let start = self.output.len();
        self.output.extend([tag, 0, 0, 0, 0]);
        Ok(Container { role: self.role, serializer: self, start, count: 0 })
    }

    /// A map of one entry, whose value the caller writes.
    fn begin_variant(&mut self, variant: &'static str) -> Result<(), Error> {
        self.output.extend([tag::MAP, 0, 0, 0, 1]);
        self.key(variant)
    }
}

/// A list or map that is being written: its count is filled in at the end.
#[derive(Debug)]
pub struct Container<'s, 'a> {
    pub(super) serializer: &'s mut Serializer<'a>,
    role: Role,
    start: usize,
    count: usize,
}

const HEAD: usize = 5;

impl Container<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.serializer.role = self.role;
        self.count += 1;
        let index = self.count - 1;
        value.serialize(&mut *self.serializer).map_err(|error| error.inside_index(index))
    }

    fn entry<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.serializer.key(key)?;
        self.count += 1;
        value.serialize(&mut *self.serializer).map_err(|error| error.inside_key(key))
    }

    fn end_map(self) -> Result<(), Error> {
        let Self { serializer, start, count, .. } = self;
        serializer.depth -= 1;
        write_count(&mut serializer.output[start..], count)
    }

    fn end_list(self) -> Result<(), Error> {
        let Self { serializer, start, count, .. } = self;
        serializer.depth -= 1;
        if count == 0 {
            serializer.output.truncate(start);
        } else if serializer.style == Style::Server && are_small_integers(&serializer.output[start..], count)
        {
            let bytes: Vec<u8> =
                serializer.output[start + HEAD..].chunks_exact(2).map(|element| element[1]).collect();
            serializer.output.truncate(start);
            serializer.output.push(tag::STRING);
            serializer.output.extend((count as u16).to_be_bytes());
            serializer.output.extend(bytes);
            return Ok(());
        } else {
            write_count(&mut serializer.output[start..], count)?;
        }
        serializer.output.push(tag::NIL);
        Ok(())
    }
}

fn write_count(container: &mut [u8], count: usize) -> Result<(), Error> {
    let count = u32::try_from(count).map_err(|_| Error::unsupported("2^32 or more elements"))?;
    container[1..HEAD].copy_from_slice(&count.to_be_bytes());
    Ok(())
}

/// Whether a list consists of SMALL_INTEGERs only, few enough for STRING_EXT.
fn are_small_integers(list: &[u8], count: usize) -> bool {
    let elements = &list[HEAD..];
    u16::try_from(count).is_ok()
        && elements.len() == 2 * count
        && elements.chunks_exact(2).all(|element| element[0] == tag::SMALL_INTEGER)
}

/// An id as the server sends it: the integer whose text this is, if it is exactly that.
fn id_from_text(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

impl<'s, 'a> ser::Serializer for &'s mut Serializer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Container<'s, 'a>;
    type SerializeTuple = Container<'s, 'a>;
    type SerializeTupleStruct = Container<'s, 'a>;
    type SerializeTupleVariant = Container<'s, 'a>;
    type SerializeMap = Container<'s, 'a>;
    type SerializeStruct = Container<'s, 'a>;
    type SerializeStructVariant = Container<'s, 'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.atom(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.integer(value.into());
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.integer(value.into());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.integer(value.into());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.integer(value.into());
        Ok(())
    }

    /// By way of its shortest decimal form, as JSON has it: 0.1 stays 0.1.
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.to_string().parse().unwrap_or_else(|_| value.into()))
    }

    /// What is no finite number is null, as in JSON.
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        if !value.is_finite() {
            return self.serialize_unit();
        }
        self.output.push(tag::NEW_FLOAT);
        self.output.extend(value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        match self.role {
            Role::EventName if value.is_ascii() && value.len() <= 255 => {
                self.atom(value);
                Ok(())
            }
            Role::Id => match id_from_text(value) {
                Some(id) => self.serialize_u64(id),
                None => self.binary(value.as_bytes()),
            },
            Role::EventName | Role::Plain => self.binary(value.as_bytes()),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.binary(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.atom("nil");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.begin_variant(variant)?;
        value.serialize(self).map_err(|error| error.inside_key(variant))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Container<'s, 'a>, Error> {
        self.begin(tag::LIST)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin(tag::LIST)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin(tag::LIST)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'s, 'a>, Error> {
        self.begin_variant(variant)?;
        self.begin(tag::LIST)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Container<'s, 'a>, Error> {
        self.begin(tag::MAP)
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin(tag::MAP)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'s, 'a>, Error> {
        self.begin_variant(variant)?;
        self.begin(tag::MAP)
    }
}

impl ser::SerializeSeq for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_list()
    }
}

impl ser::SerializeTuple for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_list()
    }
}

impl ser::SerializeTupleStruct for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_list()
    }
}

impl ser::SerializeTupleVariant for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_list()
    }
}

impl ser::SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.count += 1;
        key.serialize(KeySerializer(self.serializer))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), Error> {
        self.end_map()
    }
}

impl ser::SerializeStruct for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.entry(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_map()
    }
}

impl ser::SerializeStructVariant for Container<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.entry(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.end_map()
    }
}
