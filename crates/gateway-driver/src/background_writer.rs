//! A thread that persists values, so that the threads that produce them do not block.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A callback for values that could not be written.
type OnError<K> = Box<dyn FnMut(&K, &io::Error) + Send>;

/// Writes values, each under its key, on its own thread. If writing is slow, only the newest value of each key is
/// written; the keys take turns.
pub(crate) struct BackgroundWriter<K, V> {
    shared: Arc<Shared<K, V>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<K, V> {
    state: Mutex<State<K, V>>,
    changed: Condvar,
}

struct State<K, V> {
    waiting: BTreeMap<K, V>,
    /// Their keys, in the order in which they are written.
    turns: VecDeque<K>,
    /// Whether a value is being written.
    busy: bool,
    ending: bool,
    error: Option<io::Error>,
    on_error: Option<OnError<K>>,
}

impl<K: Ord + Clone + Send + 'static, V: Send + 'static> BackgroundWriter<K, V> {
    /// Starts the thread. It calls `write` for each value, then `done` with whether that succeeded. A failure or panic of
    /// either does not end the thread; [`take_error`](Self::take_error) returns it.
    pub(crate) fn start(
        name: &str,
        write: impl Fn(&K, &V) -> io::Result<()> + Send + 'static,
        done: impl Fn(&V, bool) + Send + 'static,
    ) -> io::Result<Self> {
        let state = State {
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            busy: false,
            ending: false,
            error: None,
            on_error: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let writer = shared.clone();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.write(&write, &done))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a value to be written, in place of a waiting one with the same key. Does not block.
    pub(crate) fn put(&self, key: K, value: V) {
        let mut state = self.shared.lock();
        if state.waiting.insert(key.clone(), value).is_none() {
            state.turns.push_back(key);
        }
        self.shared.changed.notify_all();
    }

    /// Blocks until everything is written. Returns the newest error that was not taken yet.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.busy || !state.waiting.is_empty() {
            state = self.shared.wait(state);
        }
        state.error.take().map_or(Ok(()), Err)
    }

    /// Takes the newest error that was not taken yet. Does not block.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.shared.lock().error.take()
    }

    /// Sets a callback for every further error, which the writing thread calls.
    pub(crate) fn on_error(&self, on_error: OnError<K>) {
        self.shared.lock().on_error = Some(on_error);
    }
}

impl<K: Ord, V> Shared<K, V> {
    /// Runs on the writing thread.
    fn write(&self, write: &impl Fn(&K, &V) -> io::Result<()>, done: &impl Fn(&V, bool)) {
        let mut state = self.lock();
        loop {
            let next = state.turns.pop_front().and_then(|key| state.waiting.remove_entry(&key));
            if let Some((key, value)) = next {
                state.busy = true;
                drop(state);
                let written = catching(|| write(&key, &value));
                let called = catching(|| {
                    done(&value, written.is_ok());
                    Ok(())
                });
                if let Err(error) = written.and(called) {
                    self.report(&key, error);
                }
                state = self.lock();
                state.busy = false;
                self.changed.notify_all();
            } else if state.ending {
                return;
            } else {
                state = self.wait(state);
            }
        }
    }

    fn report(&self, key: &K, error: io::Error) {
        let on_error = self.lock().on_error.take();
        if let Some(mut on_error) = on_error {
            // Call it without holding the lock, so that the callback may use this writer.
            let called = catching(|| {
                on_error(key, &error);
                Ok(())
            });
            if called.is_ok() {
                self.lock().on_error.get_or_insert(on_error);
            }
        }
        self.lock().error = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<K, V>>) -> MutexGuard<'a, State<K, V>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls code of the application, and converts a panic to an error.
fn catching(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // State that the panic left inconsistent belongs to that code.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(io::Error::other(format!("the store panicked: {words}")))
    })
}

/// Waits until everything is written.
impl<K, V> Drop for BackgroundWriter<K, V> {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).ending = true;
        self.shared.changed.notify_all();
        // If a callback on the thread holds the last reference to this writer, the thread cannot join itself. It ends
        // when the callback returns.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // Panics on the thread are already caught.
            let _ = thread.join();
        }
    }
}
