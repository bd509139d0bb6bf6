//! Where a shard's transcript goes.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// A writer for the transcript of one shard: see [`gateway_proto::transcript`].
///
/// It gets whole lines while the shard is polled, so it should not wait: a `BufWriter`, or memory. It is flushed when the
/// shard has stopped. [`create_private_file`](crate::store::create_private_file) makes a file for it that is not everybody's. If it fails, the transcript ends with a notice and the shard goes on.
///
/// The first shard that is made with it takes it. A second one is an error: lines of two shards in one file could not be told
/// apart.
#[derive(Clone)]
pub struct TranscriptWriter {
    writer: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
}

impl TranscriptWriter {
    /// A transcript that goes there.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Arc::new(Mutex::new(Some(Box::new(writer)))) }
    }

    /// None: a shard has it already.
    pub(crate) fn take(&self) -> Option<Box<dyn Write + Send>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TranscriptWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranscriptWriter").finish_non_exhaustive()
    }
}
