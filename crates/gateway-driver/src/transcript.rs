//! The writer of a shard's transcript.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// A writer for the transcript of one shard: see [`gateway_proto::transcript`].
/// It receives whole lines while the shard is polled, so it should not block: use a `BufWriter`, or memory. It is flushed
/// when the shard has stopped. [`create_private_file`](crate::store::create_private_file) creates a file for it that only
/// its owner can read. If the writer fails, the transcript ends with a notice and the shard continues.
///
/// The first shard built with it takes it. For a second shard it is an error, since lines of two shards in one file
/// cannot be distinguished.
#[derive(Clone)]
pub struct TranscriptWriter {
    writer: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
}

impl TranscriptWriter {
    /// Creates a writer for a transcript.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Arc::new(Mutex::new(Some(Box::new(writer)))) }
    }

    /// Takes the writer. `None` if a shard has taken it.
    pub(crate) fn take(&self) -> Option<Box<dyn Write + Send>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TranscriptWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranscriptWriter").finish_non_exhaustive()
    }
}
