//! The session, which survives a connection, and its stored form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Delivery;
use crate::dispatch_key::SessionKey;
use crate::{GatewayUrl, ShardId};

/// The session as the state machine holds it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: Box<str>,
    /// The resume URL. `None` if READY had no usable one.
    pub(crate) resume_url: Option<GatewayUrl>,
    /// The newest sequence number received.
    pub(crate) sequence: u64,
    /// The newest sequence number that the application has acknowledged.
    pub(crate) acknowledged: u64,
    /// The session's part of the keys of its dispatches.
    pub(crate) key: SessionKey,
    /// A resume URL of READY, or of a snapshot, that cannot be used. Kept as a secret to remove from texts.
    pub(crate) unusable_url: Option<Box<str>>,
}

impl Session {
    pub(crate) fn new(id: String, resume_url: Option<GatewayUrl>, sequence: u64, acknowledged: u64) -> Self {
        let key = SessionKey::of(&id);
        Self { id: id.into(), resume_url, sequence, acknowledged, key, unusable_url: None }
    }

    /// The sequence number to resume from.
    pub(crate) fn resume_from(&self, delivery: Delivery) -> u64 {
        match delivery {
            Delivery::Received => self.sequence,
            Delivery::Acknowledged => self.acknowledged,
        }
    }
}

/// The longest session id that is accepted, in bytes. Resume has to fit into a message.
const LONGEST_SESSION_ID: usize = 512;

pub(crate) fn is_usable_session_id(id: &str) -> bool {
    (1..=LONGEST_SESSION_ID).contains(&id.len())
}

/// The session id in READY.
#[derive(Deserialize)]
pub(crate) struct SessionId {
    pub(crate) session_id: String,
}

/// The resume URL in READY.
#[derive(Deserialize)]
pub(crate) struct ResumeUrl {
    pub(crate) resume_gateway_url: String,
}

/// Everything that a later process needs to resume a session. It contains secrets: store it accordingly.
///
/// "You should store the `session_id`, the `resume_gateway_url`, and the last sequence number"
/// (Discord Docs, Gateway > Preparing to Resume).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct SessionSnapshot {
    pub(crate) session_id: String,
    pub(crate) resume_url: Option<String>,
    pub(crate) sequence: u64,
    pub(crate) shard: ShardId,
}

impl SessionSnapshot {
    /// A snapshot from parts that were stored by other means.
    pub fn new(session_id: String, resume_url: Option<String>, sequence: u64, shard: ShardId) -> Self {
        Self { session_id, resume_url, sequence, shard }
    }

    /// The sequence number to resume from.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The shard that the session belongs to.
    pub fn shard(&self) -> ShardId {
        self.shard
    }
}

/// Prints no secrets.
impl fmt::Debug for SessionSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSnapshot")
            .field("sequence", &self.sequence)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

/// The version in stored snapshots.
const VERSION: u32 = 1;

/// The stored form of a snapshot.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    session_id: String,
    resume_gateway_url: Option<String>,
    sequence: u64,
    shard: ShardId,
}

impl From<SessionSnapshot> for Stored {
    fn from(snapshot: SessionSnapshot) -> Self {
        Self {
            version: VERSION,
            session_id: snapshot.session_id,
            resume_gateway_url: snapshot.resume_url,
            sequence: snapshot.sequence,
            shard: snapshot.shard,
        }
    }
}

impl TryFrom<Stored> for SessionSnapshot {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        if stored.version != VERSION {
            return Err(format!("session snapshot of version {}, not {VERSION}", stored.version));
        }
        if stored.session_id.is_empty() {
            return Err("session snapshot without a session id".to_owned());
        }
        Ok(Self {
            session_id: stored.session_id,
            resume_url: stored.resume_gateway_url,
            sequence: stored.sequence,
            shard: stored.shard,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> SessionSnapshot {
        let url = Some("wss://secret.example".to_owned());
        SessionSnapshot::new("secret-id".to_owned(), url, 42, ShardId::new(1, 4).unwrap())
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was() {
        let text = serde_json::to_string(&snapshot()).unwrap();
        assert!(text.contains("\"version\":1"), "{text}");
        assert_eq!(serde_json::from_str::<SessionSnapshot>(&text).unwrap(), snapshot());
    }

    #[test]
    fn other_versions_and_empty_ids_are_refused() {
        let text = serde_json::to_string(&snapshot()).unwrap();
        let newer = text.replace("\"version\":1", "\"version\":2");
        let error = serde_json::from_str::<SessionSnapshot>(&newer).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        assert!(serde_json::from_str::<SessionSnapshot>(&text.replace("secret-id", "")).is_err());
    }

    #[test]
    fn debug_keeps_the_secrets() {
        assert!(!format!("{:?}", snapshot()).contains("secret"));
    }
}
