//! The top level of a gateway payload, read without decoding `d`.

use crate::etf::Term;
use crate::json::{self, scan};
use crate::{Encoding, Error, ErrorKind, RawRef, etf, known_event_name};
use std::borrow::Cow;
use std::fmt;

/// The four fields of a gateway payload, borrowed from it.
///
/// Keys may come in any order. A key inside `d` never counts, and neither does text that imitates one. Of duplicate
/// keys the first counts, as in look-ups. See Discord Docs, Gateway Events > Payload Structure.
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
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The opcode.
    pub op: u64,
    /// The sequence number: none if it is null, missing, or not a non-negative integer.
    pub s: Option<u64>,
    /// The event's name: none if it is null, missing, or not text.
    pub t: Option<Cow<'a, str>>,
    /// The data as it stands; a null if it is missing.
    pub d: RawRef<'a>,
    /// How many bytes follow the payload. In ETF they are ignored, as Discord's own decoder ignores them; in JSON they are an
    /// error, so this is 0.
    pub trailing: usize,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of one whole payload.
    ///
    /// The structure of `d` is checked as far as needed to find its end; decoding it checks the rest.
    ///
    /// # Errors
    ///
    /// [`Error::is_incomplete`] if `bytes` are the beginning of a payload; [`ErrorKind::Malformed`] if they are not an
    /// object, or in JSON if bytes follow it ([`Envelope::trailing`] counts them in ETF); [`ErrorKind::Mismatch`] if
    /// `op` is missing or not an integer; [`ErrorKind::Limit`] if `d` is nested too deeply.
    pub fn parse(bytes: &'a [u8], encoding: Encoding) -> Result<Self, Error> {
        let usual = match encoding {
            Encoding::Json => Self::parse_usual_json(bytes)?,
            Encoding::Etf => Self::parse_usual_etf(bytes),
        };
        match usual {
            Some(envelope) => Ok(envelope),
            None => Self::parse_any_order(bytes, encoding),
        }
    }

    /// Reads the envelope of one whole payload, and leaves `d` unread if it is the last key.
    ///
    /// In JSON `d` stays unread if `t`, `s` and `op` precede it without blanks, as the gateway writes them. They are read in
    /// sequence from the first byte, so no text inside `d` can be taken for one of them. [`RawRef::as_bytes`] finds the end
    /// of `d` when it is called, and a malformed `d` fails when it is used. Bytes after the payload are not looked at: of two
    /// joined payloads `skim` reads the first, where `parse` rejects both.
    ///
    /// In ETF `d` comes first, and its text may contain any bytes, also those that end a payload. Only stepping over each
    /// term proves where `d` ends, so `skim` does what [`Envelope::parse`] does, as it does for any other order in JSON.
    ///
    /// `skim` reads every payload that `parse` accepts as the same envelope.
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
        if encoding == Encoding::Json
            && let Some((head, d_start)) = UsualHead::read(bytes)
            && let Some(d) = bytes[d_start..].strip_suffix(b"}")
            && let [b'{', .., b'}'] | [b'[', .., b']'] | b"null" = d
        {
            return Ok(head.envelope(RawRef::uncut(d)));
        }
        Self::parse(bytes, encoding)
    }

    /// Whether `bytes` are a whole payload rather than the beginning of one. A malformed payload is whole too: more bytes
    /// would not make it valid.
    ///
    /// [`Inflater::push`](crate::Inflater::push) needs this at the end of each frame of a zlib stream. A server may flush in
    /// the middle of a payload, and a text at that point may imitate the end of one, so the structure of all bytes decides.
    pub fn is_whole(bytes: &[u8], encoding: Encoding) -> bool {
        match Envelope::parse(bytes, encoding) {
            Ok(_) => true,
            Err(error) => !error.is_incomplete(),
        }
    }

    /// Reads `t`, `s`, `op`, `d` without blanks, as the gateway writes JSON. `None` for any other form.
    fn parse_usual_json(bytes: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some((head, d_start)) = UsualHead::read(bytes) else { return Ok(None) };
        let d_end = match bytes.get(d_start) {
            Some(b'{' | b'[' | b'"' | b'n' | b't' | b'f' | b'-' | b'0'..=b'9') => {
                scan::value_end(bytes, d_start, crate::DocumentLimits::MAX_DEPTH - 1)?
            }
            _ => return Ok(None),
        };
        if &bytes[d_end..] != b"}" {
            return Ok(None);
        }
        Ok(Some(head.envelope(RawRef::new(&bytes[d_start..d_end], Encoding::Json))))
    }

    /// Reads `d`, `op`, `s`, `t`, as Erlang orders them. `None` for any other form and for a malformed payload.
    fn parse_usual_etf(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[etf::VERSION, etf::tag::MAP, 0, 0, 0, 4])?;
        let after_d_key = etf::find::after_key(rest, b"d")?;
        let mut reader = etf::Reader::term_only(after_d_key);
        let d = reader.skip_to_depth(crate::DocumentLimits::MAX_DEPTH - 1).ok()?;
        let rest = etf::find::after_key(reader.rest(), b"op")?;
        let [etf::tag::SMALL_INTEGER, op, ref rest @ ..] = *rest else { return None };
        let rest = etf::find::after_key(rest, b"s")?;
        let mut reader = etf::Reader::term_only(rest);
        let s = match *rest {
            // The first bit is clear: the integer is not negative.
            [etf::tag::INTEGER, a @ ..0x80, b, c, d, ref rest @ ..] => {
                reader = etf::Reader::term_only(rest);
                Some(u32::from_be_bytes([a, b, c, d]).into())
            }
            _ => match reader.term().ok()? {
                Term::Integer(number) => number.to_u64(),
                Term::Null => None,
                _ => return None,
            },
        };
        let mut reader = etf::Reader::term_only(etf::find::after_key(reader.rest(), b"t")?);
        let t = match reader.known_event_name() {
            Some(known) => Some(Cow::Borrowed(known)),
            None => match reader.term().ok()? {
                Term::Atom(text) => Some(text),
                Term::Null => None,
                _ => return None,
            },
        };
        let d = RawRef::new(d, Encoding::Etf);
        Some(Self { op: op.into(), s, t, d, trailing: reader.rest().len() })
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
            let field = match &*key {
                "op" => &mut op,
                "s" => &mut s,
                "t" => &mut t,
                "d" => &mut d,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        let op = op.ok_or_else(|| Error::new(ErrorKind::Mismatch, "the payload has no op"))?;
        let op = op
            .as_u64()
            .ok_or_else(|| Error::new(ErrorKind::Mismatch, "op is not an integer").inside_key("op"))?;
        let d = d.unwrap_or_else(|| RawRef::null(encoding));
        Ok(Self { op, s: s.and_then(RawRef::as_u64), t: t.and_then(RawRef::as_str), d, trailing: 0 })
    }
}

/// The fields that precede `d` in the usual order.
struct UsualHead<'a> {
    t: Option<&'a str>,
    s: Option<u64>,
    op: u64,
}

impl<'a> UsualHead<'a> {
    #[inline]
    fn envelope(self, d: RawRef<'a>) -> Envelope<'a> {
        Envelope { op: self.op, s: self.s, t: self.t.map(Cow::Borrowed), d, trailing: 0 }
    }

    #[inline]
    fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(br#"{"t":"#)?;
        let (t, rest) = match rest.strip_prefix(b"null") {
            Some(rest) => (None, rest),
            None => {
                let rest = rest.strip_prefix(b"\"")?;
                // A name with a backslash needs unescaping, which the general path does.
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
            let fast = Envelope::parse_usual_json(text.as_bytes()).unwrap().expect(text);
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
            r#"{"t":"READY","s":7,"op":0,"d":{"op":1},"d":[],"op":9,"s":1,"t":"OTHER"}"#,
            r#"{"d":{"op":1},"op":0,"s":7,"t":"READY","t":5,"s":null,"op":9,"d":[]}"#,
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
    fn usual_order_of_etf_agrees_with_any_order() {
        let usual = serde_json::json!({"d": {"op": 1, "a": [1, 2]}, "op": 0, "s": 7, "t": "READY"});
        for sequence in [0, 7, 300, (1 << 31) - 1, 1 << 31, (1_u64 << 53) + 1] {
            let mut payload = usual.clone();
            payload["s"] = sequence.into();
            let term = crate::encode(&payload, Encoding::Etf).unwrap();
            // The gateway writes the name of an event as an atom.
            let name = term.len() - "m\0\0\0\x05READY".len();
            let term = [&term[..name], b"w\x05READY"].concat();
            let fast = Envelope::parse_usual_etf(&term).expect("the usual order");
            assert_eq!((fast.s, fast.t.as_deref()), (Some(sequence), Some("READY")));
            assert_eq!(fast, Envelope::parse_any_order(&term, Encoding::Etf).unwrap());
        }
        let others = [
            serde_json::json!({"d": null, "op": 11, "s": null, "t": null}),
            serde_json::json!({"d": [], "op": 10}),
            serde_json::json!({"d": {}, "op": 0, "s": -1, "t": 5}),
            serde_json::json!({"d": {}, "op": 0, "s": "1", "t": "A"}),
            serde_json::json!({"a": 1, "d": {}, "op": 0, "s": 3, "t": "A"}),
        ];
        for case in others {
            let term = crate::encode(&case, Encoding::Etf).unwrap();
            let any_order = Envelope::parse_any_order(&term, Encoding::Etf).unwrap();
            assert_eq!(Envelope::parse(&term, Encoding::Etf).unwrap(), any_order, "{case}");
        }
        let atoms = b"\x83t\0\0\0\x04d\0\x01djd\0\x02opa\0s\x01sb\xff\xff\xff\xffw\x01td\0\x01Arest";
        let (whole, rest) = atoms.split_at(atoms.len() - 4);
        for (bytes, trailing) in [(whole, 0), (atoms, rest.len())] {
            let envelope = Envelope::parse(bytes, Encoding::Etf).unwrap();
            assert_eq!((envelope.s, envelope.t.as_deref(), envelope.trailing), (None, Some("A"), trailing));
        }
        for length in 0..whole.len() {
            assert!(Envelope::skim(&whole[..length], Encoding::Etf).unwrap_err().is_incomplete(), "{length}");
            assert!(!Envelope::is_whole(&whole[..length], Encoding::Etf), "{length}");
        }
    }

    /// Texts inside `d` that look like the end of a payload.
    #[test]
    fn text_that_imitates_the_end_of_etf_is_text() {
        let tail = b"d\0\x02opa\x09d\0\x01sa\x07d\0\x01td\0\x01A";
        let decoy = [&[109, 0, 0, 0, tail.len() as u8][..], tail].concat();
        let head = b"\x83t\0\0\0\x04d\0\x01d";
        let real = b"d\0\x02opa\x0bd\0\x01sd\0\x03nild\0\x01td\0\x03nil";
        let term = [&head[..], &decoy, real].concat();
        let skimmed = Envelope::skim(&term, Encoding::Etf).unwrap();
        assert_eq!((skimmed.op, skimmed.d.as_bytes()), (11, &*decoy));
        // The text is at the end of the bytes received so far.
        let part = [&head[..], &decoy].concat();
        assert!(!Envelope::is_whole(&part, Encoding::Etf));
        assert!(Envelope::skim(&part, Encoding::Etf).unwrap_err().is_incomplete());
        // The last value of a payload with an additional key.
        let other = [&head[..], b"jd\0\x02opa\x0bd\0\x01sd\0\x03nilw\x01x", &decoy].concat();
        assert_eq!(Envelope::skim(&other, Encoding::Etf).unwrap().op, 11);
        // A tail alone is not a payload.
        assert!(Envelope::skim(&[&head[..], tail].concat(), Encoding::Etf).is_err());
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
        assert_eq!((d, d.as_bytes()), (expected, expected.as_bytes()));
        assert_eq!(d.to_raw(), expected.to_raw());
        // Entries may follow a value only if it is the `d` of a payload.
        let value = crate::RawRef::new(br#"{"a":[1]},"x":{"a":2}"#, Encoding::Json);
        assert!(value.value().is_err() && value.entries().last().unwrap().is_err());
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
        let whole = |text: &str| Envelope::is_whole(text.as_bytes(), Encoding::Json);
        for text in [
            r#"{"t":"A","s":1,"op":0,"d":{"a":"}"}}"#,
            r#"{"t":"A","s":1,"op":0,"d":{"a":"{"}}"#,
            r#"{"op":1}"#,
            "nonsense",
        ] {
            assert!(whole(text), "{text}");
        }
        let text = r#"{"t":"A","s":1,"op":0,"d":{"a":{"b":[{}]},"c":{}}}"#;
        for length in 0..text.len() {
            assert!(!whole(&text[..length]), "{}", &text[..length]);
        }
        // Braces in a text, with a flush within the text or after it.
        for part in [
            r#"{"t":"A","s":1,"op":0,"d":{"a":"}}","b":{}"#,
            r#"{"t":"A","s":1,"op":0,"d":{"a":"}}"#,
            r#"{"t":"A","s":1,"op":0,"d":{"a":"\"}}"#,
        ] {
            assert!(!whole(part), "{part}");
        }
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
