//! Escapes text of a peer for a log: one line of bounded length without control sequences.

use std::fmt::{self, Write};

/// The maximum number of bytes that [`escape`] prints.
pub const SHOWN_BYTES: usize = 300;

/// Prints a text escaped: see [`escape`].
#[derive(Clone, Copy)]
pub struct Escaped<'a> {
    text: &'a str,
    limit: usize,
}

/// Prints a text with every invisible character escaped: control characters, and so terminal escape sequences and line ends,
/// characters that change the direction of writing, and blanks other than the space.
///
/// A text longer than [`SHOWN_BYTES`], escapes included, is truncated and ends in `…`. Quotes and backslashes stay as they are,
/// so escaping a text twice changes nothing.
///
/// ```
/// use gateway_codec::text::escape;
///
/// assert_eq!(escape("bye\r\n\u{1b}[31mred\u{202e}").to_string(), r"bye\r\n\u{1b}[31mred\u{202e}");
/// ```
pub fn escape(text: &str) -> Escaped<'_> {
    escape_at_most(text, SHOWN_BYTES)
}

/// As [`escape`], with another maximum, in bytes.
pub fn escape_at_most(text: &str, limit: usize) -> Escaped<'_> {
    Escaped { text, limit }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.limit;
        for character in self.text.chars() {
            let escaped = match character {
                '\'' | '"' | '\\' => None,
                _ => Some(character.escape_debug()).filter(|escaped| escaped.len() > 1),
            };
            let length = escaped.as_ref().map_or(character.len_utf8(), ExactSizeIterator::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return f.write_char('…'),
            }
            match escaped {
                Some(escaped) => write!(f, "{escaped}")?,
                None => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Prints the text in quotes.
impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_visible_is_escaped() {
        let unseen = ('\0'..='\u{1f}')
            .chain('\u{7f}'..='\u{a0}')
            .chain(['\u{ad}', '\u{61c}', '\u{200b}', '\u{feff}', '\u{e0001}'])
            .chain('\u{200e}'..='\u{200f}')
            .chain('\u{2028}'..='\u{202f}')
            .chain('\u{2066}'..='\u{2069}');
        for character in unseen {
            let shown = escape(&character.to_string()).to_string();
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown}");
        }
        let plain = "It's \"fine\": C:\\dir, é, 語, 🦀";
        assert_eq!(escape(plain).to_string(), plain);
    }

    #[test]
    fn escaping_twice_is_escaping_once() {
        let once = escape("a\n\\n\u{202e}\"b\"").to_string();
        assert_eq!(escape(&once).to_string(), once);
    }

    #[test]
    fn the_length_is_bounded_escapes_included() {
        for text in ["x".repeat(10_000), "\u{1b}".repeat(10_000), "語".repeat(10_000)] {
            let shown = escape(&text).to_string();
            assert!(shown.len() <= SHOWN_BYTES + '…'.len_utf8() && shown.ends_with('…'), "{shown}");
        }
        assert_eq!(escape_at_most("exact", 5).to_string(), "exact");
        assert_eq!(escape_at_most("longer", 5).to_string(), "longe…");
        assert_eq!(escape_at_most("four\n", 5).to_string(), "four…", "no half of an escape");
        assert_eq!(format!("{:?}", escape("a\nb")), r#""a\nb""#);
    }
}
