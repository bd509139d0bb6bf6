//! The top level of a gateway payload, read without building anything.

use crate::etf::Term;
use crate::json::{self, scan};
use crate::{Encoding, Error, ErrorKind, RawRef, etf, known_event_name};
use std::borrow::Cow;
use std::fmt;

/// The four fields of a gateway payload, borrowed from it.
///
/// Keys may come in any order. What looks like one of them inside `d` never counts; of duplicates the last does.
/// See Discord Docs, Gateway Events > Payload Structure.
///
/// ```
/// use gateway_codec::{Encoding, Envelope};
///
/// let payload = br#"{"t":"TYPING_START","s":3,"op":0,"d":{"user_id":"7"}}"#;
/// let envelope = Envelope::parse(payload, Encoding::Json)?;
/// assert_eq!((envelope.op, envelope.s, envelope.t.as_deref()), (0, Some(3), Some("TYPING_START")));
/// assert_eq!(envelope.d.as_bytes(), br#"{"user_id":"7"}"#);
/// # Ok::<(), gateway_codec::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The opcode.
    pub op: u64,
    /// The sequence number: none if it is null, missing, or not a non-negative integer.
    pub s: Option<u64>,
    /// The event's name: none if it is null, missing, or not text.
    pub t: Option<Cow<'a, str>>,
    /// The data as it stands; a null if it is missing.
    pub d: RawRef<'a>,
    /// How many bytes follow the payload. ETF has them ignored, as Discord's own decoder does; in JSON there are none.
    pub trailing: usize,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of one whole payload.
    ///
    /// The structure of `d` is checked as far as to know where it ends; decoding it checks the rest.
    ///
    /// # Errors
    ///
    /// [`Error::is_incomplete`] if `bytes` are the beginning of a payload; [`ErrorKind::Malformed`] if they are no
    /// object, or in JSON have bytes after it ([`Envelope::trailing`] tells of them in ETF); [`ErrorKind::Mismatch`] if `op` is missing or not an integer;
    /// [`ErrorKind::Limit`] if `d` is nested too deeply.
    pub fn parse(bytes: &'a [u8], encoding: Encoding) -> Result<Self, Error> {
        if encoding == Encoding::Json
            && let Some(envelope) = Self::parse_usual_order(bytes)?
        {
            return Ok(envelope);
        }
        Self::parse_any_order(bytes, encoding)
    }

    /// Reads the envelope of one whole payload, and looks at no byte inside `d` where it can do without.
    ///
    /// It can in what the gateway wrote: in JSON `t`, `s`, `op`, `d` in this order, without blanks, and nothing behind `d`; in
    /// ETF `d`, `op`, `s`, `t` and nothing behind. What is wrong inside `d` then shows when it is used. Anything else is read
    /// as by [`Envelope::parse`].
    ///
    /// ```
    /// use gateway_codec::{Encoding, Envelope};
    ///
    /// let broken = br#"{"t":"TYPING_START","s":3,"op":0,"d":{"user_id":7]}}"#;
    /// assert!(Envelope::parse(broken, Encoding::Json).is_err());
    /// let envelope = Envelope::skim(broken, Encoding::Json)?;
    /// assert_eq!(envelope.s, Some(3));
    /// assert!(envelope.d.value().is_err());
    /// # Ok::<(), gateway_codec::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Envelope::parse`].
    #[inline]
    pub fn skim(bytes: &'a [u8], encoding: Encoding) -> Result<Self, Error> {
        match encoding {
            Encoding::Json => {
                if let Some((head, d_start)) = UsualHead::read(bytes)
                    && let Some(d) = bytes[d_start..].strip_suffix(b"}")
                    && looks_like_a_value(d)
                {
                    return Ok(head.envelope(d));
                }
            }
            Encoding::Etf => {
                if let Some(envelope) = Self::skim_etf(bytes) {
                    return Ok(envelope);
                }
            }
        }
        Self::parse(bytes, encoding)
    }

    /// `d`, `op`, `s`, `t`, as Erlang orders them, and nothing behind; `None` for anything else.
    fn skim_etf(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = etf::Reader::new(bytes).ok()?;
        if reader.term().ok()? != Term::Map(4) || !etf::find::is_key(&mut reader, "d").ok()? {
            return None;
        }
        let d_start = reader.offset();
        let (tail, d_end) = UsualTail::find(&reader)?;
        let d = RawRef::new(&bytes[d_start..d_end], Encoding::Etf);
        Some(Self { op: tail.op, s: tail.s, t: tail.t, d, trailing: 0 })
    }

    /// Whether `bytes` are a whole payload rather than the beginning of one. One that is wrong is whole too: more bytes
    /// will not mend it.
    ///
    /// This is what [`Inflater::push`](crate::Inflater::push) asks at the end of each frame of a zlib stream. Unless
    /// `carefully`, some payloads are taken for whole without a look at their structure: in JSON those that end in a brace and
    /// have as many that close as that open, in ETF those that end in `op`, `s` and `t`. Only a server that flushes in the
    /// middle of a payload can show the difference, and only where a text before that holds braces too many, or ends as a
    /// payload does.
    pub fn is_whole(bytes: &[u8], encoding: Encoding, carefully: bool) -> bool {
        let looks_whole = || match encoding {
            Encoding::Json => bytes.ends_with(b"}") && scan::braces_left_open(bytes) == 0,
            Encoding::Etf => Envelope::skim_etf(bytes).is_some(),
        };
        if !carefully && looks_whole() {
            return true;
        }
        match Envelope::parse(bytes, encoding) {
            Ok(_) => true,
            Err(error) => !error.is_incomplete(),
        }
    }

    /// `t`, `s`, `op`, `d` without blanks, as the gateway writes JSON; `None` for anything else.
    fn parse_usual_order(bytes: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some((head, d_start)) = UsualHead::read(bytes) else { return Ok(None) };
        let d_end = match bytes.get(d_start) {
            Some(b'{' | b'[' | b'"' | b'n' | b't' | b'f' | b'-' | b'0'..=b'9') => {
                scan::value_end(bytes, d_start, crate::Limits::MAX_DEPTH - 1)?
            }
            _ => return Ok(None),
        };
        if &bytes[d_end..] != b"}" {
            return Ok(None);
        }
        Ok(Some(head.envelope(&bytes[d_start..d_end])))
    }

    fn parse_any_order(bytes: &'a [u8], encoding: Encoding) -> Result<Self, Error> {
        match encoding {
            Encoding::Json => Self::from_entries(json::walk(bytes), encoding),
            Encoding::Etf => {
                let mut entries = etf::walk(bytes);
                let envelope = Self::from_entries(&mut entries, encoding)?;
                Ok(Self { trailing: entries.rest().len(), ..envelope })
            }
        }
    }

    fn from_entries(
        entries: impl Iterator<Item = Result<(Cow<'a, str>, RawRef<'a>), Error>>,
        encoding: Encoding,
    ) -> Result<Self, Error> {
        let (mut op, mut s, mut t, mut d) = (None, None, None, None);
        for entry in entries {
            let (key, value) = entry?;
            match &*key {
                "op" => op = Some(value),
                "s" => s = value.as_u64(),
                "t" => t = value.as_str(),
                "d" => d = Some(value),
                _ => {}
            }
        }
        let op = op.ok_or_else(|| Error::new(ErrorKind::Mismatch, "the payload has no op"))?;
        let op = op
            .as_u64()
            .ok_or_else(|| Error::new(ErrorKind::Mismatch, "op is not an integer").inside_key("op"))?;
        Ok(Self { op, s, t, d: d.unwrap_or_else(|| RawRef::null(encoding)), trailing: 0 })
    }
}

/// What stands before `d` in the usual order.
struct UsualHead<'a> {
    t: Option<&'a str>,
    s: Option<u64>,
    op: u64,
}

impl<'a> UsualHead<'a> {
    #[inline]
    fn envelope(self, d: &'a [u8]) -> Envelope<'a> {
        let d = RawRef::new(d, Encoding::Json);
        Envelope { op: self.op, s: self.s, t: self.t.map(Cow::Borrowed), d, trailing: 0 }
    }

    #[inline]
    fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(br#"{"t":"#)?;
        let (t, rest) = match rest.strip_prefix(b"null") {
            Some(rest) => (None, rest),
            None => {
                let rest = rest.strip_prefix(b"\"")?;
                // With a backslash there is more to it.
                let (name, rest) = rest.split_at(scan::quote_or_backslash(rest)?);
                let name = match known_event_name(name) {
                    Some(known) => known,
                    None => std::str::from_utf8(name).ok()?,
                };
                (Some(name), rest.strip_prefix(b"\"")?)
            }
        };
        let rest = rest.strip_prefix(br#","s":"#)?;
        let (s, rest) = match rest.strip_prefix(b"null") {
            Some(rest) => (None, rest),
            None => digits(rest).map(|(number, rest)| (Some(number), rest))?,
        };
        let rest = rest.strip_prefix(br#","op":"#)?;
        let (op, rest) = digits(rest)?;
        let rest = rest.strip_prefix(br#","d":"#)?;
        Some((Self { t, s, op }, bytes.len() - rest.len()))
    }
}

/// What stands behind `d` in the usual order of ETF.
struct UsualTail<'a> {
    op: u64,
    s: Option<u64>,
    t: Option<Cow<'a, str>>,
}

impl<'a> UsualTail<'a> {
    /// Longer than any: three keys, an opcode, a sequence number and the name of an event.
    const LONGEST: usize = 128;

    /// Finds the tail that ends the input, and where it starts: behind the `d` that `reader` stands before.
    ///
    /// From the end, so that nothing inside `d` is taken for it.
    fn find(reader: &etf::Reader<'a>) -> Option<(Self, usize)> {
        let rest = reader.rest();
        let searched = &rest[rest.len().saturating_sub(Self::LONGEST)..];
        for (index, _) in searched.windows(2).enumerate().rev().filter(|(_, text)| text == b"op") {
            let text_start = rest.len() - searched.len() + index;
            // A tag and a length stand before it.
            for head in [1 + 1, 1 + 2, 1 + 4] {
                let Some(start @ 1..) = text_start.checked_sub(head) else { continue };
                let length_bytes = match rest[start] {
                    etf::tag::SMALL_ATOM | etf::tag::SMALL_ATOM_UTF8 => 1,
                    etf::tag::ATOM | etf::tag::ATOM_UTF8 => 2,
                    etf::tag::BINARY => 4,
                    _ => continue,
                };
                let start = reader.offset() + start;
                if 1 + length_bytes == head
                    && let Some(tail) = Self::read(reader.at(start))
                {
                    return Some((tail, start));
                }
            }
        }
        None
    }

    fn read(mut reader: etf::Reader<'a>) -> Option<Self> {
        let term = |reader: &mut etf::Reader<'a>, key| {
            if etf::find::is_key(reader, key).ok()? { reader.term().ok() } else { None }
        };
        let Term::Integer(op) = term(&mut reader, "op")? else { return None };
        let s = match term(&mut reader, "s")? {
            Term::Integer(number) => number.to_u64(),
            Term::Null => None,
            _ => return None,
        };
        let t = match term(&mut reader, "t")? {
            Term::Atom(text) => Some(text),
            Term::Null => None,
            _ => return None,
        };
        reader.rest().is_empty().then_some(Self { op: op.to_u64()?, s, t })
    }
}

/// Whether the first and the last byte are those of one value.
#[inline]
fn looks_like_a_value(bytes: &[u8]) -> bool {
    match (bytes.first(), bytes.last()) {
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => bytes.len() > 1,
        (Some(b'n' | b't' | b'f'), _) => matches!(bytes, b"null" | b"true" | b"false"),
        _ => false,
    }
}

/// A number without sign, fraction, exponent or leading zeros, of at most 18 digits.
#[inline]
fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut length) = (0, 0);
    while let Some(digit @ b'0'..=b'9') = bytes.get(length)
        && length < 18
    {
        number = number * 10 + u64::from(digit - b'0');
        length += 1;
    }
    match bytes.get(length) {
        None | Some(b'0'..=b'9') => None,
        Some(_) if length == 0 || (length > 1 && bytes[0] == b'0') => None,
        Some(_) => Some((number, &bytes[length..])),
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Envelope")
            .field("op", &self.op)
            .field("s", &self.s)
            .field("t", &self.t)
            .field("d", &self.d)
            .field("trailing", &self.trailing)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Envelope<'_>, Error> {
        Envelope::parse(text.as_bytes(), Encoding::Json)
    }

    #[test]
    fn usual_order_agrees_with_any_order() {
        for text in [
            r#"{"t":null,"s":null,"op":11,"d":null}"#,
            r#"{"t":"READY","s":1,"op":0,"d":{"op":5,"s":7,"t":"X","d":[]}}"#,
            r#"{"t":"A_1","s":999999999999999999,"op":0,"d":"}\"{"}"#,
            r#"{"t":"","s":0,"op":0,"d":-1.5e3}"#,
        ] {
            let fast = Envelope::parse_usual_order(text.as_bytes()).unwrap().expect(text);
            assert_eq!(fast, Envelope::parse_any_order(text.as_bytes(), Encoding::Json).unwrap());
        }
    }

    #[test]
    fn any_order_blanks_escapes_decoys_and_duplicates() {
        let expected = parse(r#"{"t":"READY","s":7,"op":0,"d":{"op":1}}"#).unwrap();
        for text in [
            r#"{"d":{"op":1},"op":0,"s":7,"t":"READY"}"#,
            " {\t\"op\" : 0,\n\"d\":{\"op\":1}\r, \"t\":\"READY\",\"s\":7}\n",
            r#"{"\u006fp":0,"\u0064":{"op":1},"t":"\u0052EADY","s":7}"#,
            r#"{"t":"OTHER","s":1,"op":9,"d":[],"d":{"op":1},"op":0,"s":7,"t":"READY"}"#,
            r#"{"t":"READY","s":7,"op":0,"d":{"op":1},"x":{"d":null,"op":3}}"#,
        ] {
            let envelope = parse(text).expect(text);
            assert_eq!(
                (envelope.op, envelope.s, &envelope.t),
                (expected.op, expected.s, &expected.t),
                "{text}"
            );
            assert_eq!(envelope.d.as_bytes(), br#"{"op":1}"#, "{text}");
        }
    }

    #[test]
    fn skimming_agrees_with_parsing() {
        for text in [
            r#"{"t":null,"s":null,"op":11,"d":null}"#,
            r#"{"t":"READY","s":1,"op":0,"d":{"op":5,"s":7,"t":"X","d":[]}}"#,
            r#"{"t":"A_1","s":999999999999999999,"op":0,"d":"}\"{"}"#,
            r#"{"t":"A","s":1,"op":0,"d":[{}]}"#,
            r#"{"t":"A","s":1,"op":0,"d":-1.5e3}"#,
            r#"{"t":"A","s":1,"op":0,"d":{},"x":1}"#,
            r#"{"t":"A","s":1,"op":0,"d":[],"d":{"op":1}}"#,
            r#"{"t":"OTHER","s":1,"op":9,"d":[],"d":{"op":1},"op":0,"s":7,"t":"READY"}"#,
            r#"{"d":{"op":1},"op":0,"s":7,"t":"READY"}"#,
            r#"{"t":"A","s":1,"op":0,"d":{}} "#,
        ] {
            assert_eq!(
                Envelope::skim(text.as_bytes(), Encoding::Json).unwrap(),
                parse(text).unwrap(),
                "{text}"
            );
        }
        for text in [r#"{"t":"A","s":1,"op":0,"d":{"#, r#"{"t":"A","s":1,"op":0,"d":}"#, "", "{}"] {
            let skimmed = Envelope::skim(text.as_bytes(), Encoding::Json).unwrap_err();
            assert_eq!(skimmed.to_string(), parse(text).unwrap_err().to_string(), "{text}");
        }
    }

    #[test]
    fn skimming_etf_agrees_with_parsing() {
        let usual = serde_json::json!({"d": {"op": 1, "a": [1, 2]}, "op": 0, "s": 7, "t": "READY"});
        let cases = [
            usual.clone(),
            serde_json::json!({"d": null, "op": 11, "s": null, "t": null}),
            serde_json::json!({"d": [], "op": 10}),
            serde_json::json!({"d": {}, "op": 0, "s": -1, "t": 5}),
            serde_json::json!({"d": {}, "op": 0, "s": "1", "t": "A"}),
            serde_json::json!({"a": 1, "d": {}, "op": 0, "s": 3, "t": "A"}),
        ];
        for case in cases {
            let term = crate::encode(&case, Encoding::Etf).unwrap();
            let skimmed = Envelope::skim(&term, Encoding::Etf).unwrap();
            assert_eq!(skimmed, Envelope::parse(&term, Encoding::Etf).unwrap(), "{case}");
        }
        let atoms = b"\x83t\0\0\0\x04d\0\x01djd\0\x02opa\0s\x01sa\x07w\x01td\0\x01Arest";
        let (whole, rest) = atoms.split_at(atoms.len() - 4);
        for (bytes, trailing) in [(whole, 0), (atoms, rest.len())] {
            let skimmed = Envelope::skim(bytes, Encoding::Etf).unwrap();
            assert_eq!((skimmed.s, skimmed.t.as_deref(), skimmed.trailing), (Some(7), Some("A"), trailing));
            assert_eq!(skimmed, Envelope::parse(bytes, Encoding::Etf).unwrap());
        }
        for length in 0..whole.len() {
            assert!(Envelope::skim(&whole[..length], Encoding::Etf).unwrap_err().is_incomplete(), "{length}");
            assert!(!Envelope::is_whole(&whole[..length], Encoding::Etf, false), "{length}");
        }
    }

    /// What looks like the end of a payload, inside `d`.
    #[test]
    fn the_tail_of_etf_is_the_last_one() {
        let tail = b"d\0\x02opa\0d\0\x01sa\x07d\0\x01td\0\x01A";
        let decoy = [&[109, 0, 0, 0, tail.len() as u8][..], tail].concat();
        for d in [&b"j"[..], &decoy] {
            let term =
                [&b"\x83t\0\0\0\x04d\0\x01d"[..], d, b"d\0\x02opa\x0bd\0\x01sd\0\x03nild\0\x01td\0\x03nil"];
            let term = term.concat();
            let skimmed = Envelope::skim(&term, Encoding::Etf).unwrap();
            assert_eq!((skimmed.op, skimmed.d.as_bytes()), (11, d));
            assert_eq!(skimmed, Envelope::parse(&term, Encoding::Etf).unwrap());
        }
        // A flush behind it: seen with care alone.
        let part = [&b"\x83t\0\0\0\x04d\0\x01d"[..], &decoy].concat();
        assert!(
            Envelope::is_whole(&part, Encoding::Etf, false)
                && !Envelope::is_whole(&part, Encoding::Etf, true)
        );
        // Nothing but a tail is no payload.
        let without_d = [&b"\x83t\0\0\0\x04d\0\x01d"[..], tail].concat();
        assert!(Envelope::skim(&without_d, Encoding::Etf).is_err());
    }

    /// What is wrong inside `d` is that event's affair.
    #[test]
    fn skimming_etf_does_not_look_inside_d() {
        let term = b"\x83t\0\0\0\x04d\0\x01d\xffd\0\x02opa\0d\0\x01sa\x07d\0\x01td\0\x01A";
        assert!(Envelope::parse(term, Encoding::Etf).is_err());
        let skimmed = Envelope::skim(term, Encoding::Etf).unwrap();
        assert_eq!((skimmed.s, skimmed.t.as_deref()), (Some(7), Some("A")));
        assert!(skimmed.d.value().is_err());
    }

    #[test]
    fn a_key_behind_d_costs_nothing() {
        let text = r#"{"t":"A","s":1,"op":0,"d":{"a":[1]},"x":{"a":2}}"#;
        let d = Envelope::skim(text.as_bytes(), Encoding::Json).unwrap().d;
        let expected = parse(text).unwrap().d;
        assert_eq!(d.value().unwrap(), expected.value().unwrap());
        assert_eq!(d.get(("a", 0)), expected.get(("a", 0)));
        assert!(d.get("x").is_none());
        let keys: Vec<_> = d.entries().map(|entry| entry.unwrap().0).collect();
        assert_eq!(keys, ["a"]);
        let text = crate::RawRef::new(br#""a","x":2"#, Encoding::Json);
        assert_eq!(text.as_str().as_deref(), text.decode::<String>().ok().as_deref());
        let list = Envelope::skim(br#"{"t":"A","s":1,"op":0,"d":[7],"x":[8]}"#, Encoding::Json).unwrap().d;
        assert_eq!(list.elements().map(|element| element.unwrap().as_u64()).collect::<Vec<_>>(), [Some(7)]);
        for encoding in [Encoding::Json, Encoding::Etf] {
            assert_eq!(crate::encode(&d, encoding).unwrap(), crate::encode(&expected, encoding).unwrap());
        }
        #[cfg(feature = "simd-json")]
        assert_eq!(d.simd_value(&mut Vec::new()).unwrap(), expected.simd_value(&mut Vec::new()).unwrap());
    }

    #[test]
    fn a_payload_is_whole_or_not() {
        let whole = |text: &str, carefully| Envelope::is_whole(text.as_bytes(), Encoding::Json, carefully);
        for text in [
            r#"{"t":"A","s":1,"op":0,"d":{"a":"}"}}"#,
            r#"{"t":"A","s":1,"op":0,"d":{"a":"{"}}"#,
            r#"{"op":1}"#,
            "nonsense",
        ] {
            assert!(whole(text, false) && whole(text, true), "{text}");
        }
        let text = r#"{"t":"A","s":1,"op":0,"d":{"a":{"b":[{}]},"c":{}}}"#;
        for length in 0..text.len() {
            let part = &text[..length];
            assert!(!whole(part, false) && !whole(part, true), "{part}");
        }
        // Braces too many in a text, and a flush just there: seen with care alone.
        let part = r#"{"t":"A","s":1,"op":0,"d":{"a":"}}","b":{}"#;
        assert!(whole(part, false) && !whole(part, true));
    }

    #[test]
    fn missing_and_odd_fields() {
        let envelope = parse(r#"{"op":11}"#).unwrap();
        assert_eq!((envelope.op, envelope.s, envelope.t.as_deref()), (11, None, None));
        assert!(envelope.d.is_null());
        for text in [r#"{"op":0,"s":-1,"t":5}"#, r#"{"op":0,"s":"1","t":{}}"#, r#"{"op":0,"s":1.5,"t":null}"#]
        {
            let envelope = parse(text).unwrap();
            assert_eq!((envelope.s, envelope.t), (None, None), "{text}");
        }
        for text in
            [r#"{}"#, r#"{"d":{"op":1}}"#, r#"{"op":null}"#, r#"{"op":"1"}"#, r#"{"op":1.5}"#, r#"{"op":-1}"#]
        {
            assert_eq!(parse(text).unwrap_err().kind(), ErrorKind::Mismatch, "{text}");
        }
        assert_eq!(parse("[]").unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(
            parse(r#"{"t":null,"s":null,"op":1,"d":null}}"#).unwrap_err().kind(),
            ErrorKind::Malformed
        );
    }

    #[test]
    fn every_prefix_is_incomplete() {
        for text in [r#"{"t":"READY","s":7,"op":0,"d":{"op":[1,"a"]}}"#, r#"{"d":{"op":[1,"a"]},"op":0}"#] {
            for length in 0..text.len() {
                assert!(parse(&text[..length]).unwrap_err().is_incomplete(), "{}", &text[..length]);
            }
        }
    }

    #[test]
    fn debug_shows_no_data() {
        let envelope = parse(r#"{"op":2,"d":{"token":"secret"}}"#).unwrap();
        assert!(!format!("{envelope:?}").contains("secret"));
    }
}
