//! The shallow walk over an ETF map: its keys and its values as they stand, nothing built.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::{Reader, Term, VERSION, key_text};
use crate::{DocumentLimits, Encoding, Error, RawRef};
use std::borrow::Cow;

/// The entries of the map that a document is, in their order, duplicates included; keys as text.
///
/// A value is cut out as it stands. An iterator that has yielded an error is at its end. Bytes after the map are
/// ignored; [`Walk::rest`] shows them.
pub fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { state: State::Start(bytes) }
}

/// Checks that `bytes` begin with one whole term: a document, or what [`Raw::as_bytes`](crate::Raw::as_bytes) gives, which
/// has no version byte.
///
/// Bytes after it are ignored. [`RawRef::check_structure`] does the same for a value of either encoding.
///
/// # Errors
///
/// [`Error::is_incomplete`] if `bytes` could be the beginning of one; otherwise
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
    /// At a term that has no version byte.
    Term(&'a [u8]),
    Entries(Reader<'a>, usize),
    /// The walk is over, and this follows the map.
    End(&'a [u8]),
}

impl<'a> Walk<'a> {
    /// A walk over a term, without the version byte.
    pub(crate) fn term_only(bytes: &'a [u8]) -> Self {
        Self { state: State::Term(bytes) }
    }

    /// What is not read yet; once the last entry is yielded, what follows the map. Nothing after an error.
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
