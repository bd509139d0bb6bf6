//! Writes JSON with keys in Discord's order.
//!
//! The gateway writes the keys of objects in reverse alphabetical order, and some events have `guild_id` after all other
//! keys. A [`Map`] of `serde_json` is in alphabetical order, so it is iterated from its end.

use serde_json::{Map, Value};

/// Writes a value without white space, with the keys of objects in reverse alphabetical order.
pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            let mut first = true;
            for (key, value) in fields.iter().rev() {
                write_field(out, &mut first, key, value);
            }
            out.push(b'}');
        }
        Value::String(text) => write_text(out, text),
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

/// Writes an object as [`write()`] does, with the key `last` at the end.
pub(super) fn write_with_last(out: &mut Vec<u8>, fields: &Map<String, Value>, last: &str) {
    out.push(b'{');
    let mut first = true;
    for (key, value) in fields.iter().rev().filter(|(key, _)| *key != last) {
        write_field(out, &mut first, key, value);
    }
    if let Some(value) = fields.get(last) {
        write_field(out, &mut first, last, value);
    }
    out.push(b'}');
}

fn write_field(out: &mut Vec<u8>, first: &mut bool, key: &str, value: &Value) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    write_text(out, key);
    out.push(b':');
    write(out, value);
}

/// Writes text in quotes. Escapes only what must be escaped: the gateway sends UTF-8.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_come_backwards() {
        let value = json!({"a": 1, "c": [true, false, null, {}, []], "b": {"y": -2.5, "z": "é"}});
        let mut out = Vec::new();
        write(&mut out, &value);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"c":[true,false,null,{},[]],"b":{"z":"é","y":-2.5},"a":1}"#
        );
    }

    #[test]
    fn one_key_may_come_last() {
        let value = json!({"id": "1", "guild_id": "2", "author": {"guild_id": "3", "a": 0}});
        let mut out = Vec::new();
        write_with_last(&mut out, value.as_object().unwrap(), "guild_id");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"id":"1","author":{"guild_id":"3","a":0},"guild_id":"2"}"#
        );
    }

    #[test]
    fn text_is_read_as_what_was_written() {
        let text: String = (0..0x300).filter_map(char::from_u32).chain("🔥日本".chars()).collect();
        let mut out = Vec::new();
        write_text(&mut out, &text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        assert_eq!(
            serde_json::to_vec(&text).unwrap().len(),
            out.len() - 2 * 4,
            "\\b and \\f have a shorter form"
        );
    }
}
