//! The two engines that decode JSON into types, and the one that writes it.

use super::scan::text_start;
use super::{bounds, place};
use crate::{DocumentLimits, Error, ErrorKind, RawRef};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use std::io;

/// The library that decodes JSON.
///
/// Both yield the same values; they differ in speed and in what they do to their input. Only [`Engine::Serde`] reads map keys
/// into booleans, and integers beyond 64 bits (as doubles, into a type that takes them). `-0` is a double to it, and an
/// integer to [`Engine::Simd`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// serde_json: leaves its input unchanged, and reports the position of an error.
    #[default]
    Serde,
    /// simd-json: overwrites its input. Much faster into its own tree (`simd_value` of [`Raw`](crate::Raw)), about as fast
    /// into structs and into the tree of serde_json.
    ///
    /// Needs the cargo feature `simd-json`; without it every call returns [`ErrorKind::Unsupported`].
    Simd,
}

/// Reads one whole document into a type, which may borrow from `bytes`.
///
/// # Errors
///
/// [`ErrorKind::Incomplete`], [`ErrorKind::Malformed`], [`ErrorKind::Limit`] or [`ErrorKind::Mismatch`], with offset
/// and path.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    from_slice_with(bytes, &DocumentLimits::default())
}

/// Reads one whole document into a type, with limits of the caller's.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_slice_with<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    limits: &DocumentLimits,
) -> Result<T, Error> {
    bounds::check(bytes, limits)?;
    let start = text_start(bytes)?;
    let text = &bytes[start..];
    serde_json::from_slice(text).map_err(|error| from_serde(&error, text).shifted(start))
}

/// Reads a value with a seed. Further entries of the payload may follow an uncut value.
pub(crate) fn value_from_slice<'de, S: DeserializeSeed<'de>>(
    value: RawRef<'de>,
    seed: S,
    limits: &DocumentLimits,
) -> Result<S::Value, Error> {
    let bytes = value.uncut_bytes();
    bounds::check(bytes, limits)?;
    // One UTF-8 check of the whole document is faster than one for each string.
    let Ok(text) = std::str::from_utf8(bytes) else {
        return read_value(serde_json::Deserializer::from_slice(bytes), value, seed);
    };
    read_value(serde_json::Deserializer::from_str(text), value, seed)
}

fn read_value<'de, R: serde_json::de::Read<'de>, S: DeserializeSeed<'de>>(
    mut deserializer: serde_json::Deserializer<R>,
    value: RawRef<'de>,
    seed: S,
) -> Result<S::Value, Error> {
    let bytes = value.uncut_bytes();
    let read = seed.deserialize(&mut deserializer).map_err(|error| from_serde(&error, bytes))?;
    match deserializer.end() {
        Err(error) if !value.is_uncut() || super::end_before_entries(bytes).is_none() => {
            Err(from_serde(&error, bytes))
        }
        _ => Ok(read),
    }
}

/// Reads one whole document into a type with the given engine.
///
/// The engine may overwrite `bytes`, also if it fails.
///
/// # Errors
///
/// As [`from_slice`]; [`Engine::Simd`] reports neither offset nor path of a mismatch.
pub fn from_mut_slice<'de, T: Deserialize<'de>>(bytes: &'de mut [u8], engine: Engine) -> Result<T, Error> {
    from_mut_slice_with(bytes, engine, &DocumentLimits::default())
}

/// Reads one whole document into a type with the given engine, with limits of the caller's.
///
/// # Errors
///
/// As [`from_mut_slice`].
pub fn from_mut_slice_with<'de, T: Deserialize<'de>>(
    bytes: &'de mut [u8],
    engine: Engine,
    limits: &DocumentLimits,
) -> Result<T, Error> {
    match engine {
        Engine::Serde => from_slice_with(bytes, limits),
        Engine::Simd => {
            bounds::check(bytes, limits)?;
            simd_from_mut_slice(bytes)
        }
    }
}

#[cfg(feature = "simd-json")]
fn simd_from_mut_slice<'de, T: Deserialize<'de>>(bytes: &'de mut [u8]) -> Result<T, Error> {
    // simd-json reports an incomplete document as a syntax error, and has no depth limit of ours.
    super::walk::check_depth(bytes, bounds::TYPE_DEPTH)?;
    let start = text_start(bytes)?;
    simd_json::serde::from_slice(&mut bytes[start..]).map_err(|error| from_simd(&error).shifted(start))
}

/// The tree that simd-json builds, with the depth limit of the other readers.
#[cfg(feature = "simd-json")]
pub(crate) fn simd_value(bytes: &mut [u8]) -> Result<simd_json::BorrowedValue<'_>, Error> {
    bounds::check(bytes, &DocumentLimits::default())?;
    super::walk::check_depth(bytes, bounds::TYPE_DEPTH)?;
    simd_json::to_borrowed_value(bytes).map_err(|error| from_simd(&error))
}

#[cfg(not(feature = "simd-json"))]
fn simd_from_mut_slice<'de, T: Deserialize<'de>>(_bytes: &'de mut [u8]) -> Result<T, Error> {
    Err(Error::unsupported("simd-json was not compiled in, enable the cargo feature simd-json"))
}

/// Writes `value` as compact JSON.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`], for instance for a map whose keys are neither text nor numbers.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::from_text(ErrorKind::Unsupported, error.to_string()))
}

/// Writes `value` as compact JSON to a writer.
///
/// # Errors
///
/// As [`to_vec`], and [`ErrorKind::Write`] if the writer fails.
pub fn to_writer<W: io::Write, T: Serialize + ?Sized>(writer: W, value: &T) -> Result<(), Error> {
    serde_json::to_writer(writer, value).map_err(|error| match error.classify() {
        serde_json::error::Category::Io => Error::write(error.into()),
        _ => Error::from_text(ErrorKind::Unsupported, error.to_string()),
    })
}

fn from_serde(error: &serde_json::Error, bytes: &[u8]) -> Error {
    use serde_json::error::Category;
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text).to_owned();
    let offset = place::offset_of(bytes, error.line(), error.column());
    let error = match error.classify() {
        Category::Eof => return Error::incomplete(bytes.len()),
        Category::Data => Error::from_text(ErrorKind::Mismatch, text),
        _ if text.starts_with("recursion limit") => {
            Error::new(ErrorKind::Limit, "the document is nested too deeply")
        }
        // Syntax errors of serde_json are fixed texts without content of the document.
        _ => Error::built(ErrorKind::Malformed, text),
    };
    match offset {
        Some(offset) => error.at(offset).with_path(place::path_at(bytes, offset)),
        None => error,
    }
}

#[cfg(feature = "simd-json")]
fn from_simd(error: &simd_json::Error) -> Error {
    use simd_json::ErrorType;
    if let ErrorType::Serde(text) = error.error() {
        return Error::from_text(ErrorKind::Mismatch, text.clone());
    }
    if error.is_data() {
        return Error::from_text(ErrorKind::Mismatch, error.to_string());
    }
    Error::malformed("not valid JSON", error.index())
}
