//! serde's `Serializer`, in the style of a client or of Discord's server.

use super::Integer;
use super::pen::{Open, Pen};
use super::serialize_key::KeySerializer;
use crate::Error;
use serde::{Serialize, ser};

/// The conventions of a term. Both styles write the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// What Discord accepts from a client: text and keys are binaries, lists are lists.
    #[default]
    Client,
    /// What Discord's server sends, for simulators and tests: keys, null, booleans and the event name `t` are atoms, lists of
    /// small integers are STRING_EXT, and ids (text of digits under `id`, `…_id`, `…_ids` or `…roles`) are integers. Keys
    /// that are numbers stay binaries.
    Server,
}

/// A serde serializer that appends one term, without the version byte.
#[derive(Debug)]
pub struct Serializer<'a> {
    output: &'a mut Vec<u8>,
    pen: Pen,
}

impl<'a> Serializer<'a> {
    /// Appends to `output`.
    pub fn new(output: &'a mut Vec<u8>, style: Style) -> Self {
        Self { output, pen: Pen::new(style) }
    }

    pub(super) fn key(&mut self, key: &str) -> Result<(), Error> {
        self.pen.key(self.output, key)
    }

    fn integer(&mut self, number: impl Into<Integer>) -> Result<(), Error> {
        self.pen.integer(self.output, number.into());
        Ok(())
    }

    fn begin_list(&mut self) -> Result<Container<'_, 'a>, Error> {
        let open = self.pen.begin_list(self.output, None)?;
        Ok(Container { serializer: self, open, count: 0 })
    }

    fn begin_map(&mut self) -> Result<Container<'_, 'a>, Error> {
        let open = self.pen.begin_map(self.output, None)?;
        Ok(Container { serializer: self, open, count: 0 })
    }

    /// A map of one entry, whose value the caller writes.
    fn begin_variant(&mut self, variant: &'static str) -> Result<(), Error> {
        let open = self.pen.begin_map(self.output, Some(1))?;
        self.key(variant)?;
        // The count is already written, so nothing needs to be done after the value.
        self.pen.end_map(self.output, &open, 1)
    }
}

/// A list or map that is being written: its count is filled in at the end.
#[derive(Debug)]
pub struct Container<'s, 'a> {
    pub(super) serializer: &'s mut Serializer<'a>,
    open: Open,
    count: usize,
}

impl Container<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.serializer.pen.element(&self.open);
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
        let Serializer { output, pen } = self.serializer;
        pen.end_map(output, &self.open, self.count)
    }

    fn end_list(self) -> Result<(), Error> {
        let Serializer { output, pen } = self.serializer;
        pen.end_list(output, &self.open, self.count)
    }
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
        self.pen.boolean(self.output, value);
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
        self.integer(value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.integer(value)
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
        self.integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.integer(value)
    }

    /// Writes the shortest decimal form, as JSON does: 0.1 stays 0.1.
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.to_string().parse().unwrap_or_else(|_| value.into()))
    }

    /// Writes null for a float that is not finite, as in JSON.
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.pen.float(self.output, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.pen.text(self.output, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.pen.binary(self.output, value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.pen.null(self.output);
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
        self.begin_list()
    }

    fn serialize_tuple(self, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin_list()
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin_list()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'s, 'a>, Error> {
        self.begin_variant(variant)?;
        self.begin_list()
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Container<'s, 'a>, Error> {
        self.begin_map()
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Container<'s, 'a>, Error> {
        self.begin_map()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'s, 'a>, Error> {
        self.begin_variant(variant)?;
        self.begin_map()
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
