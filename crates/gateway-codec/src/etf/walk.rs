//! The shallow walk over an ETF map: its keys and its encoded values.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::{Reader, Term, VERSION, key_text};
use crate::{DocumentLimits, Encoding, Error, RawRef};
use std::borrow::Cow;

/// The entries of a document that is a map, in order, duplicates included, with keys as text.
///
/// Values are not decoded. The iterator ends after an error. Bytes after the map are ignored; [`Walk::rest`] returns them.
pub fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { state: State::Start(bytes) }
}

/// Checks that `bytes` begin with one whole term: a document, or the result of [`Raw::as_bytes`](crate::Raw::as_bytes), which
/// has no version byte.
///
/// Bytes after it are ignored. [`RawRef::check_structure`] does the same for a value of either encoding.
///
/// # Errors
///
/// [`Error::is_incomplete`] if `bytes` could be the beginning of a term; otherwise
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed), [`ErrorKind::Limit`](crate::ErrorKind::Limit), or
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a compressed term.
pub fn check_structure(bytes: &[u8]) -> Result<(), Error> {
    // As in `Raw::new`: no term begins with the version byte.
    let mut reader = match bytes.first() {
        None | Some(&VERSION) => Reader::new(bytes)?,
        Some(_) => Reader::term_only(bytes),
    };
    reader.skip().map(|_| ())
}

/// The iterator of [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    state: State<'a>,
}

#[derive(Clone, Debug)]
enum State<'a> {
    Start(&'a [u8]),
    /// At a term without a version byte.
    Term(&'a [u8]),
    Entries(Reader<'a>, usize),
    /// At the end, with the bytes after the map.
    End(&'a [u8]),
}

impl<'a> Walk<'a> {
    /// A walk over a term, without the version byte.
    pub(crate) fn term_only(bytes: &'a [u8]) -> Self {
        Self { state: State::Term(bytes) }
    }

    /// The unread bytes; once the last entry is yielded, the bytes after the map. Empty after an error.
    pub fn rest(&self) -> &'a [u8] {
        match &self.state {
            State::Start(bytes) | State::Term(bytes) | State::End(bytes) => bytes,
            State::Entries(reader, _) => reader.rest(),
        }
    }

    fn step(&mut self) -> Result<Option<(Cow<'a, str>, RawRef<'a>)>, Error> {
        let (mut reader, unread) = match std::mem::replace(&mut self.state, State::End(&[])) {
            State::End(rest) => {
                self.state = State::End(rest);
                return Ok(None);
            }
            State::Start(bytes) => begin(Reader::new(bytes)?)?,
            State::Term(bytes) => begin(Reader::term_only(bytes))?,
            State::Entries(reader, unread) => (reader, unread),
        };
        let Some(unread) = unread.checked_sub(1) else {
            self.state = State::End(reader.rest());
            return Ok(None);
        };
        let key = key_text(&mut reader)?;
        let value = reader.skip_to_depth(DocumentLimits::MAX_DEPTH - 1)?;
        self.state = State::Entries(reader, unread);
        Ok(Some((key, RawRef::new(value, Encoding::Etf))))
    }
}

fn begin(mut reader: Reader<'_>) -> Result<(Reader<'_>, usize), Error> {
    let start = reader.offset();
    match reader.term()? {
        Term::Map(length) => Ok((reader, length)),
        _ => Err(Error::malformed("expected a map", start)),
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(Cow<'a, str>, RawRef<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
