//! One response of HTTP/1.1, read from bytes that come in any pieces (RFC 9112).
//!
//! The answer to the upgrade and that to `GET /gateway/bot` are read by it. ureq-proto, which does the same, writes every byte that it
//! sees to the log at the level trace: the token would be among them.

use std::borrow::Cow;

use httparse::{ParserConfig, Status};

/// The most that the head of a response may take, together with the heads of the interim responses before it.
pub(crate) const HEAD_BYTES: usize = 16 << 10;
/// The most headers that a response may have.
const HEADERS: usize = 100;
/// The most that the line of a chunk's size, or of a trailer, may take.
const LINE_BYTES: usize = 1 << 10;

/// A response that is being read.
pub(crate) struct HttpResponse {
    /// The most of the body that is kept.
    body_limit: usize,
    /// Bytes of the interim responses so far.
    interim: usize,
    /// The head, and then the line of a chunk's size or of a trailer, as far as it has come.
    received: Vec<u8>,
    head: Option<HttpHead>,
    body: Vec<u8>,
    /// Bytes of the lines between and behind the chunks so far.
    framing: usize,
    reading: Reading,
}

/// The first line and the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpHead {
    /// 1 for HTTP/1.1.
    pub(crate) minor_version: u8,
    pub(crate) status: u16,
    /// Names as they came, values on one line; bytes that are not UTF-8 are replaced.
    pub(crate) headers: Vec<(String, String)>,
}

/// How much of a response was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpEnd {
    /// All of it.
    Whole,
    /// All of the body that is kept. There is more.
    Cut,
    /// Part of it. The rest is no chunk (RFC 9112, section 7.1), or there are many more bytes around the chunks than in them.
    BrokenChunk,
}

/// What comes next.
enum Reading {
    Head,
    /// So many bytes.
    Length(usize),
    /// Anything until the stream ends.
    UntilEof,
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Ended(HttpEnd),
}

impl HttpResponse {
    pub(crate) fn new(body_limit: usize) -> Self {
        Self {
            body_limit,
            interim: 0,
            received: Vec::new(),
            head: None,
            body: Vec::new(),
            framing: 0,
            reading: Reading::Head,
        }
    }

    /// Takes what the server sent. Returns how many of the bytes belong to the response: all, unless it has ended.
    ///
    /// # Errors
    ///
    /// What is wrong with the head, in words.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            used += match self.reading {
                Reading::Head => self.push_head(rest)?,
                Reading::Length(left) => {
                    let taken = self.keep(&rest[..left.min(rest.len())]);
                    self.go_on(if taken == left {
                        Reading::Ended(HttpEnd::Whole)
                    } else {
                        Reading::Length(left - taken)
                    });
                    taken
                }
                Reading::UntilEof => {
                    let taken = self.keep(rest);
                    self.go_on(Reading::UntilEof);
                    taken
                }
                Reading::Chunk(left) => {
                    let taken = self.keep(&rest[..left.min(rest.len())]);
                    self.go_on(if taken == left { Reading::ChunkEnd } else { Reading::Chunk(left - taken) });
                    taken
                }
                Reading::ChunkSize | Reading::ChunkEnd | Reading::Trailer => self.push_line(rest),
                Reading::Ended(_) => break,
            };
        }
        Ok(used)
    }

    /// The head, once it is whole. That of an interim response does not count.
    pub(crate) fn head(&self) -> Option<&HttpHead> {
        self.head.as_ref()
    }

    /// How the response has ended. None: there is more to come.
    pub(crate) fn end(&self) -> Option<HttpEnd> {
        match self.reading {
            Reading::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Whether the response is whole if the stream ends here. What follows the last chunk is not waited for.
    pub(crate) fn is_whole_at_eof(&self) -> bool {
        matches!(self.reading, Reading::UntilEof | Reading::Trailer | Reading::Ended(HttpEnd::Whole))
    }

    /// Takes the body, as far as it was read, without the framing of chunks.
    pub(crate) fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    pub(crate) fn take_head(&mut self) -> Option<HttpHead> {
        self.head.take()
    }

    /// Line by line: the cost of a head that comes in small pieces stays small, and its end is met exactly.
    fn push_head(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let line = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let taken = line.unwrap_or(bytes.len());
        if self.interim + self.received.len() + taken > HEAD_BYTES {
            return Err("the head is too long".to_owned());
        }
        self.received.extend_from_slice(&bytes[..taken]);
        if !self.may_be_http() {
            // Noticed before the end of the line, which may never come.
            return Err("the answer is not HTTP".to_owned());
        }
        if line.is_some() {
            self.read_head()?;
        }
        Ok(taken)
    }

    fn may_be_http(&self) -> bool {
        self.received.trim_ascii_start().iter().zip(b"HTTP/").all(|(received, expected)| received == expected)
    }

    /// Reads the head if it is complete.
    fn read_head(&mut self) -> Result<(), String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        // "A user agent that receives an obs-fold in a response message […] MUST replace each received obs-fold with one or
        // more SP octets prior to interpreting the field value" (RFC 9112, section 5.2). The first half is the parser's.
        let mut parser = ParserConfig::default();
        parser.allow_obsolete_multiline_headers_in_responses(true);
        match parser.parse_response(&mut response, &self.received) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        let status = response.code.unwrap_or(0);
        if matches!(status, 100 | 102..=199) {
            // "A client MUST be able to parse one or more 1xx responses" before the one that counts (RFC 9110, 15.2).
            // The client need not parse any number: their heads share one bound.
            self.interim += self.received.len();
        } else {
            let headers = response.headers.iter().map(|header| {
                let value = String::from_utf8_lossy(header.value);
                (header.name.to_owned(), unfolded(value.trim()).into_owned())
            });
            let head =
                HttpHead { minor_version: response.version.unwrap_or(0), status, headers: headers.collect() };
            self.reading = head.body();
            self.head = Some(head);
        }
        self.received.clear();
        Ok(())
    }

    /// Takes the bytes of a line that frames a chunk, up to its end.
    fn push_line(&mut self, bytes: &[u8]) -> usize {
        let line = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let taken = line.unwrap_or(bytes.len());
        self.framing += taken;
        // Otherwise chunks of one byte, or trailers, could continue forever.
        if self.received.len() + taken > LINE_BYTES || self.framing > self.body_limit + HEAD_BYTES {
            self.reading = Reading::Ended(HttpEnd::BrokenChunk);
            return taken;
        }
        self.received.extend_from_slice(&bytes[..taken]);
        if line.is_some() {
            self.reading = self.read_line();
            self.received.clear();
        }
        taken
    }

    fn read_line(&self) -> Reading {
        let is_empty = self.received.trim_ascii().is_empty();
        match self.reading {
            Reading::ChunkEnd if is_empty => Reading::ChunkSize,
            Reading::Trailer if is_empty => Reading::Ended(HttpEnd::Whole),
            Reading::Trailer => Reading::Trailer,
            Reading::ChunkSize => match httparse::parse_chunk_size(&self.received) {
                Ok(Status::Complete((_, 0))) => Reading::Trailer,
                // What does not fit is cut long before.
                Ok(Status::Complete((_, length))) => {
                    Reading::Chunk(usize::try_from(length).unwrap_or(usize::MAX))
                }
                _ => Reading::Ended(HttpEnd::BrokenChunk),
            },
            _ => Reading::Ended(HttpEnd::BrokenChunk),
        }
    }

    /// Keeps the beginning of these bytes of the body. Returns how many fit.
    fn keep(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.body_limit - self.body.len());
        self.body.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Goes on with this, unless it would be more body than is kept.
    fn go_on(&mut self, next: Reading) {
        let wants_more = matches!(next, Reading::Length(_) | Reading::UntilEof | Reading::Chunk(_));
        let is_full = self.body.len() >= self.body_limit;
        self.reading = if wants_more && is_full { Reading::Ended(HttpEnd::Cut) } else { next };
    }
}

impl HttpHead {
    /// How the end of the body is recognized (RFC 9112, section 6.3).
    fn body(&self) -> Reading {
        let has_none = matches!(self.status, 101 | 204 | 304);
        if has_none {
            return Reading::Ended(HttpEnd::Whole);
        }
        if self.has_token("transfer-encoding", "chunked") {
            return Reading::ChunkSize;
        }
        match self.header("content-length").and_then(|value| value.parse().ok()) {
            Some(0) => Reading::Ended(HttpEnd::Whole),
            Some(length) => Reading::Length(length),
            None => Reading::UntilEof,
        }
    }

    /// The values of all headers of this name.
    pub(crate) fn named<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        let named = self.headers.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether any header of this name lists this token.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.named(name).any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

/// A header's value on one line: each fold, with the white space around it, becomes one space.
fn unfolded(value: &str) -> Cow<'_, str> {
    if !value.contains('\n') {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&str> = value.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    Cow::Owned(lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads whole and byte by byte; both must come to the same.
    fn read(bytes: &[u8], limit: usize) -> (Option<HttpEnd>, Vec<u8>, usize) {
        let (mut whole, mut pieces) = (HttpResponse::new(limit), HttpResponse::new(limit));
        let used = whole.push(bytes).unwrap();
        let by_piece: usize = bytes.iter().map(|byte| pieces.push(&[*byte]).unwrap()).sum();
        assert_eq!((whole.end(), &whole.body), (pieces.end(), &pieces.body));
        // Of what is broken any number of bytes may be looked at.
        assert!(used == by_piece || whole.end() == Some(HttpEnd::BrokenChunk), "{used} and {by_piece}");
        assert_eq!(whole.is_whole_at_eof(), pieces.is_whole_at_eof());
        (whole.end(), whole.take_body(), used)
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (head, framed, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "body", "body"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ""),
            ("HTTP/1.1 204 No\r\n\r\n", "", ""),
            (chunked, "2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n", "body"),
            (chunked, "2\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nX-A: b\r\n\r\n", "\r\n0\r\n\r\n"),
            (chunked, "0\r\n\r\n", ""),
        ] {
            let response = format!("{head}{framed}behind");
            let used = head.len() + framed.len();
            let expected = (Some(HttpEnd::Whole), body.as_bytes().to_vec(), used);
            assert_eq!(read(response.as_bytes(), 64), expected, "{response:?}");
        }
    }

    #[test]
    fn of_a_body_no_more_than_the_limit_is_kept() {
        for framed in [
            "\r\n\r\nbody of 16 bytes",
            "\r\nContent-Length: 99\r\n\r\nbody of 16 bytes",
            "\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nbody of 16 bytes",
        ] {
            let response = format!("HTTP/1.1 200 OK{framed}");
            let (end, body, _) = read(response.as_bytes(), 4);
            assert_eq!((end, &body[..]), (Some(HttpEnd::Cut), &b"body"[..]), "{response:?}");
        }
        // As much as is kept is not too much.
        let (end, body, _) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 4);
        assert_eq!((end, &body[..]), (Some(HttpEnd::Whole), &b"body"[..]));
        let (end, body, _) =
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 4);
        assert_eq!((end, &body[..]), (Some(HttpEnd::Whole), &b"body"[..]));
    }

    #[test]
    fn what_is_no_chunk_ends_the_response() {
        for framed in
            ["nonsense\r\n", "-1\r\n", "2\r\nbody\r\n", "fffffffffffffffff\r\n", &"1;".repeat(LINE_BYTES)]
        {
            let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{framed}");
            assert_eq!(read(response.as_bytes(), 64).0, Some(HttpEnd::BrokenChunk), "{framed:?}");
        }
    }

    #[test]
    fn trailers_and_small_chunks_do_not_go_on_for_ever() {
        for piece in ["1\r\nx\r\n", "1;extension\r\nx\r\n", "0\r\nX-A: b\r\n"] {
            let response =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", piece.repeat(20_000));
            assert_eq!(read(response.as_bytes(), 10_000).0, Some(HttpEnd::BrokenChunk), "{piece:?}");
        }
    }

    #[test]
    fn the_end_of_the_stream_ends_what_has_no_other_end() {
        for (response, is_whole) in [
            ("HTTP/1.1 200 OK\r\n\r\nbody", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n", true),
            ("HTTP/1.1 200 OK\r\n", false),
            ("", false),
        ] {
            let mut reading = HttpResponse::new(64);
            reading.push(response.as_bytes()).unwrap();
            assert_eq!(reading.end(), None, "{response:?}");
            assert_eq!(reading.is_whole_at_eof(), is_whole, "{response:?}");
        }
    }
}
