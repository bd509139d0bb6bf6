//! A timer with a movable deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::Runtime;

/// A timer of a runtime whose deadline may be another at each poll.
pub struct Timer<R> {
    runtime: R,
    sleep: Option<Sleep>,
}

struct Sleep {
    until: Instant,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime> Timer<R> {
    /// A timer on this runtime.
    pub fn new(runtime: R) -> Self {
        Self { runtime, sleep: None }
    }

    /// Ready once the deadline has passed.
    pub fn poll_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        while self.runtime.now() < deadline {
            // A sleep that ends too early is harmless: the next one starts when it is over.
            let sleep = match &mut self.sleep {
                Some(sleep) if sleep.until <= deadline => sleep,
                slot => {
                    let future = Box::pin(self.runtime.sleep_until(deadline));
                    slot.insert(Sleep { until: deadline, future })
                }
            };
            ready!(sleep.future.as_mut().poll(context));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

impl<R> fmt::Debug for Timer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.sleep.as_ref().map(|sleep| sleep.until);
        f.debug_struct("Timer").field("until", &until).finish_non_exhaustive()
    }
}
