//! Looks up one part of a term, and steps over the others.

use super::{Reader, Term, key_text, tag};
use crate::{DocumentLimits, Error};

/// The value of the first entry with this key. `None` if there is no such entry, or the term is not a map.
pub(crate) fn entry<'a>(term: &'a [u8], key: &str) -> Result<Option<&'a [u8]>, Error> {
    let mut reader = Reader::term_only(term);
    let Term::Map(length) = reader.term()? else { return Ok(None) };
    for _ in 0..length {
        let found = is_key(&mut reader, key)?;
        let value = reader.skip_to_depth(DocumentLimits::MAX_DEPTH - 1)?;
        if found {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The values of the first entries with these keys, in one pass that ends once all are found.
pub(crate) fn entries<'a, const N: usize>(
    term: &'a [u8],
    keys: &[&str; N],
) -> Result<[Option<&'a [u8]>; N], Error> {
    let (mut found, mut missing) = ([None; N], N);
    let mut reader = Reader::term_only(term);
    let Term::Map(length) = reader.term()? else { return Ok(found) };
    for _ in 0..length {
        if missing == 0 {
            break;
        }
        let key = key_text(&mut reader)?;
        let value = reader.skip_to_depth(DocumentLimits::MAX_DEPTH - 1)?;
        for (wanted, place) in keys.iter().zip(&mut found) {
            if place.is_none() && key == *wanted {
                *place = Some(value);
                missing -= 1;
            }
        }
    }
    Ok(found)
}

/// The element at `index`. `None` if the list is shorter, or the term is not a list.
pub(crate) fn element(term: &[u8], index: usize) -> Result<Option<&[u8]>, Error> {
    // Not `nth`, which would step over an error.
    for (at, element) in elements(term)?.enumerate() {
        let element = element?;
        if at == index {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

/// The encoded elements of a list or tuple. Empty if the term is of another kind.
pub(crate) fn elements(term: &[u8]) -> Result<Elements<'_>, Error> {
    let mut reader = Reader::term_only(term);
    Ok(match reader.term()? {
        Term::List(length) => Elements::Terms { reader, unread: length, has_end: true },
        Term::Tuple(length) => Elements::Terms { reader, unread: length, has_end: false },
        Term::SmallIntegers(bytes) => Elements::Bytes(bytes.iter()),
        _ => Elements::Bytes([].iter()),
    })
}

/// The iterator of [`elements`], which ends after an error.
#[derive(Clone, Debug)]
pub(crate) enum Elements<'a> {
    Terms { reader: Reader<'a>, unread: usize, has_end: bool },
    Bytes(std::slice::Iter<'a, u8>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Elements::Terms { reader, unread: 0, has_end } => {
                // The end of the list is read once, and yields an item only if it is an error.
                if std::mem::take(has_end) { reader.list_end().err().map(Err) } else { None }
            }
            Elements::Terms { reader, unread, has_end } => {
                *unread -= 1;
                let element = reader.skip_to_depth(DocumentLimits::MAX_DEPTH - 1);
                if element.is_err() {
                    (*unread, *has_end) = (0, false);
                }
                Some(element)
            }
            Elements::Bytes(bytes) => bytes.next().map(|byte| Ok(small_integer(*byte))),
        }
    }
}

/// The term of an element of STRING_EXT, which has no tag there.
pub(super) fn small_integer(value: u8) -> &'static [u8] {
    &SMALL_INTEGERS[usize::from(value)]
}

static SMALL_INTEGERS: [[u8; 2]; 256] = {
    let mut terms = [[tag::SMALL_INTEGER, 0]; 256];
    let mut value = 0;
    while value < 256 {
        terms[value][1] = value as u8;
        value += 1;
    }
    terms
};

/// Reads a key and returns whether it is this one, for most keys without converting it to text.
pub(crate) fn is_key(reader: &mut Reader<'_>, key: &str) -> Result<bool, Error> {
    Ok(key_text(reader)? == key)
}

/// The bytes after this key, if it is in one of the forms that gateways write: a small atom, an atom, or a binary. `None`
/// otherwise.
#[inline]
pub(crate) fn after_key<'a, const N: usize>(bytes: &'a [u8], key: &[u8; N]) -> Option<&'a [u8]> {
    let length = u8::try_from(N).ok()?;
    let text = match *bytes.first()? {
        tag::SMALL_ATOM_UTF8 | tag::SMALL_ATOM => bytes[1..].strip_prefix(&[length]),
        tag::ATOM_UTF8 | tag::ATOM => bytes[1..].strip_prefix(&[0, length]),
        tag::BINARY => bytes[1..].strip_prefix(&[0, 0, 0, length]),
        _ => None,
    };
    text?.strip_prefix(key)
}
