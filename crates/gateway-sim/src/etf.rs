//! Erlang terms as the gateway writes and reads them
//! ([Discord Docs, Gateway > Using ETF Encoding](https://discord.com/developers/docs/events/gateway#using-etf-encoding)).
//!
//! Independent of `gateway-codec` on purpose, so that a client decodes what other code has encoded.

use serde_json::{Map, Number, Value};

/// The first byte of every document.
const VERSION: u8 = 131;
/// The deepest nesting that is read.
const DEPTH_LIMIT: usize = 64;

const NEW_FLOAT: u8 = 70;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const ATOM: u8 = 100;
const STRING: u8 = 107;
const NIL: u8 = 106;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;
const SMALL_ATOM: u8 = 115;
const MAP: u8 = 116;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;

/// Fields whose text is encoded as an atom.
const SYMBOLS: [&str; 2] = ["t", "session_type"];
/// Lists of ids.
const ID_LISTS: [&str; 4] = ["ids", "roles", "mention_roles", "guild_ids"];

/// Encodes an object as a document of Erlang's external term format, as the gateway does
/// ([Discord Docs, Gateway > Using ETF Encoding](https://discord.com/developers/docs/events/gateway#using-etf-encoding)).
///
/// - The fields keep their order; those of inner objects have the order of their [`Map`].
/// - Keys are atoms, except ids, which are binaries.
/// - The text of `id`, of `…_id` and of lists of ids is an integer if it is one that fits 64 bits.
/// - The text of `t` and `session_type` is an atom, other text is a binary.
/// - A list of up to 65 535 integers from 0 to 255 is a string, an empty list is nil, null is the atom `nil`.
pub fn encode<'a>(fields: impl ExactSizeIterator<Item = (&'a str, &'a Value)>) -> Vec<u8> {
    let mut out = vec![VERSION];
    write_map(&mut out, fields);
    out
}

fn write_map<'a>(out: &mut Vec<u8>, fields: impl ExactSizeIterator<Item = (&'a str, &'a Value)>) {
    out.push(MAP);
    write_length(out, fields.len());
    for (key, value) in fields {
        // Ids as keys would create atoms without limit.
        if key.len() > 255 || key.bytes().all(|byte| byte.is_ascii_digit()) {
            write_binary(out, key);
        } else {
            write_atom(out, key);
        }
        write_value(out, key, value);
    }
}

fn write_value(out: &mut Vec<u8>, key: &str, value: &Value) {
    match value {
        Value::Null => write_atom(out, "nil"),
        Value::Bool(true) => write_atom(out, "true"),
        Value::Bool(false) => write_atom(out, "false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) if SYMBOLS.contains(&key) && text.len() <= 255 => write_atom(out, text),
        Value::String(text) => match id(key, text) {
            Some(id) => write_unsigned(out, id),
            None => write_binary(out, text),
        },
        Value::Array(items) => write_list(out, key, items),
        Value::Object(fields) => {
            write_map(
                out,
                fields.iter().map(|(key, value)| (key.as_str(), value)).collect::<Vec<_>>().into_iter(),
            );
        }
    }
}

/// The value of a field that holds a snowflake.
fn id(key: &str, text: &str) -> Option<u64> {
    let holds_id = key == "id" || key.ends_with("_id") || ID_LISTS.contains(&key);
    text.parse().ok().filter(|_| holds_id && !text.starts_with(['0', '+']))
}

fn write_list(out: &mut Vec<u8>, key: &str, items: &[Value]) {
    if items.is_empty() {
        return out.push(NIL);
    }
    let small: Option<Vec<u8>> =
        items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect();
    if let (Some(bytes), Ok(length)) = (small, u16::try_from(items.len())) {
        out.push(STRING);
        out.extend(length.to_be_bytes());
        return out.extend(bytes);
    }
    out.push(LIST);
    write_length(out, items.len());
    for item in items {
        write_value(out, key, item);
    }
    out.push(NIL);
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(number) = number.as_u64() {
        write_unsigned(out, number);
    } else if let Some(number) = number.as_i64() {
        match i32::try_from(number) {
            Ok(number) => {
                out.push(INTEGER);
                out.extend(number.to_be_bytes());
            }
            Err(_) => write_big(out, true, number.unsigned_abs()),
        }
    } else {
        out.push(NEW_FLOAT);
        out.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
    }
}

fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        out.extend([SMALL_INTEGER, number]);
    } else if let Ok(number) = i32::try_from(number) {
        out.push(INTEGER);
        out.extend(number.to_be_bytes());
    } else {
        write_big(out, false, number);
    }
}

fn write_big(out: &mut Vec<u8>, negative: bool, magnitude: u64) {
    let bytes = magnitude.to_le_bytes();
    let length = 8 - (magnitude.leading_zeros() / 8) as usize;
    out.extend([SMALL_BIG, length as u8, u8::from(negative)]);
    out.extend(&bytes[..length]);
}

fn write_atom(out: &mut Vec<u8>, name: &str) {
    // This tag holds Latin-1 only; other names use the tag for UTF-8.
    out.push(if name.is_ascii() { ATOM } else { ATOM_UTF8 });
    out.extend((name.len() as u16).to_be_bytes());
    out.extend(name.as_bytes());
}

fn write_binary(out: &mut Vec<u8>, text: &str) {
    out.push(BINARY);
    write_length(out, text.len());
    out.extend(text.as_bytes());
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// Decodes a client's document. `None` if it is invalid, has atoms as keys, or is compressed.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let (version, rest) = bytes.split_first()?;
    let mut reader = Reader { rest };
    let value = (*version == VERSION).then(|| reader.value(0))??;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        Some(match self.byte()? {
            SMALL_INTEGER => self.byte()?.into(),
            INTEGER => i32::from_be_bytes(self.array()?).into(),
            SMALL_BIG => self.big()?,
            NEW_FLOAT => Number::from_f64(f64::from_be_bytes(self.array()?))?.into(),
            ATOM | ATOM_UTF8 => {
                let length = u16::from_be_bytes(self.array()?);
                self.atom(length.into())?
            }
            SMALL_ATOM | SMALL_ATOM_UTF8 => {
                let length = self.byte()?;
                self.atom(length.into())?
            }
            BINARY => self.text()?.into(),
            NIL => Value::Array(Vec::new()),
            STRING => {
                let length = u16::from_be_bytes(self.array()?);
                self.take(length.into())?.iter().map(|byte| Value::from(*byte)).collect()
            }
            LIST => {
                let length = self.length()?;
                let items = (0..length).map(|_| self.value(depth + 1)).collect::<Option<_>>()?;
                (self.byte()? == NIL).then_some(Value::Array(items))?
            }
            MAP => {
                let mut fields = Map::new();
                for _ in 0..self.length()? {
                    // A client must not use an atom as a key.
                    let key = (self.byte()? == BINARY).then(|| self.text())??;
                    fields.insert(key, self.value(depth + 1)?);
                }
                Value::Object(fields)
            }
            _ => return None,
        })
    }

    fn big(&mut self) -> Option<Value> {
        let (length, negative) = (self.byte()?, self.byte()? == 1);
        let mut magnitude = [0; 8];
        let digits = self.take(length.into())?;
        magnitude.get_mut(..digits.len())?.copy_from_slice(digits);
        let magnitude = u64::from_le_bytes(magnitude);
        if negative { Some(0_i64.checked_sub_unsigned(magnitude)?.into()) } else { Some(magnitude.into()) }
    }

    fn atom(&mut self, length: usize) -> Option<Value> {
        Some(match self.take(length)? {
            b"nil" | b"null" => Value::Null,
            b"true" => true.into(),
            b"false" => false.into(),
            name => String::from_utf8_lossy(name).into(),
        })
    }

    fn text(&mut self) -> Option<String> {
        let length = u32::from_be_bytes(self.array()?);
        Some(String::from_utf8_lossy(self.take(usize::try_from(length).ok()?)?).into_owned())
    }

    /// A number of elements, each of which takes at least one byte.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        (length <= self.rest.len()).then_some(length)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn written(value: &Value) -> Vec<u8> {
        encode(
            value
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.as_str(), value))
                .collect::<Vec<_>>()
                .into_iter(),
        )
    }

    #[test]
    fn hello_and_ready_as_seen_on_the_wire() {
        let hello = json!({"d": {"heartbeat_interval": 41250}, "op": 10, "s": null, "t": null});
        assert_eq!(
            written(&hello),
            hex(
                "83 74 00000004 64 0001 64 74 00000001 64 0012 6865617274626561745f696e74657276616c 62 0000a122 \
                 64 0002 6f70 610a 64 0001 73 64 0003 6e696c 64 0001 74 64 0003 6e696c"
            )
        );
        let ready = json!({"d": {"id": "81384788765712384", "shard": [0, 1]}, "op": 0, "s": 1, "t": "READY"});
        assert_eq!(
            written(&ready),
            hex("83 74 00000004 64 0001 64 74 00000002 64 0002 6964 6e 08 00 002080c008232101 \
                 64 0005 7368617264 6b 0002 0001 64 0002 6f70 6100 64 0001 73 6101 64 0001 74 64 0005 5245414459")
        );
    }

    #[test]
    fn heartbeats_of_clients() {
        let beat = decode(&hex("83 74 00000002 6d 00000002 6f70 6101 6d 00000001 64 61fb"));
        assert_eq!(beat, Some(json!({"op": 1, "d": 251})));
        let first = decode(&hex("83 74 00000002 6d 00000002 6f70 6101 6d 00000001 64 73 03 6e696c"));
        assert_eq!(first, Some(json!({"op": 1, "d": null})));
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (bytes, value) in [
            ("83 62 ffffffff", json!(-1)),
            ("83 6e 04 01 01000080", json!(-2_147_483_649_i64)),
            ("83 6e 08 00 ffffffffffffffff", json!(u64::MAX)),
            ("83 6e 00 00", json!(0)),
            ("83 46 4004000000000000", json!(2.5)),
            ("83 6a", json!([])),
            ("83 6b 0002 0001", json!([0, 1])),
            ("83 6c 00000002 6100 6101 6a", json!([0, 1])),
            ("83 6d 00000003 c3a900", json!("é\0")),
            ("83 77 05 66616c7365", json!(false)),
        ] {
            assert_eq!(decode(&hex(bytes)), Some(value), "{bytes}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bytes in [
            "",
            "83",
            "82 6a",
            "83 6a 6a",
            "83 6c 00000001 6101 6102",
            "83 74 ffffffff",
            "83 6c ffffffff",
            "83 6d ffffffff",
            "83 74 00000001 64 0002 6f70 6101",
            "83 6e 09 00 010101010101010101",
            "83 50 00000001 789c",
        ] {
            assert_eq!(decode(&hex(bytes)), None, "{bytes}");
        }
        let deep: Vec<u8> = [131].into_iter().chain([108, 0, 0, 0, 1].repeat(100_000)).collect();
        assert_eq!(decode(&deep), None);
    }

    #[test]
    fn ids_are_numbers_and_other_digits_are_text() {
        let value = json!({"guild_id": "5", "roles": ["300"], "name": "5", "resolved": {"77": {"id": "77"}}, "permissions": "8"});
        let bytes = written(&value);
        let has = |part: &str| bytes.windows(hex(part).len()).any(|window| window == hex(part));
        assert!(has("64 0008 6775696c645f6964 6105"), "guild_id");
        assert!(has("6c 00000001 62 0000012c 6a"), "roles");
        assert!(has("64 0004 6e616d65 6d 00000001 35"), "name");
        assert!(has("74 00000001 6d 00000002 3737"), "a key that is an id");
        assert!(has("6d 00000001 38"), "permissions");
    }
}
