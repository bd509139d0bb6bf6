//! Look-ups by path: one value out of a document, in either encoding, without building the rest.

use crate::{Encoding, Error, Raw, RawRef, etf, json};
use std::borrow::Cow;

/// One step into a value: into a map by key, or into a list by index. Exhaustive: there are no other containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathSegment<'p> {
    /// The entry with this key.
    Key(&'p str),
    /// The element at this index, counted from zero.
    Index(usize),
}

/// A type that is one step: text is a key, a number an index.
pub trait Segment {
    /// The step.
    fn as_segment(&self) -> PathSegment<'_>;
}

/// Steps into a value: a key, an index, an array or slice of either, or a tuple that mixes them.
pub trait Path {
    /// The steps, outermost first.
    fn segments(&self) -> impl Iterator<Item = PathSegment<'_>>;
}

impl<'a> RawRef<'a> {
    /// The value at a path: `get("content")`, `get(["author", "id"])`, `get(("members", 3, "user"))`.
    ///
    /// `None` if there is none, or if the document is malformed before it: [`RawRef::find`] distinguishes the two. Of
    /// duplicate keys the first counts, since nothing after it is read.
    ///
    /// ```
    /// use gateway_codec::{Encoding, Raw};
    ///
    /// let message = Raw::new(r#"{"author":{"id":"80351110224678912"},"mentions":[{"id":"7"}]}"#, Encoding::Json);
    /// assert_eq!(message.get(["author", "id"]).and_then(|id| id.as_id()), Some(80351110224678912));
    /// assert_eq!(message.get(("mentions", 0, "id")).and_then(|id| id.as_str()).as_deref(), Some("7"));
    /// assert!(message.get("content").is_none());
    /// ```
    pub fn get(self, path: impl Path) -> Option<RawRef<'a>> {
        self.find(path).ok().flatten()
    }

    /// The values of several keys of a map, in one pass: faster than one [`RawRef::get`] for each.
    ///
    /// `None` for a missing key, and for every key if this is not a map or is malformed before the last of them. Of
    /// duplicate keys the first counts.
    ///
    /// ```
    /// use gateway_codec::{Encoding, Raw};
    ///
    /// let message = Raw::new(r#"{"content":"hi","channel_id":"7","author":{"id":"8"}}"#, Encoding::Json);
    /// let [channel, author, nonce] = message.as_ref().fields(["channel_id", "author", "nonce"]);
    /// assert_eq!(channel.and_then(|id| id.as_id()), Some(7));
    /// assert_eq!(author.and_then(|author| author.get("id")?.as_id()), Some(8));
    /// assert!(nonce.is_none());
    /// ```
    pub fn fields<const N: usize>(self, keys: [&str; N]) -> [Option<RawRef<'a>>; N] {
        let found = match self.encoding() {
            Encoding::Json => json::find::entries(self.uncut_bytes(), &keys),
            Encoding::Etf => etf::find::entries(self.uncut_bytes(), &keys),
        };
        found.unwrap_or([None; N]).map(|value| value.map(|value| RawRef::new(value, self.encoding())))
    }

    /// The value at a path, as [`RawRef::get`].
    ///
    /// # Errors
    ///
    /// If the document is malformed before the value. Offsets count from the beginning of the innermost value entered.
    pub fn find(self, path: impl Path) -> Result<Option<RawRef<'a>>, Error> {
        let mut value = self;
        for segment in path.segments() {
            match value.step(segment)? {
                Some(inner) => value = inner,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    /// The entries of a map in order, duplicates included. Any other value yields one error.
    pub fn entries(self) -> impl Iterator<Item = Result<(Cow<'a, str>, RawRef<'a>), Error>> + use<'a> {
        let (json, etf) = match self.encoding() {
            Encoding::Json => (Some(json::walk_value(self)), None),
            Encoding::Etf => (None, Some(etf::Walk::term_only(self.as_bytes()))),
        };
        json.into_iter().flatten().chain(etf.into_iter().flatten())
    }

    /// The elements of a list. Any other value has none.
    pub fn elements(self) -> impl Iterator<Item = Result<RawRef<'a>, Error>> + use<'a> {
        let (json, etf, error) = match self.encoding() {
            Encoding::Json => (Some(json::find::elements(self.uncut_bytes())), None, None),
            Encoding::Etf => match etf::find::elements(self.as_bytes()) {
                Ok(elements) => (None, Some(elements), None),
                Err(error) => (None, None, Some(Err(error))),
            },
        };
        json.into_iter()
            .flatten()
            .chain(etf.into_iter().flatten())
            .chain(error)
            .map(move |element| element.map(|bytes| RawRef::new(bytes, self.encoding())))
    }

    /// The value as text. In ETF this is a binary, an atom other than null and the booleans, or an integer beyond 2^53,
    /// since ids are text in JSON.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        match self.encoding() {
            Encoding::Json => json::text(self.as_bytes()),
            Encoding::Etf => match etf::Reader::term_only(self.as_bytes()).term().ok()? {
                etf::Term::Atom(text) => Some(text),
                etf::Term::Binary(bytes) => Some(String::from_utf8_lossy(bytes)),
                etf::Term::Integer(number) if number.is_unsafe_for_doubles() => {
                    Some(Cow::Owned(number.to_string()))
                }
                _ => None,
            },
        }
    }

    /// The value as an integer from 0 to 2^64 - 1.
    pub fn as_u64(self) -> Option<u64> {
        self.decode().ok()
    }

    /// The value as an integer from -2^63 to 2^63 - 1.
    pub fn as_i64(self) -> Option<i64> {
        self.decode().ok()
    }

    /// The value of any number as the nearest double.
    pub fn as_f64(self) -> Option<f64> {
        self.decode().ok()
    }

    /// The value as a boolean.
    pub fn as_bool(self) -> Option<bool> {
        self.decode().ok()
    }

    /// The value as an id: an integer, or the text of one. See Discord Docs, Reference > Snowflakes.
    pub fn as_id(self) -> Option<u64> {
        if self.encoding() == Encoding::Json
            && let Some(id) = json::quoted_id(self.as_bytes())
        {
            return Some(id);
        }
        // The first byte tells text from integer, since a failed attempt costs an error or an allocation.
        let is_text = match self.encoding() {
            Encoding::Json => self.as_bytes().first() == Some(&b'"'),
            Encoding::Etf => {
                !matches!(etf::Reader::term_only(self.as_bytes()).term(), Ok(etf::Term::Integer(_)))
            }
        };
        if is_text { self.as_str()?.parse().ok() } else { self.as_u64() }
    }

    /// Whether the value is null.
    pub fn is_null(self) -> bool {
        match self.encoding() {
            Encoding::Json => self.as_bytes() == b"null",
            Encoding::Etf => {
                matches!(etf::Reader::term_only(self.as_bytes()).term(), Ok(etf::Term::Null))
            }
        }
    }

    fn step(self, segment: PathSegment<'_>) -> Result<Option<RawRef<'a>>, Error> {
        let (bytes, encoding) = (self.uncut_bytes(), self.encoding());
        let part = match (encoding, segment) {
            (Encoding::Json, PathSegment::Key(key)) => json::find::entry(bytes, key),
            (Encoding::Json, PathSegment::Index(index)) => json::find::element(bytes, index),
            (Encoding::Etf, PathSegment::Key(key)) => etf::find::entry(bytes, key),
            (Encoding::Etf, PathSegment::Index(index)) => etf::find::element(bytes, index),
        };
        Ok(part?.map(|part| RawRef::new(part, encoding)))
    }
}

impl Raw {
    /// The values of several keys of a map, as [`RawRef::fields`].
    pub fn fields<const N: usize>(&self, keys: [&str; N]) -> [Option<RawRef<'_>>; N] {
        self.as_ref().fields(keys)
    }

    /// The value at a path, as [`RawRef::get`].
    pub fn get(&self, path: impl Path) -> Option<RawRef<'_>> {
        self.as_ref().get(path)
    }

    /// The value at a path, as [`RawRef::find`].
    ///
    /// # Errors
    ///
    /// As [`RawRef::find`].
    pub fn find(&self, path: impl Path) -> Result<Option<RawRef<'_>>, Error> {
        self.as_ref().find(path)
    }
}

impl Segment for &str {
    fn as_segment(&self) -> PathSegment<'_> {
        PathSegment::Key(self)
    }
}

impl Segment for String {
    fn as_segment(&self) -> PathSegment<'_> {
        PathSegment::Key(self)
    }
}

impl Segment for usize {
    fn as_segment(&self) -> PathSegment<'_> {
        PathSegment::Index(*self)
    }
}

impl Segment for PathSegment<'_> {
    fn as_segment(&self) -> PathSegment<'_> {
        *self
    }
}

impl Path for &str {
    fn segments(&self) -> impl Iterator<Item = PathSegment<'_>> {
        std::iter::once(self.as_segment())
    }
}

impl Path for usize {
    fn segments(&self) -> impl Iterator<Item = PathSegment<'_>> {
        std::iter::once(self.as_segment())
    }
}

impl<S: Segment, const N: usize> Path for [S; N] {
    fn segments(&self) -> impl Iterator<Item = PathSegment<'_>> {
        self.iter().map(Segment::as_segment)
    }
}

impl<S: Segment> Path for &[S] {
    fn segments(&self) -> impl Iterator<Item = PathSegment<'_>> {
        self.iter().map(Segment::as_segment)
    }
}

/// Tuples mix keys and indexes.
macro_rules! path_for_tuples {
    ($(($($segment:ident $place:tt),+))+) => {$(
        impl<$($segment: Segment),+> Path for ($($segment,)+) {
            fn segments(&self) -> impl Iterator<Item = PathSegment<'_>> {
                [$(self.$place.as_segment()),+].into_iter()
            }
        }
    )+};
}

path_for_tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same document in both encodings, in JSON with blanks and escapes, in ETF as the server writes it.
    fn documents() -> [Raw; 2] {
        let json = r#" { "a\u0062" : [ 1 , {"x":"\"}"} , [] ] ,"author":{"id":"80351110224678912","bot":true},
            "members":[{},{},{},{"user":{"id":"7","name":null}}],"shard":[0,1],"":-2,"roles":[],"half":0.5}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let etf = etf::to_vec_with(&value, etf::Style::Server).unwrap();
        [Raw::new(json, Encoding::Json), Raw::new(etf, Encoding::Etf)]
    }

    #[test]
    fn paths_lead_to_values_in_both_encodings() {
        for document in documents() {
            let id = document.get(["author", "id"]).unwrap();
            assert_eq!(id.as_id(), Some(80351110224678912));
            assert_eq!(id.as_str().as_deref(), Some("80351110224678912"));
            assert_eq!(document.get(("ab", 1, "x")).unwrap().as_str().unwrap(), "\"}");
            assert_eq!(document.get(("members", 3, "user", "id")).unwrap().as_id(), Some(7));
            assert!(document.get(("members", 3, "user", "name")).unwrap().is_null());
            assert_eq!(document.get(("shard", 1)).unwrap().as_u64(), Some(1));
            assert_eq!(document.get("").unwrap().as_i64(), Some(-2));
            assert_eq!(document.get("half").unwrap().as_f64(), Some(0.5));
            assert_eq!(document.get(&["author", "bot"][..]).unwrap().as_bool(), Some(true));
            let path: [&str; 0] = [];
            assert_eq!(document.get(path), Some(document.as_ref()));
        }
    }

    #[test]
    fn what_is_not_there_is_none() {
        for document in documents() {
            assert_eq!(document.find("nothing").unwrap(), None);
            assert_eq!(document.find(["author", "id", "x"]).unwrap(), None);
            assert_eq!(document.find(("members", 4)).unwrap(), None);
            assert_eq!(document.find(("roles", 0)).unwrap(), None);
            assert_eq!(document.find(("author", 0)).unwrap(), None);
            assert_eq!(document.find(("shard", 2)).unwrap(), None);
            assert_eq!(document.find(("shard", "0")).unwrap(), None);
        }
    }

    #[test]
    fn keys_with_escapes_are_found_by_their_text() {
        let json = r#"{"\\A":1,"\u005cB":2,"\n":3,"a\u0062c":4,"\\":5,"\"":6,"abd":7}"#;
        let document = Raw::new(json, Encoding::Json);
        for (key, value) in [("\\A", 1), ("\\B", 2), ("\n", 3), ("abc", 4), ("\\", 5), ("\"", 6), ("abd", 7)]
        {
            assert_eq!(document.get(key).and_then(RawRef::as_u64), Some(value), "{key}");
            assert_eq!(document.fields([key])[0].and_then(RawRef::as_u64), Some(value), "{key}");
        }
        for key in ["\\n", "\\\\A", "a", "ab", "abcd", "\\u005cB", ""] {
            assert!(document.get(key).is_none(), "{key}");
        }
    }

    #[test]
    fn what_is_cut_is_an_error() {
        for document in documents() {
            for length in 0..document.as_bytes().len() {
                let cut = RawRef::new(&document.as_bytes()[..length], document.encoding());
                let error = cut.find("nothing").unwrap_err();
                assert!(error.is_incomplete(), "{length}: {error}");
            }
            for path in ["members", "shard"] {
                let list = document.get(path).unwrap();
                for length in 0..list.as_bytes().len() {
                    let cut = RawRef::new(&list.as_bytes()[..length], document.encoding());
                    let error = cut.find(100).unwrap_err();
                    assert!(error.is_incomplete(), "{length}: {error}");
                }
            }
        }
    }

    #[test]
    fn parts_are_listed() {
        for document in documents() {
            let keys: Vec<_> = document.as_ref().entries().map(|entry| entry.unwrap().0).collect();
            let mut sorted = keys.clone();
            sorted.sort();
            assert_eq!(sorted, ["", "ab", "author", "half", "members", "roles", "shard"]);
            let shard: Vec<_> =
                document.get("shard").unwrap().elements().map(|element| element.unwrap().as_u64()).collect();
            assert_eq!(shard, [Some(0), Some(1)]);
            assert_eq!(document.get("roles").unwrap().elements().count(), 0);
            assert_eq!(document.as_ref().elements().count(), 0);
            assert!(document.get("shard").unwrap().entries().next().unwrap().is_err());
        }
    }

    #[test]
    fn ids_are_what_their_text_says() {
        let long = |digit: &str, count| digit.repeat(count);
        for text in ["", "0", "007", "7a", "+5", "-1", " 7", "7 ", "1.0", "\\u0037", "é"]
            .map(str::to_owned)
            .into_iter()
            .chain([1, 18, 19, 20, 21].map(|count| long("9", count)))
            .chain([long("1", 20), u64::MAX.to_string(), "18446744073709551616".to_owned()])
        {
            let id = Raw::new(format!("\"{text}\""), Encoding::Json);
            let expected = id.as_ref().as_str().and_then(|text| text.parse().ok());
            assert_eq!(id.as_ref().as_id(), expected, "{text}");
        }
    }

    #[test]
    fn accessors_refuse_what_they_are_not_for() {
        for document in documents() {
            let author = document.get("author").unwrap();
            assert_eq!((author.as_str(), author.as_u64(), author.as_bool()), (None, None, None));
            assert_eq!((author.as_i64(), author.as_f64(), author.as_id()), (None, None, None));
            assert!(!author.is_null());
        }
        for nonsense in ["", "\"", "\"a", "x"] {
            assert_eq!(RawRef::new(nonsense.as_bytes(), Encoding::Json).as_str(), None);
            assert_eq!(RawRef::new(nonsense.as_bytes(), Encoding::Etf).as_str(), None);
        }
    }
}
