//! Worlds that once broke a rule, shrunk, each named after what was wrong. The last line of each file says how it showed.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use gateway_world::{Transcript, over_messages};

fn holds(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found").join(name).with_extension("jsonl");
    let transcript = Transcript::read(BufReader::new(File::open(path).unwrap())).unwrap();
    assert!(transcript.case.faults() > 0);
    let outcome = transcript.case.run(over_messages, || 0);
    assert_eq!(outcome.violation, None, "as before: {}", transcript.violation);
}

/// The server lost an Identify and went on acknowledging heartbeats: READY was waited for without end.
#[test]
fn an_identify_that_is_never_answered() {
    holds("an_identify_that_is_never_answered");
}

/// RESUMED came while the connection was closing, after the fifth Resume had been given up and the session forgotten.
#[test]
fn resumed_after_the_session_was_given_up() {
    holds("resumed_after_the_session_was_given_up");
}

/// Reading was paused while READY was due: the deadline stayed in the past, and the driver spun.
#[test]
fn a_pause_over_a_timeout() {
    holds("a_pause_over_a_timeout");
}

/// Fifty shards whose Identifies all fail spent a day's session starts in hours.
#[test]
fn a_brownout_of_identifies() {
    holds("a_brownout_of_identifies");
}

/// The server asked for heartbeats without end while the permit was waited for: Identify had no place of its own.
#[test]
fn an_identify_after_a_flood_of_requests() {
    holds("an_identify_after_a_flood_of_requests");
}
