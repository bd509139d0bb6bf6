//! Where sessions are kept from one process to the next.

use std::io;
use std::path::PathBuf;

use gateway_proto::ShardId;
use gateway_proto::codec::{self, Encoding, RawRef};
use gateway_proto::session::SessionSnapshot;

use crate::atomic_file::{PrivateFiles, unusable};

/// Keeps sessions. What it holds is as secret as the token.
///
/// The methods may block: a [`SessionKeeper`](crate::store::SessionKeeper) calls them on a thread of its own.
pub trait SessionStore: Send + Sync + 'static {
    /// The session that was kept last for a shard. None: there is none.
    ///
    /// # Errors
    ///
    /// Where it cannot be read. A session that is not there is no error.
    fn load(&self, shard: ShardId) -> io::Result<Option<SessionSnapshot>>;

    /// Keeps a shard's session in place of the last one. After a crash at any point there is either the old one or the
    /// new one, whole. None: it is over, and nothing is kept.
    ///
    /// # Errors
    ///
    /// Where it cannot be written. What was kept before is still there.
    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()>;
}

/// Keeps each session in a file of its own, as JSON, readable for its owner only.
///
/// Crash-safe: a session is written to a new temporary file, synced, renamed over the old one, and the folder is synced. What a
/// crash leaves of a temporary file is removed when the session is next loaded or saved by a new process.
///
/// # One process at a time
///
/// The first load or save of a shard's session locks it against other processes, by way of a file whose name ends in `.lock`.
/// The lock is held until the store and its clones are dropped, or the process ends in whatever way; the empty file stays. A
/// second process gets an error that says so ([`io::ErrorKind::ResourceBusy`]). Stores of one process share the lock, so a
/// session may be opened twice in it, and again after a store was dropped. Processes with different shards may share a folder.
///
/// # Errors
///
/// They name the path and say what to do. A folder that is not there is made, for its owner only (0700); where that fails,
/// `load` says so. A symbolic link, a folder, a pipe or a device in the place of a file is an error, and is not waited for.
///
/// # Windows
///
/// There are no modes there: files and folders inherit the access rights of the folder that they are in. Choose one that only
/// the bot's user may open. The folder itself is not synced, so a loss of power may bring back the session before. Locks hold as they
/// do elsewhere; that of a process that was killed is released by the system, which may take a moment.
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
    /// A file for each shard, `shard-ID-COUNT.json`, in a folder, which is made if there is none.
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
        // What is in the file is not told: it is a secret, or was one.
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
