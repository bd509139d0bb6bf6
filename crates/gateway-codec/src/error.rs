//! The error of reading and writing values: what went wrong and where, without content of the payload.

use crate::json::place;
use crate::text::escape;
use std::{error, fmt};

/// Why a document could not be read or a value could not be written.
///
/// Neither `Display` nor `Debug` shows content of the payload, so the error can be logged.
/// [`Error::detail`] has the full message of the type that rejected a value.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Message,
    offset: Option<usize>,
    path: Option<String>,
    detail: Option<String>,
    io_error: Option<std::io::Error>,
}

enum Message {
    Fixed(&'static str),
    Built(String),
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ended too early: it could be the beginning of a whole document.
    Incomplete,
    /// The input is not a document of its encoding.
    Malformed,
    /// The document is well-formed, but does not fit the requested type.
    Mismatch,
    /// The document is deeper, larger or longer than the limits allow.
    Limit,
    /// The value cannot be represented in this encoding, or the cargo feature for it is off.
    Unsupported,
    /// The caller's writer failed: see [`Error::io_error`].
    Write,
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the input is a prefix of a possible document: more bytes may make it whole.
    pub fn is_incomplete(&self) -> bool {
        self.0.kind == ErrorKind::Incomplete
    }

    /// The position of the error in bytes from the beginning of the input, if it is known.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// The path of the error in the document, such as `d.members[3].user.id`, if it is known.
    ///
    /// It contains keys of the document, escaped and truncated, and never values.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The full message of the type's own `Deserialize` or `Serialize`.
    ///
    /// It may quote the payload, tokens included, so do not log it without a check.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The error of the caller's writer, for [`ErrorKind::Write`].
    pub fn io_error(&self) -> Option<&std::io::Error> {
        self.0.io_error.as_ref()
    }

    pub(crate) fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self::from_message(kind, Message::Fixed(message))
    }

    pub(crate) fn built(kind: ErrorKind, message: String) -> Self {
        Self::from_message(kind, Message::Built(message))
    }

    fn from_message(kind: ErrorKind, message: Message) -> Self {
        Self(Box::new(Inner { kind, message, offset: None, path: None, detail: None, io_error: None }))
    }

    pub(crate) fn incomplete(offset: usize) -> Self {
        Self::new(ErrorKind::Incomplete, "the input ended too early").at(offset)
    }

    pub(crate) fn malformed(message: &'static str, offset: usize) -> Self {
        Self::new(ErrorKind::Malformed, message).at(offset)
    }

    pub(crate) fn limit(message: &'static str, offset: usize) -> Self {
        Self::new(ErrorKind::Limit, message).at(offset)
    }

    pub(crate) fn unsupported(message: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn write(io_error: std::io::Error) -> Self {
        let text = io_error.to_string();
        let mut error =
            Self::built(ErrorKind::Write, format!("the bytes could not be written: {}", escape(&text)));
        error.0.detail = Some(text);
        error.0.io_error = Some(io_error);
        error
    }

    /// An error with the message of a type. `detail` has all of it; `Display` has it without what it quotes of the payload.
    pub(crate) fn from_text(kind: ErrorKind, text: String) -> Self {
        let mut error = Self::built(kind, escape(&without_content(&text)).to_string());
        error.0.detail = Some(text);
        error
    }

    /// Sets the offset unless one is set already, which is more exact.
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Removes an offset that counts from another beginning.
    pub(crate) fn without_offset(mut self) -> Self {
        self.0.offset = None;
        self
    }

    /// Moves the offset into a document that contains the input at `base`.
    pub(crate) fn shifted(mut self, base: usize) -> Self {
        self.0.offset = self.0.offset.map(|offset| offset + base);
        self
    }

    pub(crate) fn with_path(mut self, path: String) -> Self {
        if !path.is_empty() {
            self.0.path.get_or_insert(path);
        }
        self
    }

    /// Prepends a key to the path, on the way out of a map.
    pub(crate) fn inside_key(self, key: &str) -> Self {
        self.inside(|path| place::push_key(path, key))
    }

    /// Prepends an index to the path, on the way out of a list.
    pub(crate) fn inside_index(self, index: usize) -> Self {
        self.inside(|path| place::push_index(path, index))
    }

    fn inside(mut self, push: impl FnOnce(&mut String)) -> Self {
        let inner = self.0.path.take().unwrap_or_default();
        let mut path = String::new();
        push(&mut path);
        if path.len() + inner.len() > place::MAX_PATH {
            self.0.path = Some(inner);
            return self;
        }
        if !inner.is_empty() && !inner.starts_with('[') {
            path.push('.');
        }
        self.0.path = Some(path + &inner);
        self
    }
}

/// A message that serde has formatted, without the value that it quotes.
fn without_content(text: &str) -> String {
    const QUOTE_NOTHING: [&str; 4] =
        ["missing field ", "duplicate field ", "data did not match any variant", "cannot deserialize"];
    const QUOTE_THE_VALUE: [(&str, &str); 5] = [
        ("invalid type", "invalid type"),
        ("invalid value", "invalid value"),
        ("invalid length", "invalid length"),
        ("unknown variant", "unknown variant"),
        ("unknown field", "unknown field"),
    ];
    if QUOTE_NOTHING.iter().any(|known| text.starts_with(known)) {
        return text.to_owned();
    }
    for (known, shown) in QUOTE_THE_VALUE {
        if text.starts_with(known) {
            // Without expected names, only the peer can have written ", expected ".
            if [", there are no fields", ", there are no variants"].iter().any(|end| text.ends_with(end)) {
                return shown.to_owned();
            }
            // The text after the last ", expected " is the program's, not the peer's.
            return match text.rfind(", expected ") {
                Some(found) => format!("{shown}{}", &text[found..]),
                None => shown.to_owned(),
            };
        }
    }
    "the type rejected the value".to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.message {
            Message::Fixed(text) => formatter.write_str(text)?,
            Message::Built(text) => formatter.write_str(text)?,
        }
        if let Some(path) = &self.0.path {
            write!(formatter, ", in {path}")?;
        }
        if let Some(offset) = self.0.offset {
            write!(formatter, ", at byte {offset}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Error({:?}: {self})", self.0.kind)
    }
}

/// The text contains that of a writer's error, so there is no `source`.
impl error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::from_text(ErrorKind::Mismatch, message.to_string())
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::from_text(ErrorKind::Unsupported, message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::{Error as _, Unexpected};

    #[test]
    fn content_is_in_the_detail_only() {
        let error = Error::invalid_type(Unexpected::Str("secret, expected x"), &"a number");
        assert_eq!(error.to_string(), "invalid type, expected a number");
        assert!(!format!("{error:?}").contains("secret"));
        assert!(error.detail().is_some_and(|detail| detail.contains("secret")));
        let error = Error::unknown_variant("secret", &["a", "b"]);
        assert_eq!(error.to_string(), "unknown variant, expected `a` or `b`");
        let error = <Error as serde::de::Error>::custom("token secret is bad");
        assert_eq!(error.to_string(), "the type rejected the value");
        assert_eq!(Error::missing_field("id").to_string(), "missing field `id`");
    }

    /// The message for a type without fields contains no expected names, so what looks like them is the peer's text.
    #[test]
    fn a_peer_cannot_word_the_expectation() {
        let error = Error::unknown_field("x`, expected \u{1b}[31msecret", &[]);
        assert_eq!(error.to_string(), "unknown field");
        let error = Error::unknown_variant("x`, expected secret", &[]);
        assert_eq!(error.to_string(), "unknown variant");
    }

    #[test]
    fn keys_are_escaped_and_cut() {
        let error = Error::incomplete(7).inside_key("a\n\u{1b}[2J\u{202e}").inside_key("d");
        assert_eq!(error.to_string(), r"the input ended too early, in d.a\n\u{1b}[2J\u{202e}, at byte 7");
        let error = Error::incomplete(7).inside_key(&"\u{7f}".repeat(100_000));
        assert!(error.path().is_some_and(|path| path.ends_with('…') && path.len() < 100), "{error}");
    }

    #[test]
    fn a_write_error_contains_the_text_of_the_writer() {
        let error = Error::write(std::io::Error::other("the disk is full\n"));
        assert_eq!(error.to_string(), "the bytes could not be written: the disk is full\\n");
        assert!(error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::Other));
        assert!(Error::incomplete(7).io_error().is_none());
    }

    #[test]
    fn place_is_shown() {
        let error = Error::incomplete(7).with_path("d.members[3]".to_owned());
        assert_eq!(error.to_string(), "the input ended too early, in d.members[3], at byte 7");
        assert!(error.is_incomplete());
        assert_eq!(error.shifted(10).offset(), Some(17));
    }
}
