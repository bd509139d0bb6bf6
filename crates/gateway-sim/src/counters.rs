//! Counters of a gateway.

use std::collections::BTreeMap;

/// Counters of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Upgrade requests.
    pub connects: u64,
    /// Upgrade requests at a separate URL for Resume.
    pub resume_url_connects: u64,
    /// Identifies, accepted or not.
    pub identifies: u64,
    /// Identifies answered with READY.
    pub readies: u64,
    /// Resumes, accepted or not.
    pub resumes: u64,
    /// Resumes answered with RESUMED.
    pub resumed: u64,
    /// Resumes that took over a session whose connection was still open.
    pub resumed_while_old_open: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Numbered dispatches, without replays.
    pub dispatches: u64,
    /// Dispatches that were sent again in a replay.
    pub replayed: u64,
    /// Opcodes 9 sent.
    pub invalid_sessions: u64,
    /// Commands handled (opcodes 3, 4, 8, 31, 43).
    pub commands: u64,
    /// Close frames that clients sent first, by code; 1005 for none.
    pub client_closes: BTreeMap<u16, u64>,
    /// Close frames that the gateway sent first, by code; 1005 for none.
    pub server_closes: BTreeMap<u16, u64>,
}
