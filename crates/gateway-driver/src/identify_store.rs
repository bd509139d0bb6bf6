//! Where the session starts of a day are kept from one process to the next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gateway_proto::IdentifySnapshot;
use gateway_proto::codec::{self, Encoding, RawRef};
use serde::{Deserialize, Serialize};

use crate::atomic_file::{Files, unusable};

/// Keeps the session starts of the last 24 hours, so that no number of restarts spends more than a day has.
///
/// The methods may block: a [`LocalIdentifyGate`](crate::LocalIdentifyGate) calls [`save`](Self::save) on a thread of its
/// own, before it gives a permit. One process at a time may use a store.
pub trait IdentifyStore: Send + Sync + 'static {
    /// What was kept last. None: nothing.
    ///
    /// # Errors
    ///
    /// Where it cannot be read. A store that holds nothing yet is no error.
    fn load(&self) -> io::Result<Option<KeptIdentifies>>;

    /// Keeps this in place of the last. After a crash at any point there is either the old one or the new one, whole.
    ///
    /// # Errors
    ///
    /// Where it cannot be written. What was kept before is still there.
    fn save(&self, identifies: &KeptIdentifies) -> io::Result<()>;
}

/// The session starts of the last 24 hours, and when that was written. Serializes; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptIdentifies {
    #[serde(flatten)]
    starts: IdentifySnapshot,
    /// Milliseconds since the beginning of 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written_at: Option<u64>,
}

impl KeptIdentifies {
    /// What a gate knows, and the wall clock as the time since the beginning of 1970, if there is one.
    pub fn new(starts: IdentifySnapshot, wall_clock: Option<Duration>) -> Self {
        Self { starts, written_at: wall_clock.and_then(|clock| u64::try_from(clock.as_millis()).ok()) }
    }

    /// The session starts.
    pub fn starts(&self) -> &IdentifySnapshot {
        &self.starts
    }

    /// How much older they have become, by the wall clock. Zero, so that they count for longer than they need to, where
    /// there was no clock then, or is none now, or it was set back.
    ///
    /// A clock that was set forward in between makes them count for less. A machine that may wake up with a wrong clock
    /// should have none here.
    pub fn elapsed(&self, wall_clock: Option<Duration>) -> Duration {
        match (self.written_at, wall_clock) {
            (Some(written_at), Some(clock)) => clock.saturating_sub(Duration::from_millis(written_at)),
            _ => Duration::ZERO,
        }
    }
}

/// Keeps the session starts in a file, as JSON.
///
/// Its file is made, locked and replaced as those of a [`FileSessionStore`](crate::FileSessionStore) are: a second process that
/// would spend the same session starts gets an error; several gates of one process may share one, or open it again.
#[derive(Debug, Clone)]
pub struct FileIdentifyStore {
    path: PathBuf,
    files: Files,
}

impl FileIdentifyStore {
    /// This file. Its folder is made if there is none.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: Files::default() }
    }
}

impl IdentifyStore for FileIdentifyStore {
    fn load(&self) -> io::Result<Option<KeptIdentifies>> {
        let Some(text) = self.files.read(&self.path)? else { return Ok(None) };
        RawRef::new(&text, Encoding::Json)
            .decode()
            .map(Some)
            .map_err(|_| unusable(&self.path, "holds no session starts"))
    }

    fn save(&self, identifies: &KeptIdentifies) -> io::Result<()> {
        let text = codec::encode(identifies, Encoding::Json).map_err(io::Error::other)?;
        self.files.replace(&self.path, &text)
    }
}
