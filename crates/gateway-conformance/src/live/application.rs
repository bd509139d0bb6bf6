//! The application of a live scenario: takes its shard's events, or blocks.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use gateway_driver::proto::{Event, StopReason};
use gateway_driver::{Runtime, Shard};

use super::Driving;
use super::stage::{Stage, Turn};
use crate::observation::Seen;

/// Drives a shard to its end, in the foreground or behind a queue.
pub(crate) fn drive<R: Runtime>(shard: Shard<R>, background: Option<usize>, stage: Arc<Stage>) -> Driving {
    Box::pin(async move {
        let end = End(stage);
        match background {
            None => foreground(shard, &end.0).await,
            Some(capacity) => in_background(shard, capacity, &end.0).await,
        }
    })
}

/// Marks the end of the shard's thread when dropped.
struct End(Arc<Stage>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn foreground<R: Runtime>(mut shard: Shard<R>, stage: &Stage) {
    poll_fn(|context| {
        loop {
            match stage.turn(context.waker()) {
                Turn::Take => {}
                // Without a queue, a handler that blocks stops everything.
                Turn::Block | Turn::Wait => return Poll::Pending,
                Turn::Abort => return Poll::Ready(()),
            }
            // Each future is dropped after one poll, which must lose nothing.
            let event = ready!(pin!(shard.next_event()).poll(context));
            if tell(stage, event, shard.stop_reason()).is_ready() {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

async fn in_background<R: Runtime>(shard: Shard<R>, capacity: usize, stage: &Stage) {
    let (mut events, task) = shard.background(capacity);
    let mut task = pin!(task);
    let mut stopped = None;
    poll_fn(|context| {
        loop {
            let turn = stage.turn(context.waker());
            match turn {
                Turn::Take | Turn::Block => {}
                Turn::Wait => return Poll::Pending,
                Turn::Abort => return Poll::Ready(()),
            }
            if stopped.is_none() {
                stopped = poll_once(task.as_mut(), context);
            }
            if turn == Turn::Block {
                return Poll::Pending;
            }
            let event = ready!(pin!(events.next_event()).poll(context));
            if tell(stage, event, stopped.as_ref()).is_ready() {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

/// The reason why the shard has stopped, once it has.
fn poll_once(
    task: Pin<&mut impl Future<Output = Option<StopReason>>>,
    context: &mut Context<'_>,
) -> Option<StopReason> {
    match task.poll(context) {
        Poll::Ready(reason) => reason,
        Poll::Pending => None,
    }
}

/// Ready after the last event.
fn tell(stage: &Stage, event: Option<Event>, stopped: Option<&StopReason>) -> Poll<()> {
    match event {
        Some(event) => {
            stage.see(Seen::Event(event));
            Poll::Pending
        }
        None => {
            if let Some(reason) = stopped {
                stage.see(Seen::Stopped(reason.clone()));
            }
            Poll::Ready(())
        }
    }
}
