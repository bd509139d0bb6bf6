//! A cluster and its application, which takes every event and acknowledges it.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use gateway_cluster::{Cluster, ClusterEvent, ClusterItem, CutoverTally, ReshardEvent, ShardKey};

use super::any_runtime::AnyRuntime;
use super::stage::Stage;

pub(crate) struct Bot {
    pub(crate) cluster: Cluster<AnyRuntime>,
    pub(crate) stage: Stage,
}

/// What the application has taken: the shard, and the event.
pub(crate) type Heard = (Option<ShardKey>, ClusterEvent);

impl Bot {
    /// Takes the next item, without acknowledging it. `None`: the cluster has ended.
    pub(crate) async fn take(&mut self) -> Result<Option<ClusterItem>, String> {
        let stage = self.stage.clone();
        stage.within("the next event", self.next()).await
    }

    async fn next(&mut self) -> Option<ClusterItem> {
        let item = self.cluster.next_event().await?;
        self.stage.see(&item);
        Some(item)
    }

    /// Takes the next item and acknowledges it.
    async fn hear(&mut self) -> Option<Heard> {
        let item = self.next().await?;
        let heard = (item.key(), item.event().clone());
        item.done();
        Some(heard)
    }

    /// Takes events until one is what is looked for. `what` names it.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(Option<ShardKey>, &ClusterEvent) -> Option<T> + Send,
    ) -> Result<T, String> {
        let stage = self.stage.clone();
        stage
            .within(what, async {
                loop {
                    let Some((key, event)) = self.hear().await else {
                        return Err(format!("the cluster ends before: {what}"));
                    };
                    if let Some(found) = look(key, &event) {
                        return Ok(found);
                    }
                }
            })
            .await?
    }

    /// Takes events while it waits for a future.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, String> {
        let stage = self.stage.clone();
        let mut future = pin!(future);
        let hearing = async {
            while self.hear().await.is_some() {}
            // The future may still be ready.
            pending::<()>().await;
        };
        let mut hearing = pin!(hearing);
        let both = poll_fn(|context| {
            let result = future.as_mut().poll(context);
            if result.is_pending() {
                let _ = hearing.as_mut().poll(context);
            }
            result
        });
        stage.within(what, both).await
    }

    /// Takes events until every shard is ready, or has stopped.
    pub(crate) async fn all_ready(&mut self) -> Result<(), String> {
        self.until("all shards are ready", |_, event| matches!(event, ClusterEvent::AllReady).then_some(()))
            .await
    }

    /// Takes events until a reshard is finished.
    pub(crate) async fn resharded(&mut self) -> Result<CutoverTally, String> {
        self.until("the end of the reshard", |_, event| match event {
            ClusterEvent::Reshard(ReshardEvent::Finished { tally }) => Some(Ok(*tally)),
            ClusterEvent::Reshard(ReshardEvent::Aborted(reason)) => {
                Some(Err(format!("the reshard is aborted: {reason}")))
            }
            _ => None,
        })
        .await?
    }

    /// Takes events until none that the gateway has dispatched is missing.
    pub(crate) async fn caught_up(&mut self) -> Result<(), String> {
        let stage = self.stage.clone();
        stage
            .within("everything that was dispatched", async {
                loop {
                    // Another cluster of the scenario may see what is missing here.
                    let mut heard = stage.heard();
                    while let Some(item) = self.take_now() {
                        item.done();
                    }
                    if stage.verdict().0.lost == 0 {
                        return Ok(());
                    }
                    let mut hearing = pin!(self.hear());
                    let more = poll_fn(|context| match hearing.as_mut().poll(context) {
                        Poll::Ready(heard) => Poll::Ready(heard.is_some()),
                        Poll::Pending => Pin::new(&mut heard).poll(context).map(|()| true),
                    });
                    if !more.await {
                        return Err(format!("the cluster has ended, {}", stage.verdict()));
                    }
                }
            })
            .await?
    }

    /// The next item, if it is there.
    fn take_now(&mut self) -> Option<ClusterItem> {
        match pin!(self.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// Takes events until there are no more.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let stage = self.stage.clone();
        stage.within("the end of the cluster", async { while self.hear().await.is_some() {} }).await
    }
}
