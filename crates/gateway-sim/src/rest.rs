//! The few answers of the HTTP API that a bot asks for before it connects.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::response::Response;
use crate::shapes::people;

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
