//! A timer with a movable deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::Runtime;

/// Sleeps until a deadline that may change with each poll.
pub(crate) struct Timer<R> {
    runtime: R,
    sleep: Option<Sleep>,
}

struct Sleep {
    until: Instant,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime> Timer<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self { runtime, sleep: None }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
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
