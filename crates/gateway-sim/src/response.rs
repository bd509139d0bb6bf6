//! HTTP responses.

use serde_json::{Value, json};

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers besides `Content-Type` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// `application/json` unless changed: some clients compare it byte for byte.
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

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A client error with a sentence as its message.
    pub(crate) fn client_error(status: u16, sentence: &str) -> Self {
        Self::json(status, &json!({"message": sentence, "code": 0}))
    }
}
