//! The one error of reading and writing values: what went wrong, where, and never what the payload said.

use crate::json::place;
use crate::text::escape;
use std::{error, fmt};

/// Why a document could not be read or a value could not be written.
///
/// Neither `Display` nor `Debug` shows content of the payload, so the error can be logged as it is.
/// [`Error::detail`] keeps the full text of a type's own complaint for those who want it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Message,
    offset: Option<usize>,
    path: Option<String>,
    detail: Option<String>,
    source: Option<std::io::Error>,
}

enum Message {
    Fixed(&'static str),
    Built(String),
}

/// The sort of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ended too early: what there is could be the beginning of a whole document.
    Incomplete,
    /// The input is not a document of its encoding.
    Malformed,
    /// The document is well-formed, but does not fit the type that was asked for.
    Mismatch,
    /// The document is deeper, larger or longer than the limits allow.
    Limit,
    /// The value has no form in this encoding, or what it takes was not compiled in.
    Unsupported,
    /// The writer that was given refused the bytes: its error is the [`source`](error::Error::source).
    Write,
}

impl Error {
    /// What sort of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the input is a prefix of a possible document: more bytes may make it whole.
    pub fn is_incomplete(&self) -> bool {
        self.0.kind == ErrorKind::Incomplete
    }

    /// How many bytes into the input the error was found, where that is known.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// Where in the document the error was found, as in `d.members[3].user.id`, where that is known.
    ///
    /// Keys of the document are part of it, escaped and cut if they are long; values never are.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The complaint in full, as the type's own `Deserialize` or `Serialize` worded it.
    ///
    /// It may quote the payload, tokens included: think before it goes to a log.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self::from_message(kind, Message::Fixed(message))
    }

    pub(crate) fn built(kind: ErrorKind, message: String) -> Self {
        Self::from_message(kind, Message::Built(message))
    }

    fn from_message(kind: ErrorKind, message: Message) -> Self {
        Self(Box::new(Inner { kind, message, offset: None, path: None, detail: None, source: None }))
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

    pub(crate) fn write(source: std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Write, "the writer refused the bytes");
        error.0.detail = Some(source.to_string());
        error.0.source = Some(source);
        error
    }

    /// A complaint that came as text: kept whole in `detail`, shown only as far as it quotes no payload.
    pub(crate) fn complaint(kind: ErrorKind, text: String) -> Self {
        let mut error = Self::built(kind, escape(&without_content(&text)).to_string());
        error.0.detail = Some(text);
        error
    }

    /// Sets the offset unless a more exact one is known already.
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Forgets an offset that was counted in something else.
    pub(crate) fn without_offset(mut self) -> Self {
        self.0.offset = None;
        self
    }

    /// Counts the offset from the beginning of a document in which the input lies at `base`.
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

    /// Puts a key before the path, on the way out of a map.
    pub(crate) fn inside_key(self, key: &str) -> Self {
        self.inside(|path| place::push_key(path, key))
    }

    /// Puts an index before the path, on the way out of a list.
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

/// What a complaint of serde's making says, without the value that it quotes.
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
            // With nothing to be expected, only the peer can have written that word.
            if [", there are no fields", ", there are no variants"].iter().any(|end| text.ends_with(end)) {
                return shown.to_owned();
            }
            // What follows the last ", expected " was written by the program, not by the peer.
            return match text.rfind(", expected ") {
                Some(found) => format!("{shown}{}", &text[found..]),
                None => shown.to_owned(),
            };
        }
    }
    "the type refused the value".to_owned()
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

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::complaint(ErrorKind::Mismatch, message.to_string())
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::complaint(ErrorKind::Unsupported, message.to_string())
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
        assert_eq!(error.to_string(), "the type refused the value");
        assert_eq!(Error::missing_field("id").to_string(), "missing field `id`");
    }

    /// A type without fields expects nothing: what looks like its expectation is the peer's.
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
    fn place_is_shown() {
        let error = Error::incomplete(7).with_path("d.members[3]".to_owned());
        assert_eq!(error.to_string(), "the input ended too early, in d.members[3], at byte 7");
        assert!(error.is_incomplete());
        assert_eq!(error.shifted(10).offset(), Some(17));
    }
}
