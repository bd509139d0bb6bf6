//! A gate that can hold permits back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use event_listener::Event;
use gateway_driver::gate::{AcquiringIdentify, IdentifyGate, LocalIdentifyGate};
use gateway_driver::proto::ShardId;

use super::any_runtime::AnyRuntime;
use super::stage::lock;

/// The usual gate, behind a bar for some shards. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct BarredGate {
    inner: Arc<LocalIdentifyGate<AnyRuntime>>,
    bar: Arc<Bar>,
}

#[derive(Default)]
struct Bar {
    barred: Mutex<BTreeSet<ShardId>>,
    opened: Event,
}

impl BarredGate {
    pub(crate) fn new(
        runtime: AnyRuntime,
        max_concurrency: u32,
        barred: impl IntoIterator<Item = ShardId>,
    ) -> Self {
        let bar = Bar { barred: Mutex::new(barred.into_iter().collect()), opened: Event::new() };
        Self { inner: Arc::new(LocalIdentifyGate::new(runtime, max_concurrency)), bar: Arc::new(bar) }
    }

    /// Bars no shard any more.
    pub(crate) fn open(&self) {
        lock(&self.bar.barred).clear();
        self.bar.opened.notify(usize::MAX);
    }
}

impl IdentifyGate for BarredGate {
    fn acquire(&self, shard: ShardId) -> AcquiringIdentify {
        let this = self.clone();
        Box::pin(async move {
            loop {
                let opened = this.bar.opened.listen();
                if !lock(&this.bar.barred).contains(&shard) {
                    break;
                }
                opened.await;
            }
            this.inner.acquire(shard).await
        })
    }

    fn used(&self, shard: ShardId) {
        self.inner.used(shard);
    }

    fn failed(&self, shard: ShardId) {
        IdentifyGate::failed(&*self.inner, shard);
    }

    fn remaining(&self) -> Option<u32> {
        IdentifyGate::remaining(&*self.inner)
    }
}
