//! No printable text contains the token, session id or resume URL.

mod support;

use std::sync::Mutex;

use gateway_driver::proto::Shutdown;
use gateway_driver::proto::disconnect::DisconnectReason;
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use support::clock::Dial;
use support::{Client, POLLED, RESUME_HOST, SESSION_ID, TOKEN, config};

fn assert_clean(what: &str, text: &str) {
    for secret in [TOKEN, SESSION_ID, RESUME_HOST] {
        assert!(!text.contains(secret), "{what}: {text}");
    }
}

/// Every log line while a shard is polled. The test's server uses tungstenite, which logs everything.
struct Recorder {
    lines: Mutex<Vec<(String, String)>>,
}

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if !POLLED.get() {
            return;
        }
        let line = (record.target().to_owned(), record.args().to_string());
        self.lines.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

static RECORDER: Recorder = Recorder { lines: Mutex::new(Vec::new()) };

/// A whole session: identify, lose the connection in several ways, resume, fail to reach the resume URL, log off.
fn live() -> Client {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    client
        .shard
        .sender()
        .send(gateway_driver::proto::Command::RequestSoundboardSounds {
            guild_ids: vec![gateway_driver::proto::Snowflake(1)],
        })
        .unwrap();
    client.settle();
    server.close(4000, "unknown error");
    let (server, _) = client.connect_and_resume();
    client.runtime.plan(Dial::Fail(std::io::Error::other(format!("cannot reach {RESUME_HOST}:80"))));
    server.end.reset();
    let (mut server, _) = client.connect_and_resume();
    server.send(json!({"op": 9, "d": true, "s": null, "t": null}));
    client.settle();
    server.expect_close();
    client.connect_and_resume();
    client.shard.shutdown(Shutdown::Resumable);
    client.settle();
    client
}

#[test]
fn no_printable_text_contains_a_secret() {
    log::set_logger(&RECORDER).unwrap();
    log::set_max_level(LevelFilter::Trace);
    POLLED.set(true);
    log::trace!("recorded");
    POLLED.set(false);
    let client = live();
    log::set_max_level(LevelFilter::Off);

    let failed = |reason: &DisconnectReason| matches!(reason, DisconnectReason::ConnectFailed(_));
    assert!(client.disconnects().iter().any(failed), "the resume URL could not be reached once");
    for event in &client.events {
        assert_clean("an event", &format!("{event:?}"));
    }
    for reason in client.disconnects() {
        assert_clean("a reason", &reason.to_string());
    }
    assert_clean("the shard", &format!("{:?} {:?}", client.shard, client.shard.sender()));
    assert_clean("health and stats", &format!("{:?} {:?}", client.shard.health(), client.shard.stats()));
    assert_clean("the session", &format!("{:?}", client.shard.session()));

    let lines = RECORDER.lines.lock().unwrap();
    assert!(lines.iter().any(|(_, line)| line == "recorded"), "the recorder sees what is logged");
    for (target, line) in lines.iter() {
        assert_clean(&format!("a log line of {target}"), line);
    }
}
