//! How much of each shard may be with the application.

/// How much of each shard may be with the application at once. Beyond it, the shard's socket is not read; its heartbeats go on, and
/// the other shards too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterLimits {
    /// Items that the application has not dropped. 0 is read as 1. Default 256.
    pub events: usize,
    /// Bytes of their dispatches; one item more may be taken. Default 4 MiB.
    pub bytes: usize,
    /// With [`Delivery::Acknowledged`](gateway_driver::proto::config::Delivery::Acknowledged), dispatches that are not acknowledged. 0 is read as 1.
    /// Default 1024.
    pub unacknowledged: usize,
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self { events: 256, bytes: 4 << 20, unacknowledged: 1024 }
    }
}

impl ClusterLimits {
    /// Without a limit that nothing fits into.
    pub(crate) fn at_least_one(self) -> Self {
        Self {
            events: self.events.max(1),
            bytes: self.bytes.max(1),
            unacknowledged: self.unacknowledged.max(1),
        }
    }
}
