//! What stands between a cluster and those who carry out its outputs.

use std::collections::VecDeque;

use gateway_cluster::{ClusterOutput, ShardKey};
use gateway_proto::Event;

/// Stands between a cluster and those who carry out its outputs: `()` changes nothing. The tests of the rules break them with it.
pub trait Between {
    /// A shard has told the cluster this.
    fn input(&mut self, key: ShardKey, event: &Event) {
        let _ = (key, event);
    }

    /// The cluster asks for this, or its driver delivers it without asking. What is put into `more` follows it.
    fn output(&mut self, output: ClusterOutput, more: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        let _ = more;
        Some(output)
    }

    /// Commands for a guild go to this shard.
    fn sender(&self, key: ShardKey) -> ShardKey {
        key
    }

    /// So many bytes are held back.
    fn held_bytes(&self, bytes: usize) -> usize {
        bytes
    }
}

impl Between for () {}
