//! Payloads whose `d` imitates the structure around it: a generator for property tests and for the fuzzer.
//!
//! Bytes decide each choice, so that a fuzzer can steer it and a failing case can be reproduced.

use gateway_codec::{Encoding, Envelope};

/// A payload and its fields.
pub(crate) struct Case {
    pub(crate) encoding: Encoding,
    /// The payload, without the bytes after it.
    pub(crate) payload: Vec<u8>,
    /// The bytes after it, in ETF only.
    pub(crate) trailing: Vec<u8>,
    pub(crate) op: u64,
    /// `None` for a spelling on which both readers only have to agree.
    pub(crate) s: Option<Option<u64>>,
    pub(crate) t: Option<Option<String>>,
    pub(crate) data: Option<Vec<u8>>,
}

/// Checks a payload that imitates itself, whole and cut at each of these lengths.
pub(crate) fn check(case: &Case, cuts: impl IntoIterator<Item = usize>) {
    let bytes = [&case.payload[..], &case.trailing].concat();
    let parsed = Envelope::parse(&bytes, case.encoding).expect("the payload is valid");
    assert_eq!(parsed.op, case.op);
    if let Some(s) = case.s {
        assert_eq!(parsed.s, s);
    }
    if let Some(t) = &case.t {
        assert_eq!(parsed.t.as_deref(), t.as_deref());
    }
    assert_eq!(case.data.as_deref().unwrap_or(parsed.d.as_bytes()), parsed.d.as_bytes());
    assert_eq!(parsed.trailing, case.trailing.len());
    check_bytes(&bytes, case.encoding);
    for length in cuts {
        check_beginning(&case.payload[..length % case.payload.len()], case);
    }
}

/// Checks the beginning of a payload.
fn check_beginning(part: &[u8], case: &Case) {
    assert!(Envelope::parse(part, case.encoding).unwrap_err().is_incomplete());
    assert!(!Envelope::is_whole(part, case.encoding));
    if let Ok(skimmed) = Envelope::skim(part, case.encoding) {
        assert_eq!((case.encoding, skimmed.op), (Encoding::Json, case.op));
        assert!(skimmed.d.value().is_err());
    }
}

/// Checks any bytes.
pub(crate) fn check_bytes(bytes: &[u8], encoding: Encoding) {
    let (parsed, skimmed) = (Envelope::parse(bytes, encoding), Envelope::skim(bytes, encoding));
    match (&parsed, &skimmed) {
        (Ok(parsed), Ok(skimmed)) => {
            assert_eq!(parsed, skimmed);
            assert_eq!(parsed.d.range_in(bytes), skimmed.d.range_in(bytes));
            assert_eq!(parsed.d.value().ok(), skimmed.d.value().ok());
        }
        (Ok(_), Err(error)) => panic!("skim rejects what parse accepts: {error}"),
        // `skim` has not read `d`, whose use fails, or not the bytes after the payload.
        (Err(_), Ok(skimmed)) => {
            assert_eq!(encoding, Encoding::Json);
            if skimmed.d.value().is_ok() {
                let ends = (0..bytes.len()).filter(|end| bytes[*end] == b'}');
                let mut payloads = ends.map(|end| Envelope::parse(&bytes[..=end], encoding));
                assert_eq!(&payloads.find_map(Result::ok).expect("it begins with a payload"), skimmed);
            }
        }
        (Err(parsed), Err(skimmed)) => assert_eq!(parsed.to_string(), skimmed.to_string()),
    }
    let is_incomplete = parsed.as_ref().is_err_and(gateway_codec::Error::is_incomplete);
    assert_eq!(Envelope::is_whole(bytes, encoding), !is_incomplete);
}

/// The source of all choices. At its end, every choice is the first.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn number(&mut self) -> u64 {
        match self.below(5) {
            0 => self.byte().into(),
            1 => u64::from(self.byte()) << 8,
            2 => (1 << 31) + u64::from(self.byte()),
            3 => u64::from_be_bytes(*b"w\x02opa\x09w\x01"),
            _ => u64::from(u32::from_be_bytes(*b"w\x02op")),
        }
    }

    /// All items in some order.
    fn shuffled<T>(&mut self, mut things: Vec<T>) -> Vec<T> {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
        things
    }
}

/// The payload that the script chooses.
pub(crate) fn case(script: &mut Script<'_>) -> Case {
    match script.below(2) {
        0 => etf::case(script),
        _ => json::case(script),
    }
}

/// Names of events, and of atoms and texts that occur in payloads.
const NAMES: [&str; 6] = [
    "MESSAGE_CREATE",
    "A",
    "READY",
    "NOT_KNOWN_YET",
    "w\u{1}tw\u{1}A",
    "w\u{2}opa\u{9}w\u{1}sa\u{1}w\u{1}tw\u{0}",
];

mod etf {
    use super::{Case, NAMES, Script};
    use gateway_codec::Encoding;

    pub(super) fn case(script: &mut Script<'_>) -> Case {
        let op = script.pick(&[0, 0, 0, 1, 9, 11, 255]);
        let s = script.number();
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut case = Case {
            encoding: Encoding::Etf,
            payload: Vec::new(),
            trailing: script.pick(&[&b""[..], b"", b"", b"\x83t", b"w\x02opa\x09"]).to_vec(),
            op,
            s: Some(None),
            t: Some(None),
            data: None,
        };
        let data = term(script, 3);
        entries.push((key(script, "d"), data.clone()));
        case.data = Some(data);
        entries.push((key(script, "op"), integer(script, op)));
        if script.below(8) > 0 {
            let (value, means) = match script.below(6) {
                0 => (atom(script, "nil"), Some(None)),
                1 => ([&[70][..], &(s as f64).to_be_bytes()].concat(), None),
                2 => (vec![106], Some(None)),
                _ => (integer(script, s), Some(Some(s))),
            };
            entries.push((key(script, "s"), value));
            case.s = means;
        }
        if script.below(8) > 0 {
            let name = script.pick(&NAMES);
            let (value, means) = match script.below(6) {
                0 => (atom(script, "nil"), Some(None)),
                1 => (binary(name.as_bytes()), Some(Some(name.to_owned()))),
                2 => (vec![97, 7], Some(None)),
                _ => (atom(script, name), Some(Some(name.to_owned()))),
            };
            entries.push((key(script, "t"), value));
            case.t = means;
        }
        let mut entries = match script.below(3) {
            // In the order of Erlang.
            0 => entries,
            _ => script.shuffled(entries),
        };
        for _ in 0..script.below(3) {
            let extra = (key(script, script_name(script.0.len())), term(script, 2));
            let at = script.below(entries.len() + 1);
            entries.insert(at, extra);
        }
        // The first of duplicates counts.
        if script.below(6) == 0 {
            let name = script.pick(&["d", "op", "s", "t"]);
            let is_there = match name {
                "s" => case.s != Some(None) || case.s.is_none(),
                "t" => case.t != Some(None),
                _ => true,
            };
            if is_there {
                let again = (key(script, name), term(script, 2));
                entries.push(again);
            }
        }
        case.payload = [&[131, 116][..], &(entries.len() as u32).to_be_bytes()].concat();
        for (key, value) in entries {
            case.payload.extend(key);
            case.payload.extend(value);
        }
        case
    }

    /// A key that an envelope does not have.
    fn script_name(seed: usize) -> &'static str {
        ["x", "_trace", "ops", ""][seed % 4]
    }

    fn key(script: &mut Script<'_>, name: &str) -> Vec<u8> {
        match script.below(4) {
            0 => binary(name.as_bytes()),
            _ => atom(script, name),
        }
    }

    fn atom(script: &mut Script<'_>, name: &str) -> Vec<u8> {
        let (tag, long) = script.pick(&[(119, false), (115, false), (100, true), (118, true)]);
        let length = u8::try_from(name.len()).unwrap();
        let length = if long { vec![0, length] } else { vec![length] };
        [&[tag][..], &length, name.as_bytes()].concat()
    }

    fn binary(text: &[u8]) -> Vec<u8> {
        [&[109][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
    }

    fn integer(script: &mut Script<'_>, number: u64) -> Vec<u8> {
        let big = |length: usize| {
            let digits = number.to_le_bytes();
            [&[110, length as u8, 0][..], &digits[..length]].concat()
        };
        match script.below(4) {
            0 | 1 if number < 256 => vec![97, number as u8],
            0..=2 if number < 1 << 31 => [&[98][..], &(number as u32).to_be_bytes()].concat(),
            _ => big(8),
        }
    }

    /// Bytes that a reader from the end, or one at a wrong offset, takes for structure.
    fn imitation(script: &mut Script<'_>) -> Vec<u8> {
        let mut bytes = match script.below(4) {
            0 => b"\x83t\0\0\0\x04w\x01dj".to_vec(),
            1 => b"hello".to_vec(),
            _ => Vec::new(),
        };
        let keys = match script.below(3) {
            0 => vec!["op", "s", "t"],
            1 => script.shuffled(vec!["op", "s", "t"]),
            _ => vec!["d", "op", "s", "t"],
        };
        for name in keys {
            bytes.extend(key(script, name));
            bytes.extend(match name {
                "op" => vec![97, script.pick(&[9, 7, 0, 10])],
                "s" => {
                    let number = script.number();
                    integer(script, number)
                }
                "d" => vec![106],
                _ => {
                    let name = script.pick(&NAMES);
                    atom(script, name)
                }
            });
        }
        // The length of its last term includes the bytes after the text.
        match script.below(4) {
            0 => bytes.extend([119, 1, b't', 119, script.byte()]),
            1 => bytes.extend([119, 1, b't', 109, 0, 0, 0, script.byte()]),
            2 => bytes.extend([119, 1, b's', 110, script.byte(), 0]),
            _ => {}
        }
        bytes
    }

    fn term(script: &mut Script<'_>, depth: usize) -> Vec<u8> {
        let kind = script.below(if depth == 0 { 6 } else { 10 });
        let parts = |script: &mut Script<'_>| {
            let count = script.below(4);
            (0..count).map(|_| term(script, depth - 1)).collect::<Vec<_>>()
        };
        match kind {
            0 => vec![106],
            1 => binary(&imitation(script)),
            2 => {
                // At most 255 bytes, and ASCII.
                let text: String =
                    imitation(script).into_iter().filter(u8::is_ascii).map(char::from).collect();
                atom(script, &text[..text.len().min(255)])
            }
            3 => {
                let number = script.number();
                integer(script, number)
            }
            4 => {
                let bytes = imitation(script);
                [&[107][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes].concat()
            }
            5 => [&[110, 8, 0][..], b"w\x02opa\x09w\x01"].concat(),
            6 => {
                let parts = parts(script);
                let head = [&[108][..], &(parts.len() as u32).to_be_bytes()].concat();
                [head, parts.concat(), vec![106]].concat()
            }
            7 => {
                let parts = parts(script);
                [vec![104, parts.len() as u8], parts.concat()].concat()
            }
            _ => {
                let values = parts(script);
                let mut bytes = [&[116][..], &(values.len() as u32).to_be_bytes()].concat();
                for value in values {
                    let name = script.pick(&["op", "s", "t", "d", "content"]);
                    bytes.extend(key(script, name));
                    bytes.extend(value);
                }
                bytes
            }
        }
    }
}

mod json {
    use super::{Case, NAMES, Script};
    use gateway_codec::Encoding;

    pub(super) fn case(script: &mut Script<'_>) -> Case {
        let blank = script.pick(&["", "", "", " ", "\n\t"]);
        let op = script.pick(&[0, 0, 0, 1, 9, 11, 255]);
        let mut case = Case {
            encoding: Encoding::Json,
            payload: Vec::new(),
            trailing: Vec::new(),
            op,
            s: Some(None),
            t: Some(None),
            data: None,
        };
        let mut entries = Vec::new();
        if script.below(8) > 0 {
            let name = script.pick(&NAMES);
            let (value, means) = match script.below(4) {
                0 => ("null".to_owned(), None),
                _ => (string(script, name), Some(name.to_owned())),
            };
            entries.push((key(script, "t"), value));
            case.t = Some(means);
        }
        if script.below(8) > 0 {
            let number = script.number();
            let (value, means) = match script.below(5) {
                0 => ("null".to_owned(), Some(None)),
                1 => (format!("{number}.0"), None),
                2 => (format!("\"{number}\""), Some(None)),
                _ => (number.to_string(), Some(Some(number))),
            };
            entries.push((key(script, "s"), value));
            case.s = means;
        }
        entries.push((key(script, "op"), op.to_string()));
        let data = value(script, 3, blank);
        entries.push((key(script, "d"), data.clone()));
        case.data = Some(data.into_bytes());
        let mut entries = match script.below(3) {
            // In the order of the gateway.
            0 | 1 => entries,
            _ => script.shuffled(entries),
        };
        for _ in 0..script.below(3) {
            let name = script.pick(&["x", "_trace", "ops", ""]);
            let extra = (key(script, name), value(script, 2, blank));
            entries.push(extra);
        }
        if script.below(6) == 0 {
            // The first of duplicates counts.
            let again = (key(script, "op"), script.pick(&["9", "null", "{}"]).to_owned());
            entries.push(again);
        }
        let entries: Vec<_> =
            entries.into_iter().map(|(key, value)| format!("{key}{blank}:{blank}{value}")).collect();
        case.payload =
            format!("{{{blank}{}{blank}}}", entries.join(&format!("{blank},{blank}"))).into_bytes();
        case
    }

    fn key(script: &mut Script<'_>, name: &str) -> String {
        match script.below(8) {
            0 => {
                name.chars()
                    .map(|char| format!("\\u{:04x}", char as u32))
                    .fold("\"".to_owned(), |a, b| a + &b)
                    + "\""
            }
            _ => format!("\"{name}\""),
        }
    }

    fn string(script: &mut Script<'_>, text: &str) -> String {
        match script.below(6) {
            0 => key(&mut Script(&[0]), text),
            _ => serde_json::to_string(text).unwrap(),
        }
    }

    /// Text that ends a string, an object or a payload if its quotes and backslashes are misread.
    fn imitation(script: &mut Script<'_>) -> String {
        let parts = [
            "}",
            "}}",
            "}}}",
            "{",
            "[",
            "]",
            "\"",
            "\\",
            "\\\"",
            ",",
            ":",
            "hello",
            "\u{e9}\u{1f600}",
            r#"{"t":"READY","s":1,"op":9,"d":{}}"#,
            r#","op":9,"s":1,"t":"X","d":{}"#,
            r#""}},"op":9,"x":{"y":""#,
            r#"}{"t":null,"s":null,"op":7,"d":null}"#,
        ];
        (0..script.below(6)).map(|_| script.pick(&parts)).collect()
    }

    fn value(script: &mut Script<'_>, depth: usize, blank: &str) -> String {
        let count = script.below(4);
        match script.below(if depth == 0 { 5 } else { 9 }) {
            0 => "null".to_owned(),
            1 => script.number().to_string(),
            2 => script.pick(&["true", "false", "-1.5e3", "0"]).to_owned(),
            3 | 4 => {
                let text = imitation(script);
                string(script, &text)
            }
            5 => {
                let parts: Vec<_> = (0..count).map(|_| value(script, depth - 1, blank)).collect();
                format!("[{blank}{}{blank}]", parts.join(","))
            }
            _ => {
                let mut parts = Vec::new();
                for _ in 0..count {
                    let name = match script.below(3) {
                        0 => {
                            let text = imitation(script);
                            string(script, &text)
                        }
                        _ => {
                            let name = script.pick(&["op", "s", "t", "d", "content"]);
                            key(script, name)
                        }
                    };
                    parts.push(format!("{name}:{blank}{}", value(script, depth - 1, blank)));
                }
                format!("{{{}}}", parts.join(","))
            }
        }
    }
}
