//! What a cluster asks its driver for.

use gateway_proto::session::{DispatchKey, SessionSnapshot};
use gateway_proto::{Reconnect, Shutdown};

use crate::{ClusterEvent, ClusterPlan, Generation, Handover, ShardKey};

/// What a [`ClusterMachine`](crate::ClusterMachine) asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterOutput {
    /// Start this shard, with this session if there is one.
    Start {
        /// The shard.
        key: ShardKey,
        /// What it resumes.
        session: Option<SessionSnapshot>,
    },
    /// Replace the connection of this shard.
    Reconnect(ShardKey, Reconnect),
    /// Shut this shard down. [`ClusterMachine::handle_stopped`](crate::ClusterMachine::handle_stopped) answers.
    ShutDown(ShardKey, Shutdown),
    /// Send a heartbeat on the connection of this shard.
    Heartbeat(ShardKey),
    /// Deliver this to the application, in this order.
    Deliver(Option<ShardKey>, ClusterEvent),
    /// This dispatch is not delivered, because its equal of the other generation is. It counts as handled once the application has
    /// handled everything that was delivered before this: otherwise a crash loses both.
    Discard(ShardKey, Option<DispatchKey>),
    /// Write the plan down, so that it survives a crash, once the application has handled everything that was delivered before this:
    /// the sessions that it was delivered from may be ended when it is written.
    /// [`ClusterMachine::handle_persisted`](crate::ClusterMachine::handle_persisted) answers.
    Persist {
        /// Names the write in the answer.
        number: u64,
        /// What to write, in place of what was written before.
        plan: ClusterPlan,
    },
    /// The session of this shard is over: remove what is kept of it.
    Forget(ShardKey),
    /// This shard was released.
    Released(ShardKey, Handover),
    /// Stop reading on all connections; heartbeats go on.
    /// [`ClusterMachine::handle_drained`](crate::ClusterMachine::handle_drained) answers when the application has taken and
    /// acknowledged all that was delivered.
    StopReading,
    /// [`ClusterMachine::handle_handled`](crate::ClusterMachine::handle_handled) answers when the application has handled, and
    /// acknowledged where it has to, everything that it got of the shards of this generation.
    AwaitHandled(Generation),
    /// All shards have stopped. Nothing follows.
    Ended,
}
