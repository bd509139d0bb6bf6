//! Reads a term and writes its values to a sink.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

use super::sink::Sink;
use crate::Error;
use crate::document_limits::Budget;
use crate::etf::{Reader, Term, key_text};

/// Reads term after term.
pub(super) struct EtfSource<'a, 's, S> {
    pub(super) reader: Reader<'a>,
    pub(super) sink: &'s mut S,
    pub(super) budget: Budget,
    pub(super) wide_integers_as_text: bool,
}

impl<S: Sink> EtfSource<'_, '_, S> {
    /// Writes the next term to the sink.
    pub(super) fn value(&mut self) -> Result<(), Error> {
        let start = self.reader.offset();
        match self.reader.term()? {
            Term::Null => self.sink.null(),
            Term::Bool(value) => self.sink.boolean(value),
            Term::Atom(text) => self.sink.text(&text),
            Term::Binary(bytes) => self.sink.binary(bytes),
            Term::Integer(number) if self.wide_integers_as_text && number.is_unsafe_for_doubles() => {
                number.with_digits(|digits| self.sink.text(digits))
            }
            Term::Integer(number) => self.sink.integer(number),
            Term::Float(number) => self.sink.float(number),
            Term::SmallIntegers(bytes) => {
                self.budget.take(bytes.len(), start)?;
                self.sink.small_integers(bytes)
            }
            Term::EmptyList => self.sink.small_integers(&[]),
            Term::Tuple(length) => self.list(length, start, false),
            Term::List(length) => self.list(length, start, true),
            Term::Map(length) => self.map(length, start),
        }
    }

    fn list(&mut self, length: usize, start: usize, has_end: bool) -> Result<(), Error> {
        self.budget.enter(start)?;
        self.budget.take(length, start)?;
        match self.small_integers(length) {
            Some(elements) => self.sink.small_integers(&elements)?,
            None => {
                let open = self.sink.begin_list(Some(length))?;
                for index in 0..length {
                    self.sink.element(&open, index)?;
                    self.value().map_err(|error| error.inside_index(index))?;
                }
                self.sink.end_list(open, length)?;
            }
        }
        self.budget.leave();
        if has_end { self.reader.list_end() } else { Ok(()) }
    }

    /// Reads the next elements, if all of them are small integers and the sink packs such lists. Otherwise reads nothing.
    fn small_integers(&mut self, length: usize) -> Option<Vec<u8>> {
        if !self.sink.packs_small_integers(length) {
            return None;
        }
        let mut ahead = self.reader.clone();
        let elements = (0..length).map(|_| match ahead.term() {
            Ok(Term::Integer(number)) => number.to_u64().and_then(|number| u8::try_from(number).ok()),
            _ => None,
        });
        let elements = elements.collect::<Option<Vec<u8>>>()?;
        self.reader = ahead;
        Some(elements)
    }

    fn map(&mut self, length: usize, start: usize) -> Result<(), Error> {
        self.budget.enter(start)?;
        self.budget.take(length, start)?;
        let open = self.sink.begin_map()?;
        for index in 0..length {
            let key = key_text(&mut self.reader)?;
            self.sink.key(index, &key)?;
            self.value().map_err(|error| error.inside_key(&key))?;
        }
        self.sink.end_map(open, length)?;
        self.budget.leave();
        Ok(())
    }
}
