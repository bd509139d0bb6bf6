//! Tasks that run beside the application.

use std::future::Future;
use std::pin::Pin;

/// Runs tasks in the background, so that shards live while the application is busy.
///
/// The adapters implement it for their [`Runtime`](crate::Runtime). Any function that takes the task is one too, for an
/// executor of one's own or a handle to a certain runtime:
///
/// ```
/// use std::future::Future;
/// use std::pin::Pin;
/// use gateway_driver::Spawn;
///
/// # struct Executor;
/// # impl Executor { fn run(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {} }
/// fn spawner(executor: Executor) -> impl Spawn {
///     move |task: Pin<Box<dyn Future<Output = ()> + Send>>| executor.run(task)
/// }
/// ```
///
/// # Threads
///
/// The task is `Send`, because a runtime may move it between threads, and `spawn` may be called from any thread. An executor that
/// stays on one thread can run it too.
///
/// # The end of the runtime
///
/// A task runs until it is finished. A runtime that ends drops the tasks that it has not finished, at the point where they wait.
/// For a shard that is the same as being dropped: the socket closes without a close frame, and the gateway keeps the session until it
/// notices. End shards with [`Sender::shutdown`](crate::Sender::shutdown) before the runtime ends. A task that is dropped without
/// having been polled is no error either.
pub trait Spawn: Send + Sync + 'static {
    /// Runs a task in the background. It is detached: nothing waits for its end, and nothing cancels it.
    ///
    /// Returns at once. The task is not polled within this call, since the caller may hold locks that the task takes.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

impl<F> Spawn for F
where
    F: Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
{
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self(task);
    }
}
