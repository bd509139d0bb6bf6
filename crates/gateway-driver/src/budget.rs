//! Limits how long a task runs before the other tasks of its thread run.

use std::task::{Context, Poll};

/// Steps between two `Pending`. A step is an input, an event, or one read of the socket.
const STEPS: u32 = 128;

/// A cooperative budget of 128 steps, for streams over the events of shards.
///
/// It lives as long as the stream that it bounds, not as long as one call: a caller that polls again after each event still yields in
/// time.
#[derive(Debug, Default)]
pub struct Budget {
    spent: u32,
}

impl Budget {
    /// Takes a step. When none is left, wakes the task and returns `Pending`, until [`Budget::renew`].
    pub fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.spent == STEPS {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.spent += 1;
        Poll::Ready(())
    }

    /// Call it when `Pending` is returned to the executor, and at no other time.
    pub fn renew(&mut self) {
        self.spent = 0;
    }
}
