//! The file stores with missing folders, special files, other processes and crashes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gateway_driver::proto::ShardId;
use gateway_driver::proto::identify::{IdentifyBudget, IdentifyQueue, IdentifySnapshot, SessionStartLimit};
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::store::{
    FileIdentifyStore, FileSessionStore, IdentifyStore, SessionStore, create_private_file,
};

fn session(sequence: u64) -> SessionSnapshot {
    SessionSnapshot::new("secret-session".to_owned(), None, sequence, ShardId::ONE)
}

fn starts() -> IdentifySnapshot {
    let now = Instant::now();
    let queue = IdentifyQueue::with_budget(IdentifyBudget::default(), &SessionStartLimit::default(), now);
    queue.unwrap().snapshot(now).with_wall_clock(Some(Duration::from_secs(1)))
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-driver-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of the files, except lock files.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The error is one sentence that names the path and the remedy.
fn assert_helpful(error: &io::Error, path: &Path, words: &str) {
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(text.contains(words) && text.contains("; ") && !text.contains('\n'), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn sessions_are_loaded_and_removed() {
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

/// A crash before the rename leaves a temporary file, complete or not: the old session exists and is used. The next
/// process removes these files, and no others.
#[test]
fn a_crash_while_writing_loses_nothing() {
    let folder = Folder::new("crash");
    let path = folder.path("session.json");
    let store = FileSessionStore::in_file(&path);
    store.save(ShardId::ONE, Some(&session(7))).unwrap();
    drop(store);
    let others = [".other.json.0123456789abcdef.tmp", ".session.json.notes.tmp", "session.json.tmp"];
    for name in others.iter().chain(&[".session.json.0123456789abcdef.tmp"]) {
        fs::write(folder.path(name), b"{\"version\":1,\"sess").unwrap();
    }
    let store = FileSessionStore::in_file(&path);
    assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(7)));
    store.save(ShardId::ONE, Some(&session(8))).unwrap();
    assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(8)));
    assert_eq!(folder.files(), [others[0], others[1], "session.json", others[2]]);
}

#[test]
fn errors_name_the_path_and_the_remedy_without_the_content() {
    let folder = Folder::new("errors");
    let path = folder.path("session.json");
    fs::write(&path, b"{\"session_id\": \"secret\"}").unwrap();
    let error = FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap_err();
    assert_helpful(&error, &path, "holds no session; remove it");
    let error = FileIdentifyStore::in_file(&path).load().unwrap_err();
    assert_helpful(&error, &path, "holds no session starts; remove it");
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap_err();
    assert_helpful(&error, &path, "is too large");
    for nameless in ["..", "/"] {
        let error = FileSessionStore::in_file(nameless).load(ShardId::ONE).unwrap_err();
        assert_helpful(&error, Path::new(nameless), "names no file");
    }
}

#[test]
fn a_missing_folder_is_created_or_load_fails() {
    let folder = Folder::new("missing");
    let nested = folder.path("a/b");
    let store = FileSessionStore::in_folder(&nested);
    assert_eq!(store.load(ShardId::ONE).unwrap(), None);
    store.save(ShardId::ONE, Some(&session(7))).unwrap();
    assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(7)));
    let identifies = FileIdentifyStore::in_file(folder.path("c/identifies"));
    assert_eq!(identifies.load().unwrap(), None);
    identifies.save(&starts()).unwrap();
    assert_eq!(identifies.load().unwrap(), Some(starts()));

    fs::write(folder.path("file"), b"").unwrap();
    let impossible = folder.path("file/folder");
    let error = FileSessionStore::in_folder(&impossible).load(ShardId::ONE).unwrap_err();
    assert_helpful(&error, &impossible, "cannot be created");
    let error = FileIdentifyStore::in_file(impossible.join("identifies")).load().unwrap_err();
    assert_helpful(&error, &impossible, "cannot be created");
    let error = create_private_file(impossible.join("transcript")).unwrap_err();
    assert_helpful(&error, &impossible, "cannot be created");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = Folder::new("mode");
    let made = folder.path("made");
    let path = made.join("shard-0-1.json");
    let store = FileSessionStore::in_folder(&made);
    store.save(ShardId::ONE, Some(&session(1))).unwrap();
    assert_eq!((mode(&made), mode(&path)), (0o700, 0o600));
    // A file that was readable by all no longer is.
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    store.save(ShardId::ONE, Some(&session(2))).unwrap();
    assert_eq!(mode(&path), 0o600);
    let identifies = folder.path("identifies");
    FileIdentifyStore::in_file(&identifies).save(&starts()).unwrap();
    assert_eq!(mode(&identifies), 0o600);

    let transcript = folder.path("transcript");
    fs::write(&transcript, b"of another run").unwrap();
    fs::set_permissions(&transcript, PermissionsExt::from_mode(0o644)).unwrap();
    create_private_file(&transcript).unwrap().write_all(b"of this").unwrap();
    assert_eq!((mode(&transcript), fs::read(&transcript).unwrap()), (0o600, b"of this".to_vec()));
}

/// Opening a pipe without another end could block forever.
#[cfg(unix)]
#[test]
fn special_files_are_errors_and_do_not_block() {
    let folder = Folder::new("kinds");
    let victim = folder.path("victim");
    fs::write(&victim, b"precious").unwrap();
    let (pipe, link) = (folder.path("pipe"), folder.path("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let cases = [
        (pipe.clone(), "is a pipe, a socket or a device"),
        (folder.0.clone(), "is a folder"),
        (link.clone(), "is a symbolic link"),
    ];
    for (path, words) in &cases {
        let store = FileSessionStore::in_file(path);
        assert_helpful(&store.load(ShardId::ONE).unwrap_err(), path, words);
        assert_helpful(&store.save(ShardId::ONE, Some(&session(1))).unwrap_err(), path, words);
        assert_helpful(&store.save(ShardId::ONE, None).unwrap_err(), path, words);
        let identifies = FileIdentifyStore::in_file(path);
        assert_helpful(&identifies.load().unwrap_err(), path, words);
        assert_helpful(&identifies.save(&starts()).unwrap_err(), path, words);
        assert_helpful(&create_private_file(path).unwrap_err(), path, words);
    }
    // The lock file is not followed and does not block either.
    for (index, (planted, words)) in [&cases[0], &cases[2]].into_iter().enumerate() {
        let path = folder.path(&format!("session-{index}"));
        fs::rename(planted, path.with_extension("lock")).unwrap();
        let error = FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap_err();
        assert_helpful(&error, &path.with_extension("lock"), words);
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

/// A file with a former or guessable name of a temporary file is not written to.
#[cfg(unix)]
#[test]
fn a_planted_temporary_file_is_not_used() {
    let folder = Folder::new("planted");
    let victim = folder.path("victim");
    fs::write(&victim, b"precious").unwrap();
    let planted = ["session.json.tmp", ".session.json.tmp", ".session.json.0000000000000000.tmp"];
    for name in planted {
        std::os::unix::fs::symlink(&victim, folder.path(name)).unwrap();
    }
    let store = FileSessionStore::in_file(folder.path("session.json"));
    store.save(ShardId::ONE, Some(&session(7))).unwrap();
    assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(7)));
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!fs::symlink_metadata(folder.path("session.json")).unwrap().is_symlink());
}

#[test]
fn one_process_may_open_a_store_twice_and_again() {
    let folder = Folder::new("twice");
    let path = folder.path("session.json");
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).open(folder.path("session.json.lock"));
    let lock = lock.unwrap();
    let first = FileSessionStore::in_file(&path);
    // The same file under another path.
    let second = FileSessionStore::in_file(folder.0.join(".").join("session.json"));
    first.save(ShardId::ONE, Some(&session(7))).unwrap();
    assert_eq!(second.load(ShardId::ONE).unwrap(), Some(session(7)));
    let clone = first.clone();
    drop((first, second));
    assert!(lock.try_lock().is_err(), "a clone holds the lock");
    drop(clone);
    lock.try_lock().unwrap();
    let error = FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    lock.unlock().unwrap();
    assert_eq!(FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap(), Some(session(7)));
    assert_eq!(FileSessionStore::in_file(&path).load(ShardId::ONE).unwrap(), Some(session(7)));
}

const SECOND_PROCESS: &str = "GATEWAY_DRIVER_SECOND_PROCESS";

/// This test starts itself in another process.
#[test]
fn a_second_process_gets_an_error() {
    if let Ok(path) = std::env::var(SECOND_PROCESS) {
        let path = Path::new(&path);
        let store = FileSessionStore::in_file(path);
        for error in [
            store.load(ShardId::ONE).unwrap_err(),
            store.save(ShardId::ONE, Some(&session(9))).unwrap_err(),
            FileIdentifyStore::in_file(path).load().unwrap_err(),
            FileIdentifyStore::in_file(path).save(&starts()).unwrap_err(),
        ] {
            assert_helpful(&error, path, "is in use by another process");
        }
        return;
    }
    let folder = Folder::new("second");
    let path = folder.path("session.json");
    let store = FileSessionStore::in_file(&path);
    store.save(ShardId::ONE, Some(&session(7))).unwrap();
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_process_gets_an_error"])
        .env(SECOND_PROCESS, &path)
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stdout));
    assert_eq!(store.load(ShardId::ONE).unwrap(), Some(session(7)));
}
