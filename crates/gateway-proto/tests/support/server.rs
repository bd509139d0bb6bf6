//! The messages of the scripted server, in JSON.

use super::{INTERVAL, RESUME_URL, SESSION};

pub(crate) fn hello() -> String {
    hello_with(INTERVAL.as_millis() as u64)
}

pub(crate) fn hello_with(interval_ms: u64) -> String {
    format!(r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{interval_ms},"_trace":["x"]}}}}"#)
}

pub(crate) fn ready() -> String {
    ready_with(&format!(r#""session_id":"{SESSION}","resume_gateway_url":"{RESUME_URL}""#))
}

/// READY with these fields in `d`.
pub(crate) fn ready_with(fields: &str) -> String {
    format!(r#"{{"t":"READY","s":1,"op":0,"d":{{"v":10,{fields}}}}}"#)
}

pub(crate) fn resumed(sequence: u64) -> String {
    format!(r#"{{"t":"RESUMED","s":{sequence},"op":0,"d":null}}"#)
}

pub(crate) fn dispatch(name: &str, sequence: u64) -> String {
    format!(r#"{{"t":"{name}","s":{sequence},"op":0,"d":{{"id":"1"}}}}"#)
}

pub(crate) fn message(sequence: u64) -> String {
    dispatch("MESSAGE_CREATE", sequence)
}

pub(crate) fn acknowledgement() -> String {
    r#"{"t":null,"s":null,"op":11,"d":null}"#.to_owned()
}

pub(crate) fn heartbeat_request() -> String {
    r#"{"t":null,"s":null,"op":1,"d":null}"#.to_owned()
}

pub(crate) fn reconnect() -> String {
    r#"{"t":null,"s":null,"op":7,"d":null}"#.to_owned()
}

pub(crate) fn invalid_session(resumable: bool) -> String {
    format!(r#"{{"t":null,"s":null,"op":9,"d":{resumable}}}"#)
}
