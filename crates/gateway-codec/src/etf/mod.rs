//! Erlang's external term format over serde, with the conventions of JSON, so that a model for one reads the other.
//!
//! Reading:
//!
//! - The atoms `nil`, `true` and `false` are null and the booleans; any other atom is text, as a binary is.
//! - A binary that is not UTF-8 gets replacement characters as text, and is unchanged as bytes.
//! - Map keys may be atoms, binaries or integers. All of them are text, and numbers where the type reads numbers.
//! - An integer may have any tag. It fits any type that can hold it, and a `String` as its digits, since ids come in both
//!   forms. Where the type accepts any value, an integer beyond 2^53 is text, as ids are in Discord's JSON
//!   ([`Options::wide_integers_as_text`]). A float without a fraction fits an integer type, since JavaScript writes large
//!   integers as floats.
//! - STRING_EXT is a list of integers, tuples are lists.
//! - Of duplicate keys a map keeps the last; a derived struct rejects them, as it does in JSON.
//! - Bytes after the term are ignored; [`Deserializer::rest`] shows them.
//!
//! Writing follows what Discord accepts: binaries for text and keys, lists that end in the empty list, and the
//! smallest integer tag. Erlang rejects duplicate keys, so only the last entry with a key is written. See Discord Docs,
//! Gateway > Using ETF Encoding.

mod deserialize;
mod expand;
pub(crate) mod find;
mod integer;
mod key;
pub(crate) mod pen;
mod reader;
mod serialize;
mod serialize_key;
mod skip;
pub(crate) mod tag;
mod value;
mod walk;

pub use deserialize::{Deserializer, Options};
pub use expand::expand;
pub use integer::Integer;
pub(crate) use key::key_text;
pub use reader::{Reader, Term};
pub use serialize::{Serializer, Style};
pub(crate) use tag::VERSION;
pub use value::Value;
pub use walk::{Walk, check_structure, walk};

use crate::Error;
use serde::{Deserialize, Serialize};
use std::io;

/// Reads one document into a type, which may borrow from `bytes`.
///
/// # Errors
///
/// With offset and path: [`ErrorKind::Incomplete`](crate::ErrorKind::Incomplete),
/// [`Malformed`](crate::ErrorKind::Malformed), [`Limit`](crate::ErrorKind::Limit) or
/// [`Mismatch`](crate::ErrorKind::Mismatch); [`Unsupported`](crate::ErrorKind::Unsupported) for a compressed term,
/// which [`expand`] makes readable.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    from_slice_with(bytes, &Options::default())
}

/// Reads one document into a type, with options.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_slice_with<'de, T: Deserialize<'de>>(bytes: &'de [u8], options: &Options) -> Result<T, Error> {
    deserialize::read(options, |options| Deserializer::new(bytes, options))
}

/// Reads one term, without the version byte, into a type.
pub(crate) fn term_from_slice<'de, T: Deserialize<'de>>(
    term: &'de [u8],
    options: &Options,
) -> Result<T, Error> {
    deserialize::read(options, |options| Deserializer::term_only(term, options))
}

/// Writes `value` as one document in the client's style.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a map key that is neither text, number nor boolean,
/// for text of 4 GiB and for more than 256 levels of nesting.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    to_vec_with(value, Style::Client)
}

/// Writes `value` as one document in the given style.
///
/// # Errors
///
/// As [`to_vec`].
pub fn to_vec_with<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<Vec<u8>, Error> {
    let mut output = vec![VERSION];
    value.serialize(&mut Serializer::new(&mut output, style))?;
    Ok(output)
}

/// Writes `value` as one document to a writer, in one write.
///
/// # Errors
///
/// As [`to_vec`], and [`ErrorKind::Write`](crate::ErrorKind::Write) if the writer fails.
pub fn to_writer<W: io::Write, T: Serialize + ?Sized>(mut writer: W, value: &T) -> Result<(), Error> {
    writer.write_all(&to_vec(value)?).map_err(Error::write)
}
