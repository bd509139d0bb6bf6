//! Persists the session starts of a day for the next process.

use std::io;
use std::path::PathBuf;

use gateway_proto::codec::{self, Encoding, RawRef};
use gateway_proto::identify::IdentifySnapshot;

use crate::atomic_file::{PrivateFiles, unusable};

/// Persists the session starts of the last 24 hours, so that restarts cannot spend more than the daily limit.
///
/// The methods may block: a [`LocalIdentifyGate`](crate::gate::LocalIdentifyGate) calls [`save`](Self::save) on its own
/// thread before it grants a permit. Only one process at a time may use a store.
pub trait IdentifyStore: Send + Sync + 'static {
    /// The snapshot that was saved last. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read. An empty store is no error.
    fn load(&self) -> io::Result<Option<IdentifySnapshot>>;

    /// Saves a snapshot in place of the last one. After a crash at any point the store contains the old one or the new
    /// one, complete.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The last one is then still stored.
    fn save(&self, snapshot: &IdentifySnapshot) -> io::Result<()>;
}

/// Persists the session starts in a file, as JSON.
///
/// The file is created, locked and replaced as those of a [`FileSessionStore`](crate::store::FileSessionStore). A second
/// process that would spend the same session starts gets an error. Gates of one process may share a store, or open it
/// more than once.
#[derive(Debug, Clone)]
pub struct FileIdentifyStore {
    path: PathBuf,
    files: PrivateFiles,
}

impl FileIdentifyStore {
    /// A store in this file. Its folder is created if it does not exist.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: PrivateFiles::default() }
    }
}

impl IdentifyStore for FileIdentifyStore {
    fn load(&self) -> io::Result<Option<IdentifySnapshot>> {
        let Some(text) = self.files.read(&self.path)? else { return Ok(None) };
        RawRef::new(&text, Encoding::Json)
            .decode()
            .map(Some)
            .map_err(|_| unusable(&self.path, "holds no session starts"))
    }

    fn save(&self, snapshot: &IdentifySnapshot) -> io::Result<()> {
        let text = codec::encode(snapshot, Encoding::Json).map_err(io::Error::other)?;
        self.files.replace(&self.path, &text)
    }
}
