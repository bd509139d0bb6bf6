//! Blocking work, off the threads of the runtime.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use event_listener::Event;

/// What the thread and the future share.
struct Shared<T> {
    done: Mutex<Option<io::Result<T>>>,
    ended: Event,
}

impl<T> Shared<T> {
    fn end(&self, result: io::Result<T>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(result);
        self.ended.notify(usize::MAX);
    }
}

/// Ends the wait if the work panics.
struct Guard<T>(Arc<Shared<T>>);

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        self.0.end(Err(io::Error::other("the store panicked")));
    }
}

/// Does this on a thread of its own. The work is done to its end also if the future is dropped.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let shared = Arc::new(Shared { done: Mutex::new(None), ended: Event::new() });
    let guard = Guard(shared.clone());
    #[allow(clippy::disallowed_types, reason = "stores block, and the machine is not on this thread")]
    std::thread::Builder::new().name("cluster-store".to_owned()).spawn(move || guard.0.end(work()))?;
    loop {
        let ended = shared.ended.listen();
        if let Some(result) = shared.done.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return result;
        }
        ended.await;
    }
}
