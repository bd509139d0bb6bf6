//! The limit on open files of a process.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Open files of a process besides its connections: its streams, the runtime's, and the system's.
const BESIDES: u64 = 64;

/// Raises the limit for this many connections, within the hard limit.
///
/// # Errors
///
/// If the hard limit is too low.
pub fn allow_connections(count: usize) -> io::Result<()> {
    let wanted = count as u64 + BESIDES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    setrlimit(Resource::Nofile, limit)?;
    match limit.current.is_some_and(|current| current < wanted) {
        true => {
            Err(io::Error::other(format!("the limit of open files is below {wanted}: raise it (ulimit -Hn)")))
        }
        false => Ok(()),
    }
}
