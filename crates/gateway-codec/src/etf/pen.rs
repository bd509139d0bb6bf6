//! Writes terms piece by piece, for the serializer and the converter.

use super::{Integer, Style, tag};
use crate::{DocumentLimits, Error};
use std::ops::Range;

/// The state of a document that is being written, and its style.
#[derive(Debug)]
pub(crate) struct Pen {
    style: Style,
    depth: usize,
    role: Role,
    keys: Keys,
}

/// The role of a value after its key, for the server's style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    Id,
    EventName,
}

/// A list or map that is being written.
#[derive(Debug)]
pub(crate) struct Open {
    /// The role of its elements. The elements of a list have the role of the list.
    role: Role,
    /// The offset of its head, if the count in it is not known yet.
    head: Option<usize>,
    /// The number of keys before those of this map.
    keys: usize,
}

/// The keys of the open maps, to find duplicates: Erlang rejects a term that has any.
#[derive(Debug, Default)]
struct Keys {
    /// The range of each key in the output, those of a map after those of the map around it.
    places: Vec<Range<usize>>,
    /// Indexes of the keys of one map in the order of their text. A field, so that its allocation is reused.
    sorted: Vec<usize>,
    /// Entries whose key comes again. All are removed at the end of the outermost map: removal at the end of each map would
    /// move deep values repeatedly.
    superseded: Vec<Range<usize>>,
    open_maps: usize,
}

/// A container's tag and its count.
const HEAD: usize = 5;

impl Pen {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, depth: 0, role: Role::Plain, keys: Keys::default() }
    }

    pub(crate) fn key(&mut self, output: &mut Vec<u8>, key: &str) -> Result<(), Error> {
        let start = output.len();
        let is_number = key.bytes().all(|byte| byte.is_ascii_digit());
        if self.style == Style::Client || is_number || !key.is_ascii() || key.len() > 255 {
            self.binary(output, key.as_bytes())?;
        } else {
            self.atom(output, key);
        }
        self.keys.places.push(start..output.len());
        self.role = match key {
            _ if self.style == Style::Client => Role::Plain,
            "t" if self.depth == 1 => Role::EventName,
            "id" => Role::Id,
            _ if key.ends_with("_id") || key.ends_with("_ids") || key.ends_with("roles") => Role::Id,
            _ => Role::Plain,
        };
        Ok(())
    }

    pub(crate) fn null(&self, output: &mut Vec<u8>) {
        self.atom(output, "nil");
    }

    pub(crate) fn boolean(&self, output: &mut Vec<u8>, value: bool) {
        self.atom(output, if value { "true" } else { "false" });
    }

    /// Writes a float. One that is not finite is null, as in JSON.
    pub(crate) fn float(&self, output: &mut Vec<u8>, number: f64) {
        if number.is_finite() {
            output.push(tag::NEW_FLOAT);
            output.extend(number.to_be_bytes());
        } else {
            self.null(output);
        }
    }

    pub(crate) fn integer(&self, output: &mut Vec<u8>, number: Integer) {
        match number.to_i64() {
            Some(number @ 0..=255) => output.extend([tag::SMALL_INTEGER, number as u8]),
            Some(number) if i32::try_from(number).is_ok() => {
                output.push(tag::INTEGER);
                output.extend((number as i32).to_be_bytes());
            }
            _ => {
                let digits = number.magnitude().to_le_bytes();
                let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
                output.extend([tag::SMALL_BIG, length as u8, number.is_negative().into()]);
                output.extend_from_slice(&digits[..length]);
            }
        }
    }

    pub(crate) fn text(&self, output: &mut Vec<u8>, text: &str) -> Result<(), Error> {
        match self.role {
            Role::EventName if text.is_ascii() && text.len() <= 255 => {
                self.atom(output, text);
                return Ok(());
            }
            Role::Id => {
                if let Some(id) = id_from_text(text) {
                    self.integer(output, id.into());
                    return Ok(());
                }
            }
            Role::EventName | Role::Plain => {}
        }
        self.binary(output, text.as_bytes())
    }

    pub(crate) fn binary(&self, output: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| Error::unsupported("text is 4 GiB long or longer"))?;
        output.push(tag::BINARY);
        output.extend(length.to_be_bytes());
        output.extend_from_slice(bytes);
        Ok(())
    }

    /// A list of small integers, whole.
    pub(crate) fn small_integers(&self, output: &mut Vec<u8>, elements: &[u8]) -> Result<(), Error> {
        match u16::try_from(elements.len()) {
            Ok(0) => output.push(tag::NIL),
            Ok(count) if self.style == Style::Server => {
                output.push(tag::STRING);
                output.extend(count.to_be_bytes());
                output.extend_from_slice(elements);
            }
            // The length of STRING_EXT, where they come from, is a u16.
            _ => {
                output.push(tag::LIST);
                output.extend(count_bytes(elements.len())?);
                output.extend(elements.iter().flat_map(|element| [tag::SMALL_INTEGER, *element]));
                output.push(tag::NIL);
            }
        }
        Ok(())
    }

    /// Whether the style writes a list of `count` small integers as STRING_EXT.
    pub(crate) fn packs_small_integers(&self, count: usize) -> bool {
        self.style == Style::Server && u16::try_from(count).is_ok()
    }

    /// Begins a list. Without a count, its end fills the count in.
    pub(crate) fn begin_list(&mut self, output: &mut Vec<u8>, count: Option<usize>) -> Result<Open, Error> {
        self.begin(output, tag::LIST, count)
    }

    /// Begins a map, as [`Self::begin_list`].
    pub(crate) fn begin_map(&mut self, output: &mut Vec<u8>, count: Option<usize>) -> Result<Open, Error> {
        self.keys.open_maps += 1;
        self.begin(output, tag::MAP, count)
    }

    fn begin(&mut self, output: &mut Vec<u8>, tag: u8, count: Option<usize>) -> Result<Open, Error> {
        if self.depth == DocumentLimits::MAX_DEPTH {
            return Err(Error::unsupported("the value is nested too deeply"));
        }
        self.depth += 1;
        let head = count.is_none().then_some(output.len());
        let open = Open { role: self.role, head, keys: self.keys.places.len() };
        // The empty list has no head, only the end that every list has.
        if tag == tag::MAP || count != Some(0) {
            output.push(tag);
            output.extend(count_bytes(count.unwrap_or_default())?);
        }
        Ok(open)
    }

    /// Must be called before each element of a list.
    pub(crate) fn element(&mut self, open: &Open) {
        self.role = open.role;
    }

    pub(crate) fn end_list(&mut self, output: &mut Vec<u8>, open: &Open, count: usize) -> Result<(), Error> {
        self.depth -= 1;
        if let Some(start) = open.head {
            if count == 0 {
                output.truncate(start);
            } else if self.packs_small_integers(count) && are_small_integers(&output[start + HEAD..], count) {
                let elements: Vec<u8> =
                    output[start + HEAD..].chunks_exact(2).map(|element| element[1]).collect();
                output.truncate(start);
                return self.small_integers(output, &elements);
            } else {
                output[start + 1..start + HEAD].copy_from_slice(&count_bytes(count)?);
            }
        }
        output.push(tag::NIL);
        Ok(())
    }

    /// Ends a map. Of the entries with the same key the last stays, at its own place; the others are not counted.
    pub(crate) fn end_map(&mut self, output: &mut Vec<u8>, open: &Open, count: usize) -> Result<(), Error> {
        self.depth -= 1;
        let superseded = self.keys.end_map(output, open.keys);
        if let Some(start) = open.head {
            output[start + 1..start + HEAD].copy_from_slice(&count_bytes(count - superseded)?);
        }
        if self.keys.open_maps == 0 {
            self.keys.take_out_superseded(output);
        }
        Ok(())
    }

    fn atom(&self, output: &mut Vec<u8>, text: &str) {
        match self.style {
            Style::Client => output.extend([tag::SMALL_ATOM, text.len() as u8]),
            Style::Server => {
                output.push(tag::ATOM);
                output.extend((text.len() as u16).to_be_bytes());
            }
        }
        output.extend_from_slice(text.as_bytes());
    }
}

impl Keys {
    /// Ends the map whose keys follow the first `outer`. Returns how many of its entries are superseded.
    fn end_map(&mut self, output: &[u8], outer: usize) -> usize {
        self.open_maps -= 1;
        let keys = &self.places[outer..];
        let text = |key: usize| &output[keys[key].clone()];
        self.sorted.clear();
        self.sorted.extend(0..keys.len());
        self.sorted.sort_unstable_by(|one, other| text(*one).cmp(text(*other)).then(one.cmp(other)));
        let before = self.superseded.len();
        for pair in self.sorted.windows(2) {
            let [key, next] = [pair[0], pair[1]];
            if text(key) == text(next) {
                // The key comes again, so another entry begins where this one ends.
                self.superseded.push(keys[key].start..keys[key + 1].start);
            }
        }
        self.places.truncate(outer);
        self.superseded.len() - before
    }

    /// Removes the superseded entries, which may be nested.
    fn take_out_superseded(&mut self, output: &mut Vec<u8>) {
        self.superseded.sort_unstable_by_key(|entry| entry.start);
        let Some(first) = self.superseded.first() else { return };
        let (mut read, mut written) = (first.start, first.start);
        for entry in self.superseded.drain(..) {
            if entry.start > read {
                output.copy_within(read..entry.start, written);
                written += entry.start - read;
            }
            read = read.max(entry.end);
        }
        output.copy_within(read.., written);
        output.truncate(written + output.len() - read);
    }
}

fn count_bytes(count: usize) -> Result<[u8; 4], Error> {
    u32::try_from(count).map(u32::to_be_bytes).map_err(|_| Error::unsupported("2^32 or more elements"))
}

/// Whether a list consists of SMALL_INTEGERs only.
fn are_small_integers(elements: &[u8], count: usize) -> bool {
    count.checked_mul(2) == Some(elements.len())
        && elements.chunks_exact(2).all(|element| element[0] == tag::SMALL_INTEGER)
}

/// The integer whose text this is, exactly: the server sends ids as integers.
fn id_from_text(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}
