//! The few answers of the HTTP API that a bot asks for before it connects.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::shapes::people;

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers besides `Content-Type` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// `application/json` exactly, unless changed: some clients compare it byte for byte.
    pub content_type: String,
}

impl Response {
    /// A response with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { body: body.to_string(), ..Self::empty(status) }
    }

    /// A response with an empty body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), content_type: "application/json".to_owned() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A mistake of the caller, in a sentence.
    pub(crate) fn mistake(status: u16, sentence: &str) -> Self {
        Self::json(status, &json!({"message": sentence, "code": 0}))
    }
}

impl Gateway {
    /// Answers a GET of the HTTP API: `…/gateway`, `…/gateway/bot`, `…/users/@me`, `…/oauth2/applications/@me` and
    /// `…/applications/@me`, with any version prefix ("Discord Docs, Gateway > Get Gateway Bot").
    ///
    /// `authorization` is the value of that header.
    pub fn rest(&self, path: &str, authorization: Option<&str>) -> Response {
        let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
        if path.ends_with("/gateway") {
            return Response::json(200, &json!({"url": self.config().url}));
        }
        let answer = if path.ends_with("/gateway/bot") {
            self.gateway_bot()
        } else if path.ends_with("/applications/@me") {
            people::application()
        } else if path.ends_with("/users/@me") {
            people::own_user()
        } else {
            return Response::mistake(404, "404: Not Found");
        };
        let authorized = authorization
            .and_then(|value| value.strip_prefix("Bot "))
            .is_some_and(|token| self.config().accepts(token));
        if authorized { Response::json(200, &answer) } else { Response::mistake(401, "401: Unauthorized") }
    }

    fn gateway_bot(&self) -> Value {
        let (remaining, reset_after) = self.session_starts();
        json!({
            "url": self.config().url,
            "shards": self.config().recommended_shards,
            "session_start_limit": {
                "total": self.config().session_starts,
                "remaining": remaining,
                "reset_after": u64::try_from(reset_after.as_millis()).unwrap_or(u64::MAX),
                "max_concurrency": self.config().max_concurrency,
            },
        })
    }
}
