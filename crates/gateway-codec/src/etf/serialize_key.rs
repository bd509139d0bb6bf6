//! Map keys, which are written as text. The same types as in JSON are allowed.

use super::Serializer;
use crate::Error;
use ser::Impossible;
use serde::{Serialize, ser};

/// Writes one map key.
pub(super) struct KeySerializer<'s, 'a>(pub(super) &'s mut Serializer<'a>);

fn refused<T>() -> Result<T, Error> {
    Err(Error::unsupported("a map key must be text, a number or a boolean"))
}

impl ser::Serializer for KeySerializer<'_, '_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.key(if value { "true" } else { "false" })
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.0.key(&value.to_string())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        if value.is_finite() { self.0.key(&value.to_string()) } else { refused() }
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        if value.is_finite() { self.0.key(&value.to_string()) } else { refused() }
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.0.key(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.0.key(value)
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<(), Error> {
        refused()
    }

    fn serialize_none(self) -> Result<(), Error> {
        refused()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        refused()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        refused()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.0.key(variant)
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
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Error> {
        refused()
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        refused()
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self::SerializeTuple, Error> {
        refused()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        refused()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        refused()
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, Error> {
        refused()
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self::SerializeStruct, Error> {
        refused()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        refused()
    }
}
