//! What happened so far, in numbers.

use std::collections::BTreeMap;

/// What happened so far, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Upgrade requests.
    pub connects: u64,
    /// Upgrade requests at the URL for Resume, if that is another.
    pub resume_url_connects: u64,
    /// Identifies, accepted or not.
    pub identifies: u64,
    /// Identifies answered with READY.
    pub readies: u64,
    /// Resumes, accepted or not.
    pub resumes: u64,
    /// Resumes answered with RESUMED.
    pub resumed: u64,
    /// Resumes that took a session from a connection that was still open.
    pub resumed_while_old_open: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Dispatches numbered, replays not counted.
    pub dispatches: u64,
    /// Dispatches sent again by a replay.
    pub replayed: u64,
    /// op 9 sent.
    pub invalid_sessions: u64,
    /// Commands answered or taken (ops 3, 4, 8, 31, 43).
    pub commands: u64,
    /// Close frames that clients began, by code; 1005 stands for none.
    pub client_closes: BTreeMap<u16, u64>,
    /// Close frames that the gateway began, by code; 1005 stands for none.
    pub server_closes: BTreeMap<u16, u64>,
}
