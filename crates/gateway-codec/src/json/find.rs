//! Looks up one part of a JSON value, and steps over the others.

use super::scan::{skip_blank, string_end, value_end};
use crate::{DocumentLimits, Error};

/// The value of the first entry with this key. `None` if there is no such entry, or `bytes` are not an object.
pub(crate) fn entry<'a>(bytes: &'a [u8], key: &str) -> Result<Option<&'a [u8]>, Error> {
    let mut found = None;
    each_entry(bytes, |quoted, value| {
        if is_key(quoted, key) {
            found = Some(value);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// The values of the first entries with these keys, in one pass that ends once all are found.
pub(crate) fn entries<'a, const N: usize>(
    bytes: &'a [u8],
    keys: &[&str; N],
) -> Result<[Option<&'a [u8]>; N], Error> {
    let (mut found, mut missing) = ([None; N], N);
    each_entry(bytes, |quoted, value| {
        for (key, place) in keys.iter().zip(&mut found) {
            if place.is_none() && is_key(quoted, key) {
                *place = Some(value);
                missing -= 1;
            }
        }
        missing > 0
    })?;
    Ok(found)
}

/// Passes the quoted key and the value of each entry of an object to the callback, until it returns a break.
#[inline]
fn each_entry<'a>(
    bytes: &'a [u8],
    mut go_on_after: impl FnMut(&'a [u8], &'a [u8]) -> bool,
) -> Result<(), Error> {
    let Some(mut at) = first_part(bytes, b'{')? else { return Ok(()) };
    loop {
        match bytes.get(at) {
            Some(b'"') => {}
            Some(_) => return Err(Error::malformed("expected a key", at)),
            None => return Err(Error::incomplete(at)),
        }
        let key_end = string_end(bytes, at)?;
        let colon = skip_blank(bytes, key_end);
        match bytes.get(colon) {
            Some(b':') => {}
            Some(_) => return Err(Error::malformed("expected a colon", colon)),
            None => return Err(Error::incomplete(colon)),
        }
        let start = skip_blank(bytes, colon + 1);
        let end = value_end(bytes, start, DocumentLimits::MAX_DEPTH - 1)?;
        if !go_on_after(&bytes[at..key_end], &bytes[start..end]) {
            return Ok(());
        }
        match next_part(bytes, end, b'}')? {
            Some(next) => at = next,
            None => return Ok(()),
        }
    }
}

/// The element at `index`. `None` if the list is shorter, or `bytes` are not a list.
pub(crate) fn element(bytes: &[u8], index: usize) -> Result<Option<&[u8]>, Error> {
    // Not `nth`, which would step over an error.
    for (at, element) in elements(bytes).enumerate() {
        let element = element?;
        if at == index {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

/// The encoded elements of a list. Empty if `bytes` are not a list.
pub(crate) fn elements(bytes: &[u8]) -> Elements<'_> {
    Elements { bytes, state: State::Start }
}

/// The iterator of [`elements`], which ends after an error.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// After an element that ended at this offset.
    After(usize),
    End,
}

impl<'a> Elements<'a> {
    fn step(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let start = match std::mem::replace(&mut self.state, State::End) {
            State::Start => first_part(self.bytes, b'[')?,
            State::After(end) => next_part(self.bytes, end, b']')?,
            State::End => None,
        };
        let Some(start) = start else { return Ok(None) };
        let end = value_end(self.bytes, start, DocumentLimits::MAX_DEPTH - 1)?;
        self.state = State::After(end);
        Ok(Some(&self.bytes[start..end]))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The offset of the first part of a container. `None` if it is empty or another kind of value.
fn first_part(bytes: &[u8], bracket: u8) -> Result<Option<usize>, Error> {
    let start = skip_blank(bytes, 0);
    match bytes.get(start) {
        None => return Err(Error::incomplete(start)),
        Some(found) if *found != bracket => return Ok(None),
        Some(_) => {}
    }
    let at = skip_blank(bytes, start + 1);
    // The closing bracket of either kind is two above the opening one.
    Ok((bytes.get(at) != Some(&(bracket + 2))).then_some(at))
}

/// The offset of the part after the one that ended at `end`. `None` if that was the last.
fn next_part(bytes: &[u8], end: usize, closing: u8) -> Result<Option<usize>, Error> {
    let at = skip_blank(bytes, end);
    match bytes.get(at) {
        Some(b',') => Ok(Some(skip_blank(bytes, at + 1))),
        Some(found) if *found == closing => Ok(None),
        Some(_) => Err(Error::malformed("expected a comma or the end", at)),
        None => Err(Error::incomplete(at)),
    }
}

/// Whether a quoted key is this key.
#[inline]
fn is_key(quoted: &[u8], key: &str) -> bool {
    // The first byte decides for most keys.
    match (quoted[1], key.as_bytes().first()) {
        (b'\\' | b'"', _) | (_, None) => is_key_in_full(quoted, key),
        (one, Some(other)) => one == *other && is_key_in_full(quoted, key),
    }
}

/// Compares a key with escapes: the bytes before its first escape are its text.
#[inline(never)]
fn is_key_in_full(quoted: &[u8], key: &str) -> bool {
    let inner = &quoted[1..quoted.len() - 1];
    let same =
        inner.iter().zip(key.as_bytes()).take_while(|(one, other)| one == other && **one != b'\\').count();
    match inner.get(same) {
        None => same == key.len(),
        Some(b'\\') => super::unescape(quoted).is_ok_and(|found| found == key),
        Some(_) => false,
    }
}
