//! Where the plan of a cluster is kept from one process to the next.

use std::fmt;
use std::io;
use std::path::PathBuf;

use gateway_driver::proto::codec::{self, Encoding, RawRef};
use gateway_driver::store::PrivateFiles;

use crate::ClusterPlan;

/// Keeps the [`ClusterPlan`] of a bot: its shard count, and how far a reshard has come.
///
/// The methods may block: a cluster calls them on a thread of their own.
pub trait PlanStore: Send + Sync + 'static {
    /// The plan that was saved last. `None`: none was.
    ///
    /// # Errors
    ///
    /// If it cannot be read. An empty store is no error.
    fn load(&self) -> io::Result<Option<ClusterPlan>>;

    /// Saves a plan in place of the last. After a crash at any point the store holds either the old one or the new one, whole.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The last one is still there then.
    fn save(&self, plan: &ClusterPlan) -> io::Result<()>;
}

/// Keeps the plan in a file, as JSON. It is created, locked and replaced as those of a
/// [`FileSessionStore`](gateway_driver::store::FileSessionStore), so a second process with the same plan gets an error.
#[derive(Clone)]
pub struct FilePlanStore {
    path: PathBuf,
    files: PrivateFiles,
}

impl FilePlanStore {
    /// A store in this file. Its folder is created if it does not exist.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: PrivateFiles::default() }
    }
}

impl PlanStore for FilePlanStore {
    fn load(&self) -> io::Result<Option<ClusterPlan>> {
        let Some(text) = self.files.read(&self.path)? else { return Ok(None) };
        RawRef::new(&text, Encoding::Json).decode().map(Some).map_err(|error| {
            let text = format!("{}: {error}; move the file away to begin anew", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    fn save(&self, plan: &ClusterPlan) -> io::Result<()> {
        let text = codec::encode(plan, Encoding::Json).map_err(io::Error::other)?;
        self.files.replace(&self.path, &text)
    }
}

impl fmt::Debug for FilePlanStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePlanStore").finish_non_exhaustive()
    }
}
