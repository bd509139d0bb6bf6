//! Sinks for the values of a document: JSON text or a term.

use crate::etf::pen::{Open, Pen};
use crate::etf::{Integer, Style, VERSION};
use crate::{Error, json};
use std::io;

/// Takes values in order. The parts of a container come between its beginning and its end.
pub(super) trait Sink {
    /// The state of a container from its beginning to its end.
    type Open;

    fn null(&mut self) -> Result<(), Error>;
    fn boolean(&mut self, value: bool) -> Result<(), Error>;
    fn integer(&mut self, number: Integer) -> Result<(), Error>;
    fn float(&mut self, number: f64) -> Result<(), Error>;
    fn text(&mut self, text: &str) -> Result<(), Error>;
    /// Text that is not necessarily UTF-8.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// A list of small integers, whole.
    fn small_integers(&mut self, elements: &[u8]) -> Result<(), Error>;
    /// Whether a list of `count` small integers should be passed to [`Self::small_integers`].
    fn packs_small_integers(&self, count: usize) -> bool;

    /// The number of elements of a list is given at the beginning if it is known there, and always at the end; that of a
    /// map at the end.
    fn begin_list(&mut self, count: Option<usize>) -> Result<Self::Open, Error>;
    fn element(&mut self, open: &Self::Open, index: usize) -> Result<(), Error>;
    fn end_list(&mut self, open: Self::Open, count: usize) -> Result<(), Error>;

    fn begin_map(&mut self) -> Result<Self::Open, Error>;
    fn key(&mut self, index: usize, key: &str) -> Result<(), Error>;
    fn end_map(&mut self, open: Self::Open, count: usize) -> Result<(), Error>;
}

/// The size of the buffer before the writer, in bytes.
const KEPT: usize = 16 << 10;

/// Buffers small writes.
struct Output<W> {
    buffer: Vec<u8>,
    writer: W,
}

impl<W: io::Write> Output<W> {
    fn new(writer: W) -> Self {
        Self { buffer: Vec::new(), writer }
    }

    fn spill_if_full(&mut self) -> Result<(), Error> {
        if self.buffer.len() < KEPT {
            return Ok(());
        }
        self.spill()
    }

    fn spill(&mut self) -> Result<(), Error> {
        self.writer.write_all(&self.buffer).map_err(Error::write)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Compact JSON.
pub(super) struct JsonSink<W>(Output<W>);

impl<W: io::Write> JsonSink<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Output::new(writer))
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.0.spill()
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.buffer.extend_from_slice(bytes);
        self.0.spill_if_full()
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.0.buffer.push(b',');
        }
    }
}

impl<W: io::Write> Sink for JsonSink<W> {
    type Open = ();

    fn null(&mut self) -> Result<(), Error> {
        self.plain(b"null")
    }

    fn boolean(&mut self, value: bool) -> Result<(), Error> {
        self.plain(if value { b"true" } else { b"false" })
    }

    fn integer(&mut self, number: Integer) -> Result<(), Error> {
        number.with_digits(|digits| self.plain(digits.as_bytes()))
    }

    fn float(&mut self, number: f64) -> Result<(), Error> {
        json::to_writer(&mut self.0.buffer, &number)
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        json::to_writer(&mut self.0.buffer, text)?;
        self.0.spill_if_full()
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.text(&String::from_utf8_lossy(bytes))
    }

    fn small_integers(&mut self, elements: &[u8]) -> Result<(), Error> {
        json::to_writer(&mut self.0.buffer, elements)?;
        self.0.spill_if_full()
    }

    fn packs_small_integers(&self, _count: usize) -> bool {
        false
    }

    fn begin_list(&mut self, _count: Option<usize>) -> Result<(), Error> {
        self.plain(b"[")
    }

    fn element(&mut self, _open: &(), index: usize) -> Result<(), Error> {
        self.comma(index);
        Ok(())
    }

    fn end_list(&mut self, _open: (), _count: usize) -> Result<(), Error> {
        self.plain(b"]")
    }

    fn begin_map(&mut self) -> Result<(), Error> {
        self.plain(b"{")
    }

    fn key(&mut self, index: usize, key: &str) -> Result<(), Error> {
        self.comma(index);
        self.text(key)?;
        self.plain(b":")
    }

    fn end_map(&mut self, _open: (), _count: usize) -> Result<(), Error> {
        self.plain(b"}")
    }
}

/// A term. Bytes after a count that is not known yet are buffered until it is.
pub(super) struct EtfSink<W> {
    output: Output<W>,
    pen: Pen,
    /// The number of open containers with an unknown count.
    uncounted: usize,
}

impl<W: io::Write> EtfSink<W> {
    /// Begins a document.
    pub(super) fn new(writer: W, style: Style) -> Self {
        let mut output = Output::new(writer);
        output.buffer.push(VERSION);
        Self { output, pen: Pen::new(style), uncounted: 0 }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.output.spill()
    }

    fn written(&mut self) -> Result<(), Error> {
        if self.uncounted == 0 { self.output.spill_if_full() } else { Ok(()) }
    }
}

impl<W: io::Write> Sink for EtfSink<W> {
    type Open = Counted;

    fn null(&mut self) -> Result<(), Error> {
        self.pen.null(&mut self.output.buffer);
        Ok(())
    }

    fn boolean(&mut self, value: bool) -> Result<(), Error> {
        self.pen.boolean(&mut self.output.buffer, value);
        Ok(())
    }

    fn integer(&mut self, number: Integer) -> Result<(), Error> {
        self.pen.integer(&mut self.output.buffer, number);
        self.written()
    }

    fn float(&mut self, number: f64) -> Result<(), Error> {
        self.pen.float(&mut self.output.buffer, number);
        self.written()
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.pen.text(&mut self.output.buffer, text)?;
        self.written()
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.pen.text(&mut self.output.buffer, text)?,
            Err(_) => self.pen.binary(&mut self.output.buffer, bytes)?,
        }
        self.written()
    }

    fn small_integers(&mut self, elements: &[u8]) -> Result<(), Error> {
        self.pen.small_integers(&mut self.output.buffer, elements)?;
        self.written()
    }

    fn packs_small_integers(&self, count: usize) -> bool {
        self.pen.packs_small_integers(count)
    }

    fn begin_list(&mut self, count: Option<usize>) -> Result<Counted, Error> {
        self.uncounted += usize::from(count.is_none());
        let open = self.pen.begin_list(&mut self.output.buffer, count)?;
        Ok(Counted { open, at_the_beginning: count.is_some() })
    }

    fn element(&mut self, counted: &Counted, _index: usize) -> Result<(), Error> {
        self.pen.element(&counted.open);
        self.written()
    }

    fn end_list(&mut self, counted: Counted, count: usize) -> Result<(), Error> {
        self.uncounted -= usize::from(!counted.at_the_beginning);
        self.pen.end_list(&mut self.output.buffer, &counted.open, count)
    }

    /// The number of distinct keys is known at the end.
    fn begin_map(&mut self) -> Result<Counted, Error> {
        self.uncounted += 1;
        let open = self.pen.begin_map(&mut self.output.buffer, None)?;
        Ok(Counted { open, at_the_beginning: false })
    }

    fn key(&mut self, _index: usize, key: &str) -> Result<(), Error> {
        self.pen.key(&mut self.output.buffer, key)?;
        self.written()
    }

    fn end_map(&mut self, counted: Counted, count: usize) -> Result<(), Error> {
        self.uncounted -= usize::from(!counted.at_the_beginning);
        self.pen.end_map(&mut self.output.buffer, &counted.open, count)
    }
}

/// A container, and whether its count was known at its beginning.
pub(super) struct Counted {
    open: Open,
    at_the_beginning: bool,
}
