//! Outputs as text.

use gateway_proto::{Event, Message, Output};

pub(crate) fn output(output: &Output) -> String {
    match output {
        Output::Connect(url) => format!("connect {}", url.expose()),
        Output::AcquireIdentify => "acquire identify".to_owned(),
        Output::CancelIdentify => "cancel identify".to_owned(),
        Output::Send(Message::Text(text)) => format!("send {}", String::from_utf8_lossy(text)),
        Output::Send(Message::Binary(bytes)) => format!("send {}", hex(bytes)),
        Output::Event(event) => self::event(event),
        Output::Close(frame) => format!("close {} {}", frame.code, frame.reason),
        Output::Disconnect => "disconnect".to_owned(),
        Output::Timeout(_) => "timeout".to_owned(),
        Output::Stopped(reason) => format!("stopped: {reason}"),
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::Connecting { resuming: false, attempt } => format!("connecting, attempt {attempt}"),
        Event::Connecting { resuming: true, attempt } => format!("connecting to resume, attempt {attempt}"),
        Event::Connected => "connected".to_owned(),
        Event::Hello { heartbeat_interval } => format!("hello {heartbeat_interval:?}"),
        Event::Identifying => "identifying".to_owned(),
        Event::Resuming { sequence } => format!("resuming from {sequence}"),
        Event::Dispatch(dispatch) => match dispatch.sequence() {
            Some(sequence) => format!("dispatch {} {sequence}", dispatch.name()),
            None => format!("dispatch {}", dispatch.name()),
        },
        Event::Ready => "ready".to_owned(),
        Event::Resumed { replayed } => format!("resumed, {replayed} replayed"),
        Event::HeartbeatAcknowledged { latency, .. } => format!("acknowledged after {latency:?}"),
        Event::Disconnected(end) => {
            let session = if end.resumable { "resumable" } else { "no session" };
            match end.retry_in {
                Some(wait) => format!("disconnected: {}; {session}; retry in {wait:?}", end.reason),
                None => format!("disconnected: {}; {session}; for good", end.reason),
            }
        }
        Event::Unknown(unknown) => format!("unknown op {}", unknown.op),
        Event::Notice(notice) => format!("notice {notice:?}"),
        other => format!("{other:?}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
