//! No log line contains the token, session id or resume URL, at any level.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

mod raw_support;

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use raw_support::config;
use raw_support::peer::{Peer, READY, Stage};
use raw_support::wire::{PING, frame, text};

/// Every log line of this process, except those of the test's server, which uses tungstenite.
struct Recorder {
    lines: Mutex<Vec<String>>,
}

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if !record.target().starts_with("tungstenite") {
            self.lines.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static RECORDER: Recorder = Recorder { lines: Mutex::new(Vec::new()) };

#[test]
fn no_log_line_contains_a_secret() {
    log::set_logger(&RECORDER).unwrap();
    log::set_max_level(LevelFilter::Trace);
    log::trace!("recorded");
    let config = config();
    let secrets = ["simulated-token", r#""session_id":"abc""#, "resume.gateway.example"];
    assert!(secrets[1..].iter().all(|secret| READY.contains(secret)));
    for one_byte in [false, true] {
        let mut peer = Peer::at(Stage::Ready, config.clone());
        peer.one_byte = one_byte;
        peer.bytes(&frame(0x80 | PING, b"are you there"));
        // A Resume, and READY again, in fragments.
        peer.bytes(&text(r#"{"op":7,"d":null}"#));
        peer.bytes(&frame(0x88, &4000_u16.to_be_bytes()));
        while peer.connects.len() < 2 {
            peer.wait();
        }
        peer.bring_to(Stage::Open);
        let (first, second) = READY.split_at(40);
        peer.bytes(&[frame(0x01, first.as_bytes()), frame(0x80, second.as_bytes())].concat());
    }
    log::set_max_level(LevelFilter::Off);
    let lines = RECORDER.lines.lock().unwrap();
    let dump = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(lines.iter().any(|line| line == "recorded"), "the recorder sees what is logged");
    for secret in secrets {
        for line in lines.iter() {
            assert!(!line.contains(secret) && !line.contains(&dump(secret)), "{line}");
        }
    }
}
