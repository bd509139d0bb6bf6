//! The place of an error in a document: the path of keys and indexes that leads to an offset.

use super::scan::string_end;
use crate::text::escape_at_most;
use std::fmt::Write;

/// The maximum length of a path in bytes. A longer path is truncated, since it is only printed.
pub(crate) const MAX_PATH: usize = 200;
/// The maximum length of one key in a path, in bytes. Keys come from the peer.
const KEY_BYTES: usize = 64;

/// The byte offset of a line and a column, both counted from one.
pub(crate) fn offset_of(bytes: &[u8], line: usize, column: usize) -> Option<usize> {
    let lines_before = line.checked_sub(1)?;
    let start = match lines_before {
        0 => 0,
        _ => memchr::memchr_iter(b'\n', bytes).nth(lines_before - 1)? + 1,
    };
    Some((start + column.saturating_sub(1)).min(bytes.len()))
}

/// The path of the value at `offset` of a document, such as `d.members[3].user`. Empty for the document itself.
pub(crate) fn path_at(bytes: &[u8], offset: usize) -> String {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while at <= offset && at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let Ok(end) = string_end(bytes, at) else { break };
                if let Some(Open::Map { key, wants_key: wants_key @ true }) = open.last_mut() {
                    *key = &bytes[at..end];
                    *wants_key = false;
                }
                at = end;
                continue;
            }
            b'{' if at < offset => open.push(Open::Map { key: b"", wants_key: true }),
            b'[' if at < offset => open.push(Open::List { index: 0 }),
            b'}' | b']' => drop(open.pop()),
            b',' if at < offset => match open.last_mut() {
                Some(Open::Map { wants_key, .. }) => *wants_key = true,
                Some(Open::List { index }) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for level in open {
        match level {
            Open::Map { key: b"", .. } => {}
            Open::Map { key, .. } => push_key(&mut path, &super::unescape(key).unwrap_or_default()),
            Open::List { index } => push_index(&mut path, index),
        }
    }
    path
}

pub(crate) fn push_key(path: &mut String, key: &str) {
    let key = escape_at_most(key, KEY_BYTES).to_string();
    if path.len() + key.len() > MAX_PATH {
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&key);
}

pub(crate) fn push_index(path: &mut String, index: usize) {
    if path.len() < MAX_PATH {
        // Writing to a string cannot fail.
        let _ = write!(path, "[{index}]");
    }
}

enum Open<'a> {
    Map { key: &'a [u8], wants_key: bool },
    List { index: usize },
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    struct Outer {
        #[allow(dead_code)]
        d: Vec<Inner>,
    }

    #[derive(Deserialize, Debug)]
    struct Inner {
        #[allow(dead_code)]
        id: u64,
    }

    fn place(text: &str) -> (Option<String>, Option<usize>) {
        let error = crate::json::from_slice::<Outer>(text.as_bytes()).unwrap_err();
        (error.path().map(str::to_owned), error.offset())
    }

    #[test]
    fn errors_know_their_place() {
        assert_eq!(place(r#"{"d":[{"id":1},{"id":"x"}]}"#), (Some("d[1].id".to_owned()), Some(23)));
        assert_eq!(place("{\"d\":\n [{\"id\":1},\n{\"id\":true}]}").0, Some("d[1].id".to_owned()));
        assert_eq!(place(r#"{"d":[{"id":1},{"x":[{}]}]}"#).0, Some("d[1]".to_owned()));
        assert_eq!(place(r#"{"d":7}"#).0, Some("d".to_owned()));
        assert_eq!(place(r#"[]"#).0, None);
    }
}
