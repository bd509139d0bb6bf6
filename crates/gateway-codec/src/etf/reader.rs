//! A pull reader, which yields the head of each term without a type or a tree.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::{Integer, tag};
use crate::document_limits::Budget;
use crate::length::{of_u32, whole};
use crate::{DocumentLimits, Error};
use std::borrow::Cow;
use std::ops::Range;
use wide::u8x16;

/// Reads terms from bytes, in their order.
///
/// ```
/// use gateway_codec::etf::{Reader, Term};
///
/// let mut reader = Reader::new(&[131, 108, 0, 0, 0, 1, 97, 7, 106])?;
/// assert_eq!(reader.term()?, Term::List(1));
/// assert_eq!(reader.term()?, Term::Integer(7_u64.into()));
/// reader.list_end()?;
/// # Ok::<(), gateway_codec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A range of a document that is known to be ASCII.
///
/// Most texts are short, and most bytes between them are ASCII too: one check of a long range is much faster than one for
/// each text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsciiStretch<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> AsciiStretch<'a> {
    /// Bytes to check in advance. The reader may step over what follows them.
    const AHEAD: usize = 256;

    /// The text in this range of the document, if it is ASCII.
    #[inline]
    fn text(&mut self, document: &'a [u8], place: Range<usize>) -> Option<&'a str> {
        let known = |stretch: &Self| {
            let from = place.start.checked_sub(stretch.start)?;
            stretch.text.get(from..place.end.checked_sub(stretch.start)?)
        };
        if let Some(text) = known(self) {
            return Some(text);
        }
        self.look(document, &place)?;
        known(self)
    }

    #[cold]
    fn look(&mut self, document: &'a [u8], place: &Range<usize>) -> Option<()> {
        let (start, rest) = (place.start, document.get(place.start..)?);
        let ahead = &rest[..rest.len().min(place.len().max(Self::AHEAD))];
        *self = Self { text: std::str::from_utf8(&ahead[..ascii_length(ahead)]).ok()?, start };
        Some(())
    }
}

/// How many bytes come before the first that is not ASCII.
fn ascii_length(bytes: &[u8]) -> usize {
    let (sixteens, rest) = bytes.as_chunks();
    for (index, sixteen) in sixteens.iter().enumerate() {
        // The highest bit of each byte.
        let beyond = u8x16::new(*sixteen).to_bitmask();
        if beyond != 0 {
            return index.saturating_mul(16).saturating_add(of_u32(beyond.trailing_zeros()));
        }
    }
    let ascii = rest.iter().take_while(|byte| byte.is_ascii()).count();
    bytes.len().saturating_sub(rest.len()).saturating_add(ascii)
}

/// A term, or the head of one whose parts follow. Exhaustive, so that a program that reads them handles every term.
#[derive(Clone, Debug, PartialEq)]
pub enum Term<'a> {
    /// The atom `nil` or `null`: the null of JSON.
    Null,
    /// The atom `true` or `false`.
    Bool(bool),
    /// Any other atom.
    Atom(Cow<'a, str>),
    /// An integer of any tag.
    Integer(Integer),
    /// A float of either tag, always finite.
    Float(f64),
    /// A binary: mostly UTF-8 text.
    Binary(&'a [u8]),
    /// STRING_EXT: a list of small integers, not text.
    SmallIntegers(&'a [u8]),
    /// The empty list.
    EmptyList,
    /// A list of this many terms, which follow, and then [`Reader::list_end`].
    List(usize),
    /// A tuple of this many terms, which follow.
    Tuple(usize),
    /// A map of this many keys, each followed by its value.
    Map(usize),
}

impl<'a> Reader<'a> {
    /// Begins with a document, which starts with the version byte.
    ///
    /// # Errors
    ///
    /// If the version is missing or not 131, or the term is compressed (see [`expand`](super::expand)).
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes {
            [] => Err(Error::incomplete(0)),
            [tag::VERSION, tag::COMPRESSED, ..] => {
                Err(Error::new(crate::ErrorKind::Unsupported, "the term is compressed, expand it first")
                    .at(1))
            }
            [tag::VERSION, ..] => Ok(Self { bytes, at: 1 }),
            _ => Err(Error::malformed("the version byte is not 131", 0)),
        }
    }

    /// Begins with a term, without the version byte.
    pub fn term_only(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bytes read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The unread bytes.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// A reader of the same document at another offset.
    pub(crate) fn at(&self, offset: usize) -> Self {
        Self { bytes: self.bytes, at: offset }
    }

    /// Reads the next term, or the head of it.
    ///
    /// # Errors
    ///
    /// If the input ends, Discord does not use the tag, a count exceeds what the input can hold, or an integer is wider than
    /// 128 bits. The error has the offset of the term.
    #[inline]
    pub fn term(&mut self) -> Result<Term<'a>, Error> {
        let start = self.at;
        Ok(match self.byte()? {
            tag::SMALL_INTEGER => Term::Integer(Integer::Unsigned(self.byte()?.into())),
            tag::INTEGER => Term::Integer(i64::from(i32::from_be_bytes(self.array()?)).into()),
            tag::SMALL_BIG => {
                let length = self.byte()?.into();
                Term::Integer(self.big(length, start)?)
            }
            tag::LARGE_BIG => {
                let length = self.long()?;
                Term::Integer(self.big(length, start)?)
            }
            tag::NEW_FLOAT => {
                let number = f64::from_be_bytes(self.array()?);
                if !number.is_finite() {
                    return Err(Error::malformed("a float is not a finite number", start));
                }
                Term::Float(number)
            }
            tag::FLOAT => {
                let text: [u8; 31] = self.array()?;
                Term::Float(float_from_text(&text).ok_or(Error::malformed("a float is not a number", start))?)
            }
            tag::BINARY => {
                let length = self.long()?;
                Term::Binary(self.take(length)?)
            }
            tag::STRING => {
                let length = self.short()?;
                Term::SmallIntegers(self.take(length)?)
            }
            tag::SMALL_ATOM => {
                let length = self.byte()?.into();
                latin_atom(self.take(length)?)
            }
            tag::ATOM => {
                let length = self.short()?;
                latin_atom(self.take(length)?)
            }
            tag::SMALL_ATOM_UTF8 => {
                let length = self.byte()?.into();
                utf8_atom(self.take(length)?)
            }
            tag::ATOM_UTF8 => {
                let length = self.short()?;
                utf8_atom(self.take(length)?)
            }
            tag::NIL => Term::EmptyList,
            tag::LIST => Term::List(self.count(1)?),
            tag::SMALL_TUPLE => {
                let count = self.byte()?.into();
                Term::Tuple(self.possible(count, 1)?)
            }
            tag::LARGE_TUPLE => Term::Tuple(self.count(1)?),
            tag::MAP => Term::Map(self.count(2)?),
            _ => return Err(Error::malformed("a term of this tag is not accepted", start)),
        })
    }

    /// Reads the next term as text, if it is a whole atom or binary, and its bytes mean the same in Latin-1 and UTF-8.
    /// Otherwise reads nothing.
    #[inline]
    pub(super) fn plain_text(&mut self) -> Option<&'a str> {
        let place = self.text_place()?;
        let end = place.end;
        let bytes = self.bytes.get(place).filter(|bytes| bytes.is_ascii())?;
        self.at = end;
        std::str::from_utf8(bytes).ok()
    }

    /// As [`Reader::plain_text`], with the range that is known to be ASCII.
    #[inline]
    pub(super) fn plain_text_known(&mut self, known: &mut AsciiStretch<'a>) -> Option<&'a str> {
        let place = self.text_place()?;
        let end = place.end;
        let text = known.text(self.bytes, place)?;
        self.at = end;
        Some(text)
    }

    /// The text of a binary that was just read.
    #[inline]
    pub(super) fn text_just_read(&self, binary: &'a [u8], known: &mut AsciiStretch<'a>) -> Cow<'a, str> {
        let start = self.at.checked_sub(binary.len());
        match start.and_then(|start| known.text(self.bytes, start..self.at)) {
            Some(text) => Cow::Borrowed(text),
            None => text_of(binary),
        }
    }

    /// The range of the text of the next term, if it is an atom or binary that the input holds completely.
    #[inline]
    fn text_place(&self) -> Option<Range<usize>> {
        let rest = self.rest();
        let (head, length) = match *rest {
            [tag::ATOM | tag::ATOM_UTF8, high, low, ..] => (3, u16::from_be_bytes([high, low]).into()),
            [tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8, length, ..] => (2, length.into()),
            [tag::BINARY, a, b, c, d, ..] => (5, of_u32(u32::from_be_bytes([a, b, c, d]))),
            _ => return None,
        };
        let end = self.after(whole(head, length, rest.len())?);
        Some(self.after(head)..end)
    }

    /// Reads an atom that is a known event name. Otherwise reads nothing.
    #[inline]
    pub(crate) fn known_event_name(&mut self) -> Option<&'static str> {
        let (length, text) = match *self.rest() {
            [tag::SMALL_ATOM_UTF8 | tag::SMALL_ATOM, length, ref text @ ..]
            | [tag::ATOM_UTF8 | tag::ATOM, 0, length, ref text @ ..] => (length, text),
            _ => return None,
        };
        let (name, after) = text.split_at_checked(usize::from(length))?;
        let known = crate::known_event_name(name)?;
        self.go_to(after);
        Some(known)
    }

    /// Whether the next term is null. Reads nothing.
    #[inline]
    pub(super) fn is_at_null(&self) -> bool {
        let rest = self.rest();
        let name = match rest {
            [tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8, length, name @ ..] => name.get(..usize::from(*length)),
            [tag::ATOM | tag::ATOM_UTF8, 0, length, name @ ..] => name.get(..usize::from(*length)),
            _ => None,
        };
        matches!(name, Some(b"nil" | b"null"))
    }

    /// The name of the next term, which is null: `nil` or `null`.
    pub(super) fn null_text(&self) -> &'static str {
        let name = match self.rest() {
            [tag::ATOM | tag::ATOM_UTF8, _, _, name @ ..] | [_, _, name @ ..] => name,
            _ => b"",
        };
        if name.starts_with(b"null") { "null" } else { "nil" }
    }

    /// Reads the end of a list, after its last element: the empty list.
    ///
    /// # Errors
    ///
    /// If another term follows: the list is improper.
    #[inline]
    pub fn list_end(&mut self) -> Result<(), Error> {
        let start = self.at;
        match self.byte()? {
            tag::NIL => Ok(()),
            _ => Err(Error::malformed("the list is improper", start)),
        }
    }

    /// Steps over the next term and all of its parts, and returns its bytes.
    ///
    /// # Errors
    ///
    /// As [`Reader::term`], without errors within atoms, floats and wide integers; also if the term is nested too deeply.
    pub fn skip(&mut self) -> Result<&'a [u8], Error> {
        self.skip_to_depth(DocumentLimits::MAX_DEPTH)
    }

    pub(crate) fn skip_to_depth(&mut self, depth: usize) -> Result<&'a [u8], Error> {
        self.skip_within(&mut Budget::of_depth(depth))
    }

    pub(crate) fn skip_within(&mut self, budget: &mut Budget) -> Result<&'a [u8], Error> {
        let start = self.at;
        self.go_to(super::skip::after_term(self.bytes, start, budget)?);
        Ok(&self.bytes[start..self.at])
    }

    /// Continues with `after`, the end of the document.
    #[inline]
    fn go_to(&mut self, after: &[u8]) {
        self.at = self.bytes.len().saturating_sub(after.len());
    }

    /// The offset after `count` of the unread bytes.
    #[inline]
    #[expect(clippy::arithmetic_side_effects, reason = "the bytes are in memory, so the sum fits")]
    fn after(&self, taken: usize) -> usize {
        debug_assert!(taken <= self.rest().len());
        self.at + taken
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Error> {
        match self.bytes.get(self.at) {
            Some(byte) => {
                self.at = self.after(1);
                Ok(*byte)
            }
            None => Err(Error::incomplete(self.bytes.len())),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        match self.rest().get(..length) {
            Some(taken) => {
                self.at = self.after(length);
                Ok(taken)
            }
            None => Err(Error::incomplete(self.bytes.len())),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest().first_chunk() {
            Some(taken) => {
                self.at = self.after(N);
                Ok(*taken)
            }
            None => Err(Error::incomplete(self.bytes.len())),
        }
    }

    #[inline]
    fn short(&mut self) -> Result<usize, Error> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    #[inline]
    fn long(&mut self) -> Result<usize, Error> {
        Ok(of_u32(u32::from_be_bytes(self.array()?)))
    }

    /// The number of parts of a container, each of which takes at least `part` bytes.
    #[inline]
    fn count(&mut self, part_length: usize) -> Result<usize, Error> {
        let count = self.long()?;
        self.possible(count, part_length)
    }

    #[inline]
    fn possible(&self, count: usize, part_length: usize) -> Result<usize, Error> {
        match count.checked_mul(part_length) {
            Some(length) if length <= self.rest().len() => Ok(count),
            _ => Err(Error::incomplete(self.bytes.len())),
        }
    }

    fn big(&mut self, length: usize, start: usize) -> Result<Integer, Error> {
        let negative = self.byte()? != 0;
        let digits = self.take(length)?;
        if length <= 8 {
            let mut low = [0; 8];
            low[..length].copy_from_slice(digits);
            return Ok(Integer::from_magnitude(negative, u64::from_le_bytes(low).into()));
        }
        let (low, high) = digits.split_at(length.min(16));
        if high.iter().any(|digit| *digit != 0) {
            return Err(Error::limit("an integer is wider than 128 bits", start));
        }
        let mut magnitude = [0; 16];
        magnitude[..low.len()].copy_from_slice(low);
        let number = Integer::from_magnitude(negative, u128::from_le_bytes(magnitude));
        if negative && number.to_i128().is_none() {
            return Err(Error::limit("an integer is wider than 128 bits", start));
        }
        Ok(number)
    }
}

/// The value of an atom. Its text is Latin-1, whose first half is ASCII.
#[inline]
fn latin_atom(bytes: &[u8]) -> Term<'_> {
    match bytes {
        b"nil" | b"null" => Term::Null,
        b"true" => Term::Bool(true),
        b"false" => Term::Bool(false),
        // UTF-8 without a byte beyond ASCII is Latin-1 too.
        _ => match std::str::from_utf8(bytes) {
            Ok(text) if bytes.is_ascii() => Term::Atom(Cow::Borrowed(text)),
            _ => Term::Atom(bytes.iter().copied().map(char::from).collect()),
        },
    }
}

#[inline]
fn utf8_atom(bytes: &[u8]) -> Term<'_> {
    match bytes {
        b"nil" | b"null" => Term::Null,
        b"true" => Term::Bool(true),
        b"false" => Term::Bool(false),
        _ => Term::Atom(text_of(bytes)),
    }
}

/// The text of a binary, with replacement characters where it is not UTF-8.
#[inline]
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// The value of FLOAT_EXT: text as C's `%.20e` prints it, padded with NUL.
fn float_from_text(text: &[u8; 31]) -> Option<f64> {
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = std::str::from_utf8(&text[..length]).ok()?;
    // Rust's parser also accepts "inf" and "nan".
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
