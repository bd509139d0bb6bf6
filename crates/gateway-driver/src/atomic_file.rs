//! Files that hold secrets: readable by their owner only, complete after a crash at any point, written by one process at
//! a time.
//!
//! How each system provides this; `cargo xtask targets` compiles all three:
//!
//! | | Linux | macOS | Windows |
//! |-|-|-|-|
//! | for the owner only | mode 0600, folders 0700 | the same | the access rights inherited from the folder |
//! | one process at a time | `flock` | `flock` | `LockFileEx` |
//! | whole after a crash | synced, then `rename` | the same | synced, then replaced in one step |
//! | on the disk after a loss of power | `fsync` of file and folder | `F_FULLFSYNC` of both | `FlushFileBuffers` of the file |
//! | no symbolic link is followed | `O_NOFOLLOW` | `O_NOFOLLOW` | the kind is checked before the file is opened |
//! | a pipe does not block | `O_NONBLOCK` | `O_NONBLOCK` | the kind is checked before the file is opened |
//!
//! On Windows choose a folder that only the bot's user may open, such as one in that user's profile. After a power loss
//! the previous file may reappear, since a folder cannot be synced there. The system releases the lock of a killed
//! process, possibly after a delay. Locks and syncs are those of [`std::fs::File`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gateway_proto::codec::text::escape;

use crate::shard::entropy;

/// Larger than any file of this crate.
const LARGEST: u64 = 16 << 20;
/// The suffix of a lock file's name.
const LOCK: &str = ".lock";
/// The suffix of a temporary file's name.
const TEMPORARY: &str = ".tmp";

/// Files for the owner only, whole after a crash at any point, for stores of one's own. See
/// [`FileSessionStore`](crate::store::FileSessionStore) for the modes, the locks and what holds on Windows.
///
/// Each file is locked against other processes from its first use until the last clone of this is dropped. The methods block.
#[derive(Clone, Default)]
pub struct PrivateFiles {
    claims: Arc<Mutex<BTreeMap<PathBuf, Claim>>>,
}

impl PrivateFiles {
    /// The content of a file. `None`: there is no such file.
    ///
    /// # Errors
    ///
    /// If another process has the file, it cannot be read, it is no file, or it is larger than 16 MiB.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.claim(path)?;
        let Some(file) = open_existing(path)? else { return Ok(None) };
        let mut content = Vec::new();
        let read = file.take(LARGEST + 1).read_to_end(&mut content);
        read.map_err(|error| {
            cannot("be read", path, &error, "let the bot's user read it, or name another file")
        })?;
        if content.len() as u64 > LARGEST {
            return Err(unusable(path, "is too large for this store"));
        }
        Ok(Some(content))
    }

    /// Writes a temporary file, syncs it, renames it over the old one, and syncs the folder.
    ///
    /// # Errors
    ///
    /// If another process has the file, or it cannot be written. The old one is still there then.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.claim(path)?;
        check_kind(path)?;
        let temporary = temporary_beside(path)?;
        let replaced = write_synced(&temporary, content)
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| sync(folder_of(path)));
        replaced.map_err(|error| {
            // After a successful rename it does not exist.
            let _ = fs::remove_file(&temporary);
            cannot("be written", path, &error, "make room, and let the bot's user write to its folder")
        })
    }

    /// Removes a file. A file that does not exist is no error.
    ///
    /// # Errors
    ///
    /// If another process has the file, or it cannot be removed.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.claim(path)?;
        check_kind(path)?;
        let removed = fs::remove_file(path).and_then(|()| sync(folder_of(path)));
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(cannot("be removed", path, &error, "let the bot's user write to its folder"))
            }
            _ => Ok(()),
        }
    }

    fn claim(&self, path: &Path) -> io::Result<()> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if !claims.contains_key(path) {
            claims.insert(path.to_owned(), Claim::new(path)?);
        }
        Ok(())
    }
}

impl fmt::Debug for PrivateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateFiles").finish_non_exhaustive()
    }
}

/// The locks that this process holds, and the number of claims on each. The system does not treat two stores of one
/// process as one holder.
static HELD: Mutex<BTreeMap<PathBuf, Held>> = Mutex::new(BTreeMap::new());

struct Held {
    /// Holds the lock as long as it is open.
    file: File,
    claims: usize,
}

/// A claim on this process's lock on a file.
struct Claim {
    lock: PathBuf,
}

impl Claim {
    fn new(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        let name = name_of(path)?;
        make_folder(folder)?;
        let mut lock_name = name.to_owned();
        lock_name.push(LOCK);
        let remedy = "let the bot's user write to its folder, or name another folder";
        // Two paths to one folder must give one key.
        let folder = folder.canonicalize().map_err(|error| cannot("be reached", folder, &error, remedy))?;
        let lock = folder.join(lock_name);
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&lock) {
            held.claims += 1;
            return Ok(Self { lock });
        }
        check_kind(&lock)?;
        let file = not_special(OpenOptions::new().read(true).write(true).create(true)).open(&lock);
        let file = file.map_err(|error| cannot("be created", &lock, &error, remedy))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = escape(&path.to_string_lossy()).to_string();
                let sentence = format!(
                    "{path} is in use by another process; end that one, or name another file for this one"
                );
                return Err(io::Error::new(ErrorKind::ResourceBusy, sentence));
            }
            // Some file systems have no locks. Files on them are still replaced atomically.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => {
                return Err(cannot("be locked", &lock, &error, "name a file on another file system"));
            }
        }
        remove_leftovers(&folder, name);
        held.insert(lock.clone(), Held { file, claims: 1 });
        Ok(Self { lock })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get_mut(&self.lock) {
            lock.claims -= 1;
            if lock.claims == 0 {
                // Unlock before the entry is visible as free. Closing is not enough: a child process that another thread
                // forks has the file open too, until exec. The file is not removed, since otherwise two processes could
                // lock two different files.
                if let Some(held) = held.remove(&self.lock) {
                    let _ = held.file.unlock();
                }
            }
        }
    }
}

/// Creates a file that only its owner may read and write, and replaces an existing one. For transcripts and other text
/// that other users of the machine must not read. Creates the folder if it does not exist.
///
/// # Errors
///
/// If the file cannot be created, or something other than a regular file has that name. The error names the path and the
/// remedy.
///
/// # Windows
///
/// Windows has no file modes: the file inherits the access rights of its folder. Choose one that only the bot's user may
/// open.
pub fn create_private_file(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    name_of(path)?;
    make_folder(folder_of(path))?;
    check_kind(path)?;
    let made = match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => create_new(path),
    };
    made.map_err(|error| cannot("be created", path, &error, "let the bot's user write to its folder"))
}

/// Opens a file to read it. `None` if it does not exist. Anything but a regular file is an error; opening it does not
/// block.
fn open_existing(path: &Path) -> io::Result<Option<File>> {
    check_kind(path)?;
    let opened = not_special(OpenOptions::new().read(true)).open(path);
    match opened.and_then(|file| Ok((file.metadata()?, file))) {
        // Check again: the path may lead to another file by now.
        Ok((metadata, file)) if metadata.is_file() => Ok(Some(file)),
        Ok((metadata, _)) => Err(unusable(path, kind_of(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(cannot("be read", path, &error, "let the bot's user read it, or name another file"))
        }
    }
}

/// Returns an error for anything but a regular file. A path that leads nowhere is accepted.
fn check_kind(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) => Err(unusable(path, kind_of(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot("be inspected", path, &error, "let the bot's user access its folder")),
    }
}

fn kind_of(metadata: &Metadata) -> &'static str {
    match () {
        () if metadata.is_symlink() => "is a symbolic link, not a file",
        () if metadata.is_dir() => "is a folder, not a file",
        () => "is a pipe, a socket or a device, not a file",
    }
}

/// Neither follows a symbolic link nor blocks on a pipe.
fn not_special(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    options
}

/// Creates a file that must not exist yet, readable by its owner only.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A random name, which no other process can have created beforehand.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let mut name = leftover_prefix(name_of(path)?);
    name.push(format!("{:016x}{TEMPORARY}", entropy()));
    Ok(folder_of(path).join(name))
}

fn leftover_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// Removes temporary files that a crash has left. While the lock is held, no other process writes such files.
fn remove_leftovers(folder: &Path, name: &OsStr) {
    let prefix = leftover_prefix(name);
    let is_leftover = |name: &OsStr| {
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let random = rest.and_then(|rest| rest.strip_suffix(TEMPORARY.as_bytes()));
        random.is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_leftover(&entry.file_name()) {
            // Removes a symbolic link itself, not its target. A file that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Creates a folder and its parents, accessible to their owner only.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(folder).and_then(|()| sync(folder_of(folder)));
    made.map_err(|error| {
        cannot(
            "be created",
            folder,
            &error,
            "create this folder, writable for the bot's user, or name another folder",
        )
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| unusable(path, "names no file"))
}

/// Syncs a folder, so that a rename in it survives a power loss. Only Unix can open a folder for that.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder)?.sync_all()
}

/// An error about a path that has no error of the system.
pub(crate) fn unusable(path: &Path, what: &str) -> io::Error {
    let path = path.to_string_lossy();
    io::Error::new(
        ErrorKind::InvalidData,
        format!("{} {what}; remove it, or name another file", escape(&path)),
    )
}

fn cannot(what: &str, path: &Path, error: &io::Error, remedy: &str) -> io::Error {
    let path = path.to_string_lossy();
    io::Error::new(error.kind(), format!("{} cannot {what}: {error}; {remedy}", escape(&path)))
}
