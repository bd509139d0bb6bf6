//! `GET /gateway/bot` over bytes.

use std::fmt;
use std::time::Duration;

use gateway_codec::json;
use gateway_codec::text::escape;
use serde::Deserialize;

use crate::config::{ConfigError, UrlError};
use crate::disconnect::Refused;
use crate::http_response::{HttpEnd, HttpHead, HttpResponse};
use crate::identify::GatewayBot;
use crate::text::Secrets;
use crate::upgrade::USER_AGENT;
use crate::{ConnectError, GatewayUrl, Token};

/// The base URL of Discord's HTTP API, of the version that the gateway is spoken in.
pub const DEFAULT_API_URL: &str = "https://discord.com/api/v10";

/// The most that the body of an answer may have. Discord's has some hundred bytes.
const BODY_BYTES: usize = 64 << 10;

/// `GET /gateway/bot` as a value: it returns the address to connect to and the bytes to send, and takes the bytes of the answer.
///
/// Send [`request`](Self::request) over a connection to [`url`](Self::url), hand what comes to [`push`](Self::push), and call
/// [`finish`](Self::finish) at the end of the stream. The caller has the clock: give up after some seconds.
///
/// Redirects are not followed: the token goes to the host of the API URL only. See
/// [Discord Docs, Gateway > Get Gateway Bot](https://discord.com/developers/docs/events/gateway#get-gateway-bot).
pub struct GatewayBotRequest {
    url: GatewayUrl,
    token: Token,
    request: String,
    response: HttpResponse,
}

/// Why there is no [`GatewayBot`].
///
/// No text names the token or the host of the API. What the server wrote is escaped, and has a few hundred bytes at most.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GatewayBotError {
    /// The URL of the API cannot be used.
    ApiUrl(UrlError),
    /// The token cannot be used.
    Token(ConfigError),
    /// The server could not be connected to: [`ConnectError::Dns`], [`ConnectError::Tcp`] or [`ConnectError::Tls`].
    Connect(ConnectError),
    /// The connection failed before the answer was whole.
    Io(String),
    /// The answer did not come in time.
    TimedOut,
    /// 401: the token is wrong.
    Unauthorized,
    /// 429: the bot, or its address, has sent too many requests. See
    /// [Discord Docs, Rate Limits](https://discord.com/developers/docs/topics/rate-limits).
    RateLimited {
        /// When to ask again at the earliest: `retry_after` of the body, or the header `Retry-After`. None: the server does not say.
        retry_after: Option<Duration>,
    },
    /// Any other status than 200, also a redirect.
    Status {
        /// The status code.
        status: u16,
        /// `message` of the body, or its beginning.
        message: String,
    },
    /// The body has more than 64 KiB.
    TooLarge,
    /// What came is not the answer of `GET /gateway/bot`.
    Malformed(String),
}

impl GatewayBotRequest {
    /// A request to the API at this URL, `https://` or `http://`: [`DEFAULT_API_URL`], or that of a proxy or a simulator. Its path
    /// stays in front of `/gateway/bot`.
    ///
    /// # Errors
    ///
    /// If URL or token cannot be used.
    pub fn new(api_url: &str, token: &Token) -> Result<Self, GatewayBotError> {
        token.validate().map_err(GatewayBotError::Token)?;
        let url = endpoint(api_url).map_err(GatewayBotError::ApiUrl)?;
        let request = format!(
            "GET {target} HTTP/1.1\r\n\
             Host: {host}\r\n\
             Authorization: Bot {token}\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Accept: application/json\r\n\
             Connection: close\r\n\
             \r\n",
            target = url.path_and_query(),
            host = url.authority(),
            token = token.expose(),
        );
        Ok(Self { url, token: token.clone(), request, response: HttpResponse::new(BODY_BYTES) })
    }

    /// Where to connect: host and port, and whether to speak TLS. Of its scheme and path nothing else is meant.
    pub fn url(&self) -> &GatewayUrl {
        &self.url
    }

    /// What to send, in one piece. It contains the token.
    pub fn request(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Takes what the server sent. None: there must be more to come.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Result<GatewayBot, GatewayBotError>> {
        if let Err(problem) = self.response.push(bytes) {
            return Some(Err(GatewayBotError::Malformed(problem)));
        }
        let end = self.response.end()?;
        Some(self.answer(end))
    }

    /// The result at the end of the stream.
    ///
    /// # Errors
    ///
    /// The error for the answer, or [`GatewayBotError::Io`] if it is incomplete.
    pub fn finish(&mut self) -> Result<GatewayBot, GatewayBotError> {
        match self.response.is_whole_at_eof() {
            true => self.answer(HttpEnd::Whole),
            false => Err(GatewayBotError::Io("the stream ended before the answer was whole".to_owned())),
        }
    }

    /// The error for a connection that could not be opened.
    pub fn connect_failed(&self, mut error: ConnectError) -> GatewayBotError {
        if let ConnectError::Dns(text) | ConnectError::Tcp(text) | ConnectError::Tls(text) = &mut error {
            *text = self.clean(text);
        }
        GatewayBotError::Connect(error)
    }

    /// The error for a connection that failed later.
    pub fn failed(&self, error: &impl fmt::Display) -> GatewayBotError {
        GatewayBotError::Io(self.clean(&error.to_string()))
    }

    fn answer(&mut self, end: HttpEnd) -> Result<GatewayBot, GatewayBotError> {
        let Some(head) = self.response.take_head() else {
            return Err(GatewayBotError::Malformed("there is no answer".to_owned()));
        };
        let body = self.response.take_body();
        match (head.status, end) {
            (200, HttpEnd::Cut) => Err(GatewayBotError::TooLarge),
            (200, HttpEnd::BrokenChunk) => Err(GatewayBotError::Malformed("a chunk is broken".to_owned())),
            (200, HttpEnd::Whole) => json::from_slice(&body)
                .map_err(|error| GatewayBotError::Malformed(self.clean(&error.to_string()))),
            (401, _) => Err(GatewayBotError::Unauthorized),
            (429, _) => Err(GatewayBotError::RateLimited { retry_after: retry_after(&head, &body) }),
            (status, _) => {
                let message = Mistake::read(&body).message;
                let text = message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
                Err(GatewayBotError::Status { status, message: self.clean(&text) })
            }
        }
    }

    fn clean(&self, text: &str) -> String {
        let text = self.url.redact(text);
        Secrets::of(&self.token, &self.url, std::iter::empty()).clean(&text)
    }
}

/// `https://host/path` as the URL of its `/gateway/bot`, with the scheme of a WebSocket: what follows from it is the same.
fn endpoint(api_url: &str) -> Result<GatewayUrl, UrlError> {
    let (scheme, rest) = api_url.trim().split_once("://").ok_or(UrlError::Malformed)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => "wss",
        "http" => "ws",
        _ => return Err(UrlError::Scheme),
    };
    if rest.contains(['?', '#']) {
        return Err(UrlError::Malformed);
    }
    GatewayUrl::parse(&format!("{scheme}://{}/gateway/bot", rest.trim_end_matches('/')))
}

/// An error of the HTTP API, as far as it is read.
#[derive(Default, Deserialize)]
struct Mistake {
    message: Option<String>,
    /// Seconds, with a fraction.
    retry_after: Option<f64>,
}

impl Mistake {
    fn read(body: &[u8]) -> Self {
        json::from_slice(body).unwrap_or_default()
    }
}

/// The body is exact to the millisecond, the header to the second. Before the API, a proxy may answer without such a body.
fn retry_after(head: &HttpHead, body: &[u8]) -> Option<Duration> {
    let of_body = Mistake::read(body).retry_after.and_then(|wait| Duration::try_from_secs_f64(wait).ok());
    of_body.or_else(|| head.header("retry-after").and_then(Refused::parse_retry_after))
}

impl fmt::Debug for GatewayBotRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBotRequest").finish_non_exhaustive()
    }
}

impl fmt::Display for GatewayBotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiUrl(UrlError::Scheme) => {
                f.write_str("the API URL begins with neither `https://` nor `http://`")
            }
            Self::ApiUrl(error) => write!(f, "the API URL cannot be used: {error}"),
            Self::Token(error) => error.fmt(f),
            Self::Connect(error) => write!(f, "the API cannot be reached: {error}"),
            Self::Io(detail) => write!(f, "the connection to the API failed: {}", escape(detail)),
            Self::TimedOut => f.write_str("the API did not answer in time"),
            Self::Unauthorized => f.write_str(
                "the token is wrong; check it, or make a new one in the developer portal (status 401)",
            ),
            Self::RateLimited { retry_after: Some(wait) } => write!(
                f,
                "the API allows no more requests at present; ask again in {:.1} s (status 429)",
                wait.as_secs_f64()
            ),
            Self::RateLimited { retry_after: None } => {
                f.write_str("the API allows no more requests at present; ask again later (status 429)")
            }
            Self::Status { status, message } if message.is_empty() => {
                write!(f, "the API answered with status {status}")
            }
            Self::Status { status, message } => {
                write!(f, "the API answered with status {status}: {}", escape(message))
            }
            Self::TooLarge => f.write_str("the answer of the API is larger than 64 KiB"),
            Self::Malformed(detail) => {
                write!(f, "the answer of the API cannot be understood: {}", escape(detail))
            }
        }
    }
}

/// Its text contains that of the error within, so it has no `source`.
impl std::error::Error for GatewayBotError {}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "MTk4.Cl2FMQ.ZnCjm1XVW7";
    const BODY: &str =
        r#"{"url":"wss://gateway.discord.gg","shards":9,"session_start_limit":{"remaining":7}}"#;

    fn request() -> GatewayBotRequest {
        GatewayBotRequest::new(DEFAULT_API_URL, &Token::new(TOKEN)).unwrap()
    }

    /// Reads an answer whole and byte by byte, up to the end of the stream.
    fn answered(answer: impl AsRef<[u8]>) -> Result<GatewayBot, GatewayBotError> {
        let (mut whole, mut pieces) = (request(), request());
        let result = whole.push(answer.as_ref()).unwrap_or_else(|| whole.finish());
        let by_piece = answer.as_ref().iter().find_map(|byte| pieces.push(&[*byte]));
        assert_eq!(by_piece.unwrap_or_else(|| pieces.finish()), result);
        result
    }

    #[test]
    fn the_request_names_the_endpoint_and_what_asks() {
        for (base, host, target) in [
            (DEFAULT_API_URL, "discord.com", "/api/v10/gateway/bot"),
            ("https://discord.com/api/v10/", "discord.com", "/api/v10/gateway/bot"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/gateway/bot"),
            (" HTTPS://proxy.example:8443/a/b ", "proxy.example:8443", "/a/b/gateway/bot"),
            ("http://[::1]:80/", "[::1]:80", "/gateway/bot"),
        ] {
            let request = GatewayBotRequest::new(base, &Token::new(format!("Bot {TOKEN}"))).unwrap();
            let text = std::str::from_utf8(request.request()).unwrap();
            let expected = format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bot {TOKEN}\r\n\
                 User-Agent: DiscordBot (https://docs.rs/gateway-proto, "
            );
            assert!(text.starts_with(&expected), "{base}: {text}");
            assert!(text.ends_with("\r\n\r\n"));
            assert_eq!(request.url().is_tls(), base.trim().to_ascii_lowercase().starts_with("https"));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_an_error_of_the_caller() {
        let token = Token::new(TOKEN);
        for (url, expected) in [
            ("discord.com/api", UrlError::Malformed),
            ("wss://discord.com/api", UrlError::Scheme),
            ("https://discord.com/api?v=10", UrlError::Malformed),
            ("https://discord.com/a b", UrlError::Malformed),
            ("https://host:0/api", UrlError::Port),
        ] {
            let error = GatewayBotRequest::new(url, &token).unwrap_err();
            assert_eq!(error, GatewayBotError::ApiUrl(expected), "{url}");
        }
        assert!(GatewayBotRequest::new("https://", &token).is_err());
        for token in ["", "Bot", "two words", "line\r\nHost: other"] {
            let error = GatewayBotRequest::new(DEFAULT_API_URL, &Token::new(token)).unwrap_err();
            assert!(matches!(error, GatewayBotError::Token(_)), "{token:?}");
        }
    }

    #[test]
    fn the_answer_is_read_however_it_is_framed() {
        let (start, end) = BODY.split_at(20);
        let chunked = format!("{:x}\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n", start.len(), end.len());
        for answer in [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()),
            format!("HTTP/1.1 200 OK\r\n\r\n{BODY}"),
            format!("HTTP/1.0 200 OK\r\n\r\n{BODY}"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
            format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{BODY}"),
        ] {
            let bot = answered(&answer).unwrap();
            assert_eq!((bot.shards, bot.session_start_limit.remaining), (9, 7), "{answer:?}");
        }
    }

    #[test]
    fn every_failure_has_its_type() {
        type Error = GatewayBotError;
        let limited =
            |seconds: f64| Error::RateLimited { retry_after: Some(Duration::from_secs_f64(seconds)) };
        let status = |status, message: &str| Error::Status { status, message: message.to_owned() };
        for (answer, expected) in [
            ("401 No\r\n\r\n{\"message\": \"401: Unauthorized\"}", Error::Unauthorized),
            ("429 No\r\nRetry-After: 65\r\n\r\n{\"retry_after\": 64.57, \"global\": false}", limited(64.57)),
            ("429 No\r\nRetry-After: 65\r\n\r\n<html>", limited(65.0)),
            ("429 No\r\nRetry-After: 65\r\n\r\n{\"retry_after\": -1}", limited(65.0)),
            ("429 No\r\n\r\n{\"retry_after\": 1e300}", Error::RateLimited { retry_after: None }),
            ("301 Moved\r\nLocation: https://other.example\r\n\r\n", status(301, "")),
            ("204 Nothing\r\n\r\n", status(204, "")),
            ("101 Switching Protocols\r\n\r\n", status(101, "")),
            ("403 No\r\n\r\n{\"message\": \"blocked\\n\"}", status(403, "blocked\\n")),
            ("503 Down\r\n\r\nupstream\u{1b}", status(503, "upstream\\u{1b}")),
            ("503 Down\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\nx\r\n", status(503, "no")),
        ] {
            let result = answered(format!("HTTP/1.1 {answer}"));
            assert_eq!(result, Err(expected), "{answer:?}");
        }
        for (answer, words) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "cannot be understood"),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "cannot be understood"),
            ("HTTP/1.1 200 OK\r\n\r\n{}", "url"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"url\": \"wss://h\", \"shards\": 0}", "expected at least 1 shard"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunk"),
            ("SSH-2.0-server\r\n", "not HTTP"),
        ] {
            let error = answered(answer).unwrap_err();
            assert!(matches!(error, Error::Malformed(_)), "{answer:?}: {error:?}");
            assert!(error.to_string().contains(words), "{answer:?}: {error}");
        }
        for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"] {
            assert!(matches!(answered(cut), Err(Error::Io(_))), "{cut:?}");
        }
    }

    #[test]
    fn an_answer_without_end_is_too_large() {
        let spaces = " ".repeat(BODY_BYTES);
        for head in ["", "Content-Length: 9999999999\r\n", "Transfer-Encoding: chunked\r\n\r\nfffff"] {
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{spaces}");
            assert_eq!(answered(answer), Err(GatewayBotError::TooLarge), "{head:?}");
        }
        let answer = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(10_000));
        assert!(matches!(answered(answer), Err(GatewayBotError::Malformed(_))));
    }

    #[test]
    fn no_error_names_the_token_or_the_host() {
        let echoed = format!("no access for Bot {TOKEN} at DISCORD.com/{}", "x".repeat(1000));
        let in_json = format!("{{\"message\": \"{echoed}\", \"url\": \"{TOKEN}\", \"shards\": \"{TOKEN}\"}}");
        let mut errors = vec![
            request().connect_failed(ConnectError::Dns(echoed.clone())),
            request().connect_failed(ConnectError::Tls(echoed.clone())),
            request().failed(&echoed),
        ];
        for status in [200, 401, 403, 429, 500] {
            for body in [&echoed, &in_json] {
                errors.push(answered(format!("HTTP/1.1 {status} {TOKEN}\r\n\r\n{body}")).unwrap_err());
                errors
                    .push(answered(format!("HTTP/1.1 {status} No\r\n{TOKEN}: {TOKEN}\r\n\r\n")).unwrap_err());
            }
        }
        for error in errors {
            for text in [error.to_string(), format!("{error:?}")] {
                assert!(!text.contains("Cl2FMQ") && !text.to_lowercase().contains("discord.com"), "{text}");
                assert!(text.len() < 500, "{text}");
            }
        }
        assert_eq!(format!("{:?}", request()), "GatewayBotRequest { .. }");
    }
}
