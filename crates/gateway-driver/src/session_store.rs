//! Where sessions are kept from one process to the next.

use std::io;
use std::path::PathBuf;

use gateway_proto::codec::{self, Encoding, RawRef};
use gateway_proto::{SessionSnapshot, ShardId};

use crate::atomic_file;

/// Keeps sessions. What it holds is as secret as the token.
///
/// The methods may block: a [`SessionKeeper`](crate::SessionKeeper) calls them on a thread of its own.
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
/// Crash-safe: a session is written to a temporary file, synced, renamed over the old one, and the folder is synced.
#[derive(Debug, Clone)]
pub struct FileSessionStore {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// `shard-ID-COUNT.json` in this folder.
    Folder(PathBuf),
    /// This file.
    File(PathBuf),
}

impl FileSessionStore {
    /// A file for each shard, `shard-ID-COUNT.json`, in a folder that exists.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { place: Place::Folder(folder.into()) }
    }

    /// One file, for a bot of one shard.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { place: Place::File(file.into()) }
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
        let Some(text) = atomic_file::read(&self.path(shard))? else { return Ok(None) };
        // What is in the file is not told: it is a secret, or was one.
        let unusable = |_| io::Error::new(io::ErrorKind::InvalidData, "the file holds no session");
        RawRef::new(&text, Encoding::Json).decode().map(Some).map_err(unusable)
    }

    fn save(&self, shard: ShardId, session: Option<&SessionSnapshot>) -> io::Result<()> {
        let path = self.path(shard);
        match session {
            Some(session) => {
                let text = codec::encode(session, Encoding::Json).map_err(io::Error::other)?;
                atomic_file::replace(&path, &text)
            }
            None => atomic_file::remove(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn session(sequence: u64) -> SessionSnapshot {
        SessionSnapshot::new("secret-session".to_owned(), None, sequence, ShardId::ONE)
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gateway-driver-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> Vec<String> {
            let files = fs::read_dir(&self.0).unwrap();
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn sessions_come_back_and_go() {
        let folder = Folder::new("store");
        let store = FileSessionStore::in_folder(&folder.0);
        let other = ShardId::new(1, 2).unwrap();
        assert_eq!(store.load(ShardId::ONE).unwrap(), None);
        store.save(ShardId::ONE, Some(&session(7))).unwrap();
        store.save(ShardId::ONE, Some(&session(8))).unwrap();
        assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(8)));
        assert_eq!(store.load(other).unwrap(), None);
        assert_eq!(folder.files(), ["shard-0-1.json"], "no temporary file is left");
        store.save(ShardId::ONE, None).unwrap();
        store.save(ShardId::ONE, None).unwrap();
        assert!(folder.files().is_empty());
    }

    /// A crash before the rename leaves a temporary file, whole or not: the old session is there and is used.
    #[test]
    fn a_crash_while_writing_costs_nothing() {
        let folder = Folder::new("crash");
        let store = FileSessionStore::in_file(folder.0.join("session.json"));
        store.save(ShardId::ONE, Some(&session(7))).unwrap();
        fs::write(folder.0.join("session.json.tmp"), b"{\"version\":1,\"sess").unwrap();
        assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(7)));
        store.save(ShardId::ONE, Some(&session(8))).unwrap();
        assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(8)));
    }

    #[test]
    fn errors_tell_nothing_of_the_content() {
        let folder = Folder::new("errors");
        let store = FileSessionStore::in_file(folder.0.join("session.json"));
        fs::write(folder.0.join("session.json"), b"{\"session_id\": \"secret\"}").unwrap();
        let error = store.load(ShardId::ONE).unwrap_err();
        assert_eq!(error.to_string(), "the file holds no session");
        assert!(FileSessionStore::in_folder("/nonexistent").save(ShardId::ONE, Some(&session(1))).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("mode");
        FileSessionStore::in_folder(&folder.0).save(ShardId::ONE, Some(&session(1))).unwrap();
        let mode = fs::metadata(folder.0.join("shard-0-1.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
