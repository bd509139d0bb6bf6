//! The answers of the HTTP API that a bot requests before it connects.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Config;
use crate::response::Response;
use crate::shapes::people;

/// Answers a GET. `session_starts` holds the number of remaining starts and the time until the limit is reset.
pub(crate) fn answer(
    path: &str,
    authorization: Option<&str>,
    config: &Config,
    session_starts: (u32, Duration),
) -> Response {
    let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
    if path.ends_with("/gateway") {
        return Response::json(200, &json!({"url": config.url}));
    }
    let answer = if path.ends_with("/gateway/bot") {
        gateway_bot(config, session_starts)
    } else if path.ends_with("/applications/@me") {
        people::application()
    } else if path.ends_with("/users/@me") {
        people::own_user()
    } else {
        return Response::client_error(404, "404: Not Found");
    };
    let authorized =
        authorization.and_then(|value| value.strip_prefix("Bot ")).is_some_and(|token| config.accepts(token));
    if authorized { Response::json(200, &answer) } else { Response::client_error(401, "401: Unauthorized") }
}

fn gateway_bot(config: &Config, (remaining, reset_after): (u32, Duration)) -> Value {
    json!({
        "url": config.url,
        "shards": config.recommended_shards,
        "session_start_limit": {
            "total": config.session_starts,
            "remaining": remaining,
            "reset_after": u64::try_from(reset_after.as_millis()).unwrap_or(u64::MAX),
            "max_concurrency": config.max_concurrency,
        },
    })
}
