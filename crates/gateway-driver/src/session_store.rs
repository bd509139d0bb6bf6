//! Stores sessions for the next process.

use std::io;
use std::path::PathBuf;

use gateway_proto::ShardId;
use gateway_proto::codec::{self, Encoding, RawRef};
use gateway_proto::session::SessionSnapshot;

use crate::atomic_file::{PrivateFiles, unusable};

/// Stores sessions. Its content is as secret as the token.
///
/// The methods may block: a [`SessionKeeper`](crate::store::SessionKeeper) calls them on its own thread.
pub trait SessionStore: Send + Sync + 'static {
    /// The session that was stored last for a shard. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read. A missing session is no error.
    fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>>;

    /// Stores a shard's session in place of the last one. After a crash at any point the store contains the old one or
    /// the new one, complete. `None`: the session has ended; removes the stored one.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The last one is then still stored.
    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()>;
}

/// Stores each session in a file of its own, as JSON, readable by its owner only.
///
/// Crash-safe: a session is written to a new temporary file, synced, renamed over the old one, and the folder is synced.
/// A new process removes temporary files that a crash has left when it first loads or saves the session.
///
/// # One process at a time
///
/// The first load or save of a shard's session locks it against other processes, with a file whose name ends in `.lock`.
/// The lock is held until the store and its clones are dropped, or the process ends for any reason; the empty file stays.
/// A second process gets an error that says so ([`io::ErrorKind::ResourceBusy`]). Stores of one process share the lock,
/// so one process may open a session more than once, and again after a store was dropped. Processes with different shards
/// may share a folder.
///
/// # Errors
///
/// Errors name the path and the remedy. A folder that does not exist is created, accessible to its owner only (0700); if
/// that fails, `load` returns the error. A symbolic link, a folder, a pipe or a device in place of a file is an error,
/// and does not block.
///
/// # Windows
///
/// Windows has no file modes: files and folders inherit the access rights of their folder. Choose one that only the bot's
/// user may open. The folder itself is not synced, so the previous session may reappear after a power loss. Locks work as
/// on other systems; the system releases that of a killed process, possibly after a delay.
#[derive(Debug, Clone)]
pub struct FileSessionStore {
    place: Place,
    files: PrivateFiles,
}

#[derive(Debug, Clone)]
enum Place {
    /// `shard-ID-COUNT.json` in this folder.
    Folder(PathBuf),
    /// This file.
    File(PathBuf),
}

impl FileSessionStore {
    /// A file for each shard, `shard-ID-COUNT.json`, in a folder. The folder is created if it does not exist.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { place: Place::Folder(folder.into()), files: PrivateFiles::default() }
    }

    /// One file, for a bot of one shard.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { place: Place::File(file.into()), files: PrivateFiles::default() }
    }

    fn path(&self, shard: ShardId) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.join(format!("shard-{}-{}.json", shard.id(), shard.count())),
            Place::File(file) => file.clone(),
        }
    }
}

impl SessionStore for FileSessionStore {
    fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>> {
        let path = self.path(shard);
        let Some(text) = self.files.read(&path)? else { return Ok(None) };
        // The error does not contain the content of the file, which may be a secret.
        RawRef::new(&text, Encoding::Json).decode().map(Some).map_err(|_| unusable(&path, "holds no session"))
    }

    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()> {
        let path = self.path(shard);
        match session {
            Some(session) => {
                let text = codec::encode(session, Encoding::Json).map_err(io::Error::other)?;
                self.files.replace(&path, &text)
            }
            None => self.files.remove(&path),
        }
    }
}
