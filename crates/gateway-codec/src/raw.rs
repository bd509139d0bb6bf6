//! Encoded values, borrowed or owned, which are decoded on request.

use crate::json::scan::without_mark;
use crate::transcode::transcode;
use crate::{DocumentLimits, Encoding, Error, encode, etf};
use bytes::Bytes;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Range;

/// One encoded value, borrowed.
///
/// In JSON its bytes are the value's text without blanks or a byte order mark around it; in ETF one term without the version byte.
#[derive(Clone, Copy)]
pub struct RawRef<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    /// Whether further entries of the payload may follow the value in `bytes`, since its end was not searched.
    uncut: bool,
}

/// Where a value stands in a payload: finds it again without borrowing from it. Exhaustive, so that it can be stored and rebuilt.
///
/// ```
/// use gateway_codec::{Encoding, Envelope};
///
/// let payload = br#"{"t":"TYPING_START","s":3,"op":0,"d":{"user_id":"7"}}"#;
/// let place = Envelope::skim(payload, Encoding::Json)?.d.place_in(payload).unwrap();
/// assert_eq!(place.value_in(payload).unwrap().as_bytes(), br#"{"user_id":"7"}"#);
/// # Ok::<(), gateway_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The beginning of the value, in bytes from the start of the payload.
    pub start: usize,
    /// The end of the value; if `is_exact` is false, further entries of the payload may precede it.
    pub end: usize,
    /// Whether `end` is the end of the value.
    pub is_exact: bool,
    /// The encoding of the payload.
    pub encoding: Encoding,
}

impl Place {
    /// The value at this place of `payload`. None if `payload` ends before it does.
    #[inline]
    pub fn value_in(self, payload: &[u8]) -> Option<RawRef<'_>> {
        let Self { start, end, is_exact, encoding } = self;
        Some(RawRef { bytes: payload.get(start..end)?, encoding, uncut: !is_exact })
    }
}

/// One encoded value, owned: `Send`, `Sync`, and cheap to clone.
///
/// A part of a larger buffer keeps that buffer alive; [`Raw::detached`] copies it out.
///
/// ```
/// use gateway_codec::{Encoding, Raw};
///
/// let raw = Raw::new(r#"{"id":"7","content":"hello"}"#, Encoding::Json);
/// #[derive(serde::Deserialize)]
/// // Borrowed where the text has no escapes, owned where it has.
/// struct Message<'a> { #[serde(borrow)] content: std::borrow::Cow<'a, str> }
/// assert_eq!(raw.decode::<Message>()?.content, "hello");
/// # Ok::<(), gateway_codec::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw {
    bytes: Bytes,
    encoding: Encoding,
}

impl<'a> RawRef<'a> {
    /// A value from its bytes, which are not checked: errors in them show when they are used.
    ///
    /// An ETF document may come with its version byte or without.
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes: value_in(bytes, encoding), encoding, uncut: false }
    }

    /// A value in JSON at the beginning of `bytes`, which further entries of the payload may follow.
    pub(crate) fn uncut(bytes: &'a [u8]) -> Self {
        Self { bytes, encoding: Encoding::Json, uncut: true }
    }

    /// The null of an encoding.
    pub fn null(encoding: Encoding) -> RawRef<'static> {
        match encoding {
            Encoding::Json => RawRef { bytes: b"null", encoding, uncut: false },
            Encoding::Etf => RawRef { bytes: b"s\x03nil", encoding, uncut: false },
        }
    }

    /// The encoded value.
    ///
    /// For the `d` of a skimmed envelope, this searches its end; a malformed `d` includes all bytes after it.
    pub fn as_bytes(self) -> &'a [u8] {
        match self.uncut.then(|| crate::json::end_before_entries(self.bytes)).flatten() {
            Some(end) => &self.bytes[..end],
            None => self.bytes,
        }
    }

    /// The value with the bytes that may follow it.
    pub(crate) fn uncut_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether further entries of the payload may follow the value.
    pub(crate) fn is_uncut(self) -> bool {
        self.uncut
    }

    /// The encoding of the value.
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    /// The range of the value in `whole`, the memory it was cut from. `None` if it was cut from other memory.
    ///
    /// ```
    /// use gateway_codec::{Encoding, Envelope};
    ///
    /// let payload = br#"{"t":"TYPING_START","s":3,"op":0,"d":{"user_id":"7"}}"#;
    /// let envelope = Envelope::parse(payload, Encoding::Json)?;
    /// assert_eq!(envelope.d.range_in(payload), Some(37..52));
    /// # Ok::<(), gateway_codec::Error>(())
    /// ```
    pub fn range_in(self, whole: &[u8]) -> Option<Range<usize>> {
        range_in(self.as_bytes(), whole)
    }

    /// The place of the value in the payload it was cut from. `None` if it was cut from other memory.
    ///
    /// Unlike [`RawRef::range_in`] it does not search the end of a skimmed `d`.
    #[inline]
    pub fn place_in(self, payload: &[u8]) -> Option<Place> {
        let Range { start, end } = range_in(self.bytes, payload)?;
        Some(Place { start, end, is_exact: !self.uncut, encoding: self.encoding })
    }

    /// Decodes the value into a type, which may borrow from it.
    ///
    /// # Errors
    ///
    /// As [`decode`](crate::decode); offsets count from the beginning of this value.
    pub fn decode<T: Deserialize<'a>>(self) -> Result<T, Error> {
        self.decode_with(&DocumentLimits::default())
    }

    /// Decodes the value into a type, with limits of the caller's.
    ///
    /// # Errors
    ///
    /// As [`RawRef::decode`].
    pub fn decode_with<T: Deserialize<'a>>(self, limits: &DocumentLimits) -> Result<T, Error> {
        match self.encoding {
            Encoding::Json => crate::json::value_from_slice(self, PhantomData, limits),
            Encoding::Etf => {
                let options = etf::Options { limits: *limits, ..etf::Options::default() };
                etf::term_from_slice(self.bytes, &options)
            }
        }
    }

    /// Decodes the value with a seed, for types that need context such as the name of an event.
    ///
    /// A seed can be used once, so there is no second attempt as with [`etf::Options::wide_integers_as_text`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::decode`].
    pub fn decode_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Error> {
        match self.encoding {
            Encoding::Json => crate::json::value_from_slice(self, seed, &DocumentLimits::default()),
            Encoding::Etf => {
                let options = etf::Options::default();
                seed.deserialize(&mut etf::Deserializer::term_only(self.bytes, &options)?)
            }
        }
    }

    /// Decodes the value into a tree.
    ///
    /// From ETF, integers beyond 2^53 are text, as ids are in Discord's JSON.
    ///
    /// From JSON, serde_json reads it, with or without the feature `simd-json`. Most of the cost is the maps and texts of the
    /// tree, with any parser: simd-json, including the depth check that it needs, takes 369 thousand instructions instead of
    /// 358 for a GUILD_CREATE of 4.9 KB, and 86 instead of 71 for a MESSAGE_CREATE of 0.7 KB (callgrind, x86-64 with AVX2).
    /// It would also read integers beyond 64 bits and `-0` differently. Its own tree takes 110 and 25 thousand: see
    /// `simd_value`.
    ///
    /// # Errors
    ///
    /// As [`RawRef::decode`].
    pub fn value(self) -> Result<serde_json::Value, Error> {
        self.decode()
    }

    /// Decodes the value into a tree of simd-json, which borrows from `scratch` and costs less than [`RawRef::value`].
    ///
    /// `scratch` is overwritten; reusing it saves an allocation. ETF is converted to JSON first.
    ///
    /// # Errors
    ///
    /// As [`RawRef::value`]; integers beyond 64 bits are refused.
    #[cfg(feature = "simd-json")]
    pub fn simd_value<'s>(self, scratch: &'s mut Vec<u8>) -> Result<simd_json::BorrowedValue<'s>, Error> {
        scratch.clear();
        match self.encoding {
            Encoding::Json => scratch.extend_from_slice(self.as_bytes()),
            Encoding::Etf => crate::convert::term_to_json(self.bytes, scratch)?,
        }
        crate::json::simd_value(scratch)
    }

    /// Checks that the value is whole, as [`json::check_structure`](crate::json::check_structure) and
    /// [`etf::check_structure`] do, without decoding it.
    ///
    /// # Errors
    ///
    /// As those two.
    pub fn check_structure(self) -> Result<(), Error> {
        match self.encoding {
            Encoding::Json => crate::json::check_structure(self.as_bytes()),
            Encoding::Etf => etf::check_structure(self.bytes),
        }
    }

    /// A copy that owns its bytes.
    pub fn to_raw(self) -> Raw {
        Raw { bytes: Bytes::copy_from_slice(self.as_bytes()), encoding: self.encoding }
    }
}

impl Raw {
    /// A value from its bytes, which are not checked: errors in them show when they are used.
    ///
    /// An ETF document may come with its version byte or without.
    pub fn new(bytes: impl Into<Bytes>, encoding: Encoding) -> Self {
        let mut bytes = bytes.into();
        let value = value_in(&bytes, encoding);
        if value.len() < bytes.len() {
            bytes = bytes.slice_ref(value);
        }
        Self { bytes, encoding }
    }

    /// Encodes `value`.
    ///
    /// # Errors
    ///
    /// As [`encode`](crate::encode).
    pub fn encode<T: Serialize + ?Sized>(value: &T, encoding: Encoding) -> Result<Self, Error> {
        Ok(Self::new(encode(value, encoding)?, encoding))
    }

    /// The same value, borrowed.
    #[allow(clippy::should_implement_trait)] // AsRef cannot give out a value that borrows.
    pub fn as_ref(&self) -> RawRef<'_> {
        RawRef { bytes: &self.bytes, encoding: self.encoding, uncut: false }
    }

    /// The encoded value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding of the value.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Decodes the value into a type, which may borrow from it.
    ///
    /// # Errors
    ///
    /// As [`RawRef::decode`].
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Error> {
        self.as_ref().decode()
    }

    /// Decodes the value into a type, as [`RawRef::decode_with`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::decode`].
    pub fn decode_with<'de, T: Deserialize<'de>>(&'de self, limits: &DocumentLimits) -> Result<T, Error> {
        self.as_ref().decode_with(limits)
    }

    /// The value as a tree, as [`RawRef::value`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::value`].
    pub fn value(&self) -> Result<serde_json::Value, Error> {
        self.as_ref().value()
    }

    /// The value as a tree of simd-json, as [`RawRef::simd_value`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::simd_value`].
    #[cfg(feature = "simd-json")]
    pub fn simd_value<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<simd_json::BorrowedValue<'s>, Error> {
        self.as_ref().simd_value(scratch)
    }

    /// Checks that the value is whole, as [`RawRef::check_structure`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::check_structure`].
    pub fn check_structure(&self) -> Result<(), Error> {
        self.as_ref().check_structure()
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        self.as_ref().is_null()
    }

    /// `part` as an owned value, without a copy if it was cut from this value.
    pub fn slice(&self, part: RawRef<'_>) -> Raw {
        match part.range_in(&self.bytes) {
            Some(range) => Raw { bytes: self.bytes.slice(range), encoding: part.encoding },
            None => part.to_raw(),
        }
    }

    /// A copy in its own memory. Use it to keep a value longer than its message.
    pub fn detached(&self) -> Raw {
        self.as_ref().to_raw()
    }
}

/// Writes the value into a larger document of either encoding. Integers stay integers.
impl Serialize for RawRef<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.encoding {
            Encoding::Json => {
                let mut deserializer = serde_json::Deserializer::from_slice(self.as_bytes());
                let written = transcode(&mut deserializer, serializer)?;
                match deserializer.end() {
                    Err(_) => Err(serde::ser::Error::custom("bytes after the raw value")),
                    Ok(()) => Ok(written),
                }
            }
            Encoding::Etf => {
                let options = etf::Options { wide_integers_as_text: false, ..etf::Options::default() };
                let deserializer = etf::Deserializer::term_only(self.bytes, &options);
                transcode(&mut deserializer.map_err(serde::ser::Error::custom)?, serializer)
            }
        }
    }
}

/// Writes the value into a larger document, as [`RawRef`] does.
impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

impl PartialEq for RawRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.as_bytes(), self.encoding) == (other.as_bytes(), other.encoding)
    }
}

impl Eq for RawRef<'_> {}

impl Hash for RawRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.as_bytes(), self.encoding).hash(state);
    }
}

fn range_in(part: &[u8], whole: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// The value without a byte order mark and blanks in JSON, and without the version byte in ETF.
fn value_in(bytes: &[u8], encoding: Encoding) -> &[u8] {
    match encoding {
        Encoding::Json => without_mark(bytes).trim_ascii(),
        // 131 is not the tag of any term, so a first byte of 131 is the version.
        Encoding::Etf => bytes.strip_prefix(&[etf::VERSION]).unwrap_or(bytes),
    }
}

impl fmt::Debug for RawRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Raw({} bytes of {})", self.as_bytes().len(), self.encoding)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_strangers_are_copied() {
        let raw = Raw::new(r#"{"a":[1,2]}"#, Encoding::Json);
        let part = RawRef::new(&raw.as_bytes()[5..10], Encoding::Json);
        let slice = raw.slice(part);
        assert_eq!(slice.as_bytes().as_ptr(), part.as_bytes().as_ptr());
        assert_eq!(slice.decode::<Vec<u8>>().unwrap(), [1, 2]);
        assert_ne!(slice.detached().as_bytes().as_ptr(), part.as_bytes().as_ptr());
        let stranger = RawRef::new(b"null", Encoding::Json);
        assert!(raw.slice(stranger).is_null());
    }

    #[test]
    fn the_structure_of_a_value_is_checked_alike_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::Etf] {
            let document = encode(&serde_json::json!({"a": [1, {"b": "x"}]}), encoding).unwrap();
            let raw = Raw::new(document.clone(), encoding);
            let check = match encoding {
                Encoding::Json => crate::json::check_structure,
                Encoding::Etf => etf::check_structure,
            };
            for bytes in [&document[..], raw.as_bytes(), raw.get("a").unwrap().as_bytes()] {
                check(bytes).unwrap();
                for length in 0..bytes.len() {
                    assert!(check(&bytes[..length]).unwrap_err().is_incomplete(), "{encoding} {length}");
                    let cut = RawRef::new(&bytes[..length], encoding);
                    assert!(cut.check_structure().unwrap_err().is_incomplete(), "{encoding} {length}");
                }
            }
            raw.check_structure().unwrap();
        }
    }

    #[test]
    fn values_are_written_into_either_encoding() {
        let value = serde_json::json!({"a": [1, -2, 2.5, null, true, "x\"", 1_u64 << 53], "": {"7": []}});
        for source in [Encoding::Json, Encoding::Etf] {
            let raw = Raw::encode(&value, source).unwrap();
            for target in [Encoding::Json, Encoding::Etf] {
                let outer = Raw::encode(&[raw.as_ref()], target).unwrap();
                assert_eq!(outer.value().unwrap(), serde_json::json!([value]), "{source} {target}");
            }
            let broken = Raw::new(raw.as_bytes()[..9].to_vec(), source);
            assert!(Raw::encode(&broken, Encoding::Json).is_err());
        }
        let wide = Raw::encode(&u64::MAX, Encoding::Etf).unwrap();
        assert_eq!(Raw::encode(&wide, Encoding::Json).unwrap().as_bytes(), b"18446744073709551615");
        assert_eq!(Raw::encode(&wide, Encoding::Etf).unwrap(), wide);
        let trailing = Raw::new("1 2", Encoding::Json);
        assert!(Raw::encode(&trailing, Encoding::Etf).is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let raw = Raw::new(r#"{"token":"secret"}"#, Encoding::Json);
        assert_eq!(format!("{raw:?}"), "Raw(18 bytes of json)");
    }
}
